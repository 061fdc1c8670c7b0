"""Runs one adapter on a tiny net, inside its framework's environment: arrays in, arrays out.

    python -P check_adapter.py look <framework> <mode> <net> <given.npz> <found.npz>
    python -P check_adapter.py refuse <framework> <mode>

Standard library and NumPy only. The test that calls it imports NETS and `look` from here too, to
ask the reference the same.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# At the end of the path, so that nothing in the tree shadows a library.
sys.path.append(str(Path(__file__).resolve().parents[2]))

import frameworks
from frameworks.contract import Adapter, Options, Unavailable, Weights
from workloads.layers import AvgPool, Conv2d, Dense, Flatten, Layer, MaxPool, Relu, Sigmoid, Tanh
from workloads.spec import Data, Init, Optimiser, Workload

STEPS = 5


def _net(name: str, shape: tuple[int, ...], loss: str, *layers: Layer, classes: int) -> Workload:
    return Workload(
        name=name,
        title=name,
        data=Data("synthetic", batch=6, epochs=1),
        layers=layers,
        init=Init("uniform-fan-in"),
        loss=loss,
        optimiser=Optimiser("sgd", lr=0.1, momentum=0.9),
        target_accuracy=0.0,
        input_shape=shape,
        classes=classes,
    )


# Sides, strides and windows differ and leave a rest, so that no two of them can be exchanged.
NETS = {
    "dense": _net(
        "dense",
        (5,),
        "mean-squared-error",
        *(Dense(7), Sigmoid(), Dense(6), Tanh(), Dense(3)),
        classes=3,
    ),
    "conv": _net(
        "conv",
        (3, 12, 9),
        "cross-entropy",
        *(Conv2d(6, kernel=3, stride=2, padding=1), Relu(), MaxPool(2, stride=1)),
        *(Conv2d(5, kernel=3, padding=2), AvgPool(3, stride=2)),
        *(Flatten(), Dense(8), Relu(), Dense(4)),
        classes=4,
    ),
}


def look(adapter: Adapter, inputs: NDArray, labels: NDArray) -> dict[str, Any]:
    """Return everything that an adapter tells about its step, as arrays by name."""
    batches = list(zip(inputs, labels, strict=True))
    step = adapter.step(batches[0])
    found: dict[str, Any] = {"step/logits": step.logits, "step/loss": np.asarray(step.loss)}
    found.update({f"gradient/{name}": g for name, g in step.gradients.items()})
    found.update({f"untouched/{name}": w for name, w in adapter.weights().items()})
    found["losses"] = adapter.train(batches)
    found.update({f"trained/{name}": w for name, w in adapter.weights().items()})
    found["predicted"] = adapter.predict([x for x, _ in batches])
    return found


def _look(framework: str, mode: str, net: str, given: str, found: str) -> None:
    with np.load(given) as arrays:
        start: Weights = {k: arrays[k] for k in NETS[net].parameters}
        inputs, labels = arrays["inputs"], arrays["labels"]
    adapter = frameworks.adapter(framework)(NETS[net], start, Options(mode))
    told = {"versions": adapter.versions(), "settings": adapter.settings()}
    np.savez(found, told=json.dumps(told), **look(adapter, inputs, labels))


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
