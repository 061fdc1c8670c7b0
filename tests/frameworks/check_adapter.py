"""Runs one adapter on tiny nets, inside its framework's environment: arrays in, arrays out.

    python -P check_adapter.py look <framework> <mode> <given.npz> <found.npz>
    python -P check_adapter.py refuse <framework> <mode>

Standard library and NumPy only. The test that calls it imports NETS and `look` from here too, to
ask the reference the same.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# At the end of the path, so that nothing in the tree shadows a library.
sys.path.append(str(Path(__file__).resolve().parents[2]))

import frameworks
from frameworks.contract import Adapter, Options, Unavailable, Weights
from workloads.batches import Batch
from workloads.layers import (
    AvgPool,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Layer,
    LayerNorm,
    MaxPool,
    PadChannels,
    Relu,
    Residual,
    Sigmoid,
    Tanh,
)
from workloads.optimisers import Adam, AdamW, Constant, Cosine, Optimiser, Schedule, Sgd, Stairs
from workloads.spec import Data, Init, Workload

STEPS = 5
FIRST = 2  # the steps of the first call of train(); the rest are taken in a second


def _net(
    name: str,
    shape: tuple[int, ...],
    loss: str,
    *layers: Layer,
    classes: int,
    optimiser: Optimiser,
    schedule: Schedule | None = None,
    label_smoothing: float = 0.0,
) -> Workload:
    return Workload(
        name=name,
        title=name,
        data=Data("synthetic", batch=6, epochs=1),
        layers=layers,
        init=Init("uniform-fan-in"),
        loss=loss,
        label_smoothing=label_smoothing,
        optimiser=optimiser,
        schedule=schedule or Constant(),
        target_accuracy=0.0,
        input_shape=shape,
        classes=classes,
    )


# Sides, strides and windows differ and leave a rest, so that no two of them can be exchanged. No
# bias goes straight into a norm: its gradient would be 0 but for rounding, which Adam blows up.
_NETS = (
    _net(
        "dense",
        (5,),
        "mean-squared-error",
        *(Dense(7), Sigmoid(), Dense(6), Tanh(), Dense(3)),
        classes=3,
        optimiser=Sgd(0.1, momentum=0.9),
    ),
    _net(
        "conv",
        (3, 12, 9),
        "cross-entropy",
        *(Conv2d(6, kernel=3, stride=2, padding=1), Relu(), MaxPool(2, stride=1)),
        *(Conv2d(5, kernel=3, padding=2), AvgPool(3, stride=2)),
        *(Flatten(), Dense(8), Relu(), Dense(4)),
        classes=4,
        optimiser=Sgd(0.1, momentum=0.9),
    ),
    _net(
        "residual",
        (3, 9, 7),
        "cross-entropy",
        *(Conv2d(4, kernel=3, padding=1, bias=False), BatchNorm(), Relu(), Dropout(0.25)),
        Residual(
            body=(
                *(Conv2d(4, kernel=3, padding=1, bias=False), BatchNorm(), Relu()),
                *(Conv2d(4, kernel=3, padding=1, bias=False), BatchNorm()),
            )
        ),
        Relu(),
        Residual(
            body=(
                Conv2d(6, kernel=3, stride=2, padding=1, bias=False),
                BatchNorm(epsilon=1e-2, momentum=0.3),
            ),
            shortcut=(AvgPool(1, stride=2), PadChannels(6)),
        ),
        *(Relu(), GlobalAvgPool(), Dense(4)),
        classes=4,
        optimiser=Sgd(0.1, momentum=0.9, weight_decay=0.01),
        schedule=Cosine(steps=6, warmup=2),
        label_smoothing=0.1,
    ),
    _net(
        "adamw",
        (5,),
        "cross-entropy",
        *(Dense(7), LayerNorm(epsilon=1e-2), Tanh(), Dropout(0.3)),
        Residual(body=(Dense(7), Tanh(), Dropout(0.5)), shortcut=(Dense(7), LayerNorm())),
        Dense(3),
        classes=3,
        optimiser=AdamW(0.01, weight_decay=0.1),
    ),
    _net(
        "adam",
        (5,),
        "mean-squared-error",
        *(Dense(6), Tanh(), BatchNorm(), Dense(3)),
        classes=3,
        optimiser=Adam(0.01, beta1=0.8, beta2=0.99, epsilon=1e-3, weight_decay=0.1),
        schedule=Stairs(every=2, gamma=0.5),
    ),
)
NETS = {net.name: net for net in _NETS}


def look(adapter: Adapter, weights: Weights, batches: list[Batch]) -> dict[str, Any]:
    """Return everything that an adapter tells about its step, as arrays by name."""
    found: dict[str, Any] = {}

    def told(kind: str, arrays: Weights) -> None:
        found.update({f"{kind}/{name}": array for name, array in arrays.items()})

    step = adapter.step(batches[0])
    found.update({"step/logits": step.logits, "step/loss": np.asarray(step.loss)})
    told("gradient", step.gradients)
    told("start", adapter.weights())
    found["losses"] = _train(adapter, batches)
    told("trained", adapter.weights())
    found["predicted"] = adapter.predict([batch.inputs for batch in batches])
    adapter.load(weights)
    told("start again", adapter.weights())
    found["losses again"] = _train(adapter, batches)
    told("trained again", adapter.weights())
    return found


def _train(adapter: Adapter, batches: list[Batch]) -> NDArray:
    return np.concatenate([adapter.train(batches[:FIRST]), adapter.train(batches[FIRST:])])


def given(arrays: Any, net: str) -> tuple[Weights, list[Batch]]:
    """Return a net's start weights and batches from arrays named ``<net>/<what>``."""
    workload = NETS[net]
    weights = {name: arrays[f"{net}/{name}"] for name in (*workload.parameters, *workload.state)}
    masks = sorted(key for key in arrays if key.startswith(f"{net}/mask"))
    portions = zip(*(arrays[key] for key in masks), strict=True) if masks else [()] * STEPS
    inputs, labels = arrays[f"{net}/inputs"], arrays[f"{net}/labels"]
    return weights, [Batch(*one) for one in zip(inputs, labels, portions, strict=True)]


def _look(framework: str, mode: str, arrays: str, found: str) -> None:
    """Look at every net; one that fails leaves its traceback under ``<net>/failed``."""
    answers: dict[str, Any] = {}
    with np.load(arrays) as file:
        loaded = dict(file)
    for net, workload in NETS.items():
        weights, batches = given(loaded, net)
        try:
            adapter = frameworks.adapter(framework)(workload, weights, Options(mode))
            told = {"versions": adapter.versions(), "settings": adapter.settings()}
            seen = {"told": json.dumps(told), **look(adapter, weights, batches)}
        except Exception:
            seen = {"failed": traceback.format_exc()}
        answers.update({f"{net}/{key}": value for key, value in seen.items()})
    np.savez(found, **answers)


def _refuse(framework: str, mode: str) -> None:
    """Print, as JSON, what the adapter says to options that cannot be had here; "" for nothing."""
    said = {}
    wanted = [Options("no-such-mode"), *(Options(mode, d) for d in ("no-such-device", "cuda:99"))]
    start = {name: np.zeros(shape, np.float32) for name, shape in NETS["dense"].parameters.items()}
    for options in wanted:
        try:
            frameworks.adapter(framework)(NETS["dense"], start, options)
            said[f"{options.mode} on {options.device}"] = ""
        except Unavailable as error:
            said[f"{options.mode} on {options.device}"] = str(error)
    print(json.dumps(said))


if __name__ == "__main__":
    {"look": _look, "refuse": _refuse}[sys.argv[1]](*sys.argv[2:])
