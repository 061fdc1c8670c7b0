"""Runs one adapter on tiny nets, inside its framework's environment: arrays in, arrays out.

    python -P check_adapter.py look <framework> <mode> <given.npz> <found.npz> <net>...
    python -P check_adapter.py refuse <framework> <mode>

Standard library and NumPy only. The test that calls it imports the nets, `look` and `take_up` from
here too, to ask the reference the same.
"""

from __future__ import annotations

import dataclasses
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
from frameworks.contract import Adapter, Memory, Options, Unavailable, Weights
from workloads.batches import Batch
from workloads.layers import (
    BIDIRECTIONAL,
    REVERSE,
    SINUSOIDAL,
    Attention,
    AvgPool,
    BatchNorm,
    Branches,
    Conv1d,
    Conv2d,
    Dense,
    Dropout,
    Elu,
    Embedding,
    Flatten,
    Gelu,
    GlobalAvgPool,
    GroupNorm,
    Gru,
    LastStep,
    Layer,
    LayerNorm,
    LeakyRelu,
    Lstm,
    MaxPool,
    MeanSteps,
    PadChannels,
    Patches,
    Positions,
    Relu,
    Residual,
    RmsNorm,
    Rows,
    Sigmoid,
    Silu,
    Softplus,
    Tanh,
)
from workloads.optimisers import (
    Adam,
    AdamW,
    Constant,
    Cosine,
    Optimiser,
    RmsProp,
    Schedule,
    Sgd,
    Stairs,
)
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
    last: str = "drop",
    tokens: int = 0,
) -> Workload:
    """With `tokens`, inputs are such, and the labels are one a step."""
    return Workload(
        name=name,
        title=name,
        data=Data("synthetic", batch=6, epochs=1, last=last),
        layers=layers,
        init=Init("uniform-fan-in"),
        loss=loss,
        label_smoothing=label_smoothing,
        optimiser=optimiser,
        schedule=schedule or Constant(),
        target_accuracy=0.0,
        input_shape=shape,
        classes=classes,
        tokens=tokens,
        label_shape=shape if tokens else (),
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
    _net(
        "nesterov",
        (3, 8, 7),
        "cross-entropy",
        *(Conv2d(4, kernel=3, padding=1, bias=False), BatchNorm(), Relu(), Dropout(0.25)),
        *(Flatten(), Dense(6), Tanh(), Dense(4)),
        classes=4,
        optimiser=Sgd(
            0.5,
            momentum=0.9,
            nesterov=True,
            weight_decay=0.05,
            decay="kernels",
            clip_norm=0.5,
            accumulate=2,
            average=0.8,
        ),
        schedule=Stairs(every=1, gamma=0.5),
        last="keep",
    ),
    _net(
        "rmsprop",
        (5,),
        "cross-entropy",
        *(Dense(7), Tanh(), Dense(3)),
        classes=3,
        optimiser=RmsProp(0.01, rho=0.8, momentum=0.9, epsilon=1e-2, clip_value=0.02, average=0.8),
    ),
    _net(
        "sequence",
        (2, 5, 4),
        "cross-entropy",
        *(Conv2d(3, kernel=2), Rows(), Dense(7), LayerNorm(epsilon=1e-2), Tanh(), Dropout(0.25)),
        Residual(
            body=(Dense(6), Relu(), Residual(body=(Dense(6), Sigmoid())), LastStep()),
            shortcut=(MeanSteps(), Dense(6)),
        ),
        Residual(body=(Dense(6), Tanh())),
        Dense(4),
        classes=4,
        optimiser=Sgd(0.1, momentum=0.9),
    ),
    _net(
        "attention",
        (2, 4, 6),
        "cross-entropy",
        *(Patches(2), Dense(8), Positions()),
        Residual(body=(LayerNorm(epsilon=1e-2), Attention(2))),
        *(Attention(4, bias=False, dropout=0.25), LayerNorm(), MeanSteps(), Dense(4)),
        classes=4,
        optimiser=Sgd(0.1, momentum=0.9),
    ),
    _net(
        "tokens",
        (7,),
        "cross-entropy",
        *(Embedding(11, 6, padding=3), Attention(2, causal=True), Positions(), Dropout(0.25)),
        Residual(body=(LayerNorm(epsilon=1e-2), Attention(3, causal=True, dropout=0.25))),
        *(Tanh(), Dense(11)),
        classes=11,
        optimiser=Sgd(1.0, momentum=0.9),
        label_smoothing=0.1,
        tokens=11,
    ),
    _net(
        "text",
        (9,),
        "cross-entropy",
        *(Embedding(13, 8), Positions(), Positions(SINUSOIDAL), Attention(2, causal=True)),
        *(LayerNorm(), Dense(13)),
        classes=13,
        optimiser=AdamW(0.01, weight_decay=0.1),
        tokens=13,
    ),
    _net(
        "activations",
        (6,),
        "cross-entropy",
        *(Dense(9), LeakyRelu(0.2), Dense(8), Elu(0.7), RmsNorm(1e-2), Dense(8), Gelu()),
        Residual(body=(Dense(7), Silu(), Dense(8), RmsNorm()), shortcut=(Dense(8), Elu())),
        *(Gelu("tanh"), Dense(7), Softplus(), Dense(4)),
        classes=4,
        optimiser=Sgd(0.5, momentum=0.9),
    ),
    _net(
        "recurrent",
        (2, 3, 4),
        "cross-entropy",
        *(Rows(), Lstm(3, BIDIRECTIONAL), RmsNorm(), Gru(5, REVERSE), MeanSteps(), Dense(4)),
        classes=4,
        optimiser=Adam(0.01),
    ),
    # Of inputs with mean 100 and deviation 0.3: a variance E[x^2] - E[x]^2 has no digit left.
    _net(
        "offset",
        (3, 5, 4),
        "cross-entropy",
        Branches(
            "add",
            (
                (BatchNorm(), Tanh(), Flatten(), Dense(6)),
                (Flatten(), BatchNorm(), Dense(6)),
                (GroupNorm(1), Tanh(), Flatten(), Dense(6)),
            ),
        ),
        *(Tanh(), Dense(4)),
        classes=4,
        optimiser=Sgd(0.1),
    ),
    # Every way of padding, dilation, groups: sides, strides and sizes leave rests and odd elements.
    _net(
        "windows",
        (4, 19, 16),
        "cross-entropy",
        *(Conv2d(8, kernel=3, stride=2, padding="same"), Relu(), MaxPool(3, 1, padding="same")),
        *(Conv2d(8, kernel=3, padding=(0, 1, 2, 1), groups=8), Tanh()),
        AvgPool(3, stride=2, padding=(1, 0, 0, 1), ceil=True),
        *(Conv2d(6, kernel=3, padding=2, dilation=2, groups=2), Relu()),
        MaxPool(2, padding=(1, 0, 0, 0), ceil=True),
        AvgPool(3, stride=1, padding=1, count_padding=True),
        *(Tanh(), AvgPool(2, ceil=True, count_padding=True), Flatten(), Dense(4)),
        classes=4,
        optimiser=Sgd(0.1, momentum=0.9),
    ),
    _net(
        "branches",
        (3, 8, 7),
        "cross-entropy",
        *(Conv2d(8, kernel=3, padding=1), GroupNorm(4, epsilon=1e-2), Relu()),
        Branches(
            "concat",
            (
                (Conv2d(4, kernel=1), Dropout(0.25)),
                (Conv2d(12, kernel=3, padding=1), Relu(), GroupNorm(2)),
                (MaxPool(3, stride=1, padding=1),),
                (),
            ),
        ),
        *(Conv2d(5, kernel=1), AvgPool(3, stride=2, padding=1, ceil=True)),
        Branches(
            "add",
            (
                (),
                (Conv2d(5, kernel=3, padding="same", groups=5), Tanh()),
                (Sigmoid(), Dropout(0.3)),
            ),
        ),
        *(GlobalAvgPool(), Branches("concat", ((Dense(3),), ())), GroupNorm(2), Dense(4)),
        classes=4,
        optimiser=Sgd(0.1, momentum=0.9),
    ),
    _net(
        "steps",
        (11, 4),
        "cross-entropy",
        *(Conv1d(6, kernel=3, padding="causal"), Relu()),
        *(Conv1d(6, kernel=2, stride=2, padding="same", groups=6, bias=False), Tanh()),
        Conv1d(4, kernel=2, padding=(1, 2), dilation=2, groups=2),
        *(Branches("concat", ((Conv1d(3, kernel=1),), ())), Relu(), Flatten(), Dense(3)),
        classes=3,
        optimiser=Sgd(0.1, momentum=0.9),
    ),
)
NETS = {net.name: net for net in _NETS}

_END = Cosine(steps=2, warmup=1)  # Of STEPS, the last two are taken at a rate of 0.
_UPDATES = {
    "sgd, cosine": (Sgd(0.1), _END),
    "sgd, decay": (Sgd(0.1, weight_decay=0.01), Constant()),
    "momentum, warm-up": (Sgd(0.1, momentum=0.9), Constant(warmup=3)),
    "momentum, step": (Sgd(0.1, momentum=0.9), Stairs(every=2, gamma=0.3)),
    "momentum, cosine": (Sgd(0.1, momentum=0.9, weight_decay=0.01), _END),
    "adam, constant": (Adam(0.01), Constant()),
    "adam, cosine": (Adam(0.01, weight_decay=0.1), _END),
    "nesterov, cosine": (
        Sgd(0.1, momentum=0.9, nesterov=True, weight_decay=0.01, decay="kernels"),
        _END,
    ),
    "rmsprop, step": (
        RmsProp(0.01, momentum=0.9, weight_decay=0.1, decay="kernels", accumulate=2),
        Stairs(every=1, gamma=0.3),
    ),
    "adam, accumulated": (
        Adam(0.01, clip_norm=0.1, accumulate=2, average=0.9, weight_decay=0.1),
        Constant(warmup=3),
    ),
    "adamw, kernels": (
        AdamW(0.01, weight_decay=0.1, decay="kernels", accumulate=3, average=0.9),
        Constant(),
    ),
    "adamw, step": (AdamW(0.01, weight_decay=0.1), Stairs(every=2, gamma=0.3, warmup=1)),
}
UPDATES = {
    name: dataclasses.replace(NETS["adam"], name=name, optimiser=optimiser, schedule=schedule)
    for name, (optimiser, schedule) in _UPDATES.items()
}
"""One small net with further optimisers and schedules."""

WORKLOADS = NETS | UPDATES

FALLING = _net(
    "falling",
    (1,),
    "mean-squared-error",
    Dense(1),
    classes=1,
    optimiser=Sgd(0.1, momentum=0.9),
    schedule=Stairs(every=1, gamma=0.1),
)
FALLS = [-0.1, -0.119]
"""How far FALLING's bias has moved after one and two steps of gradient 1, by v = m v + g, w -= rate v."""


def fall(framework: str, mode: str) -> NDArray:
    """Return how far FALLING's bias has moved after each of two steps whose gradient is 1.

    y = weight x + bias is 2 both times, and 1 is right.
    """
    start = {"dense1.weight": np.full((1, 1), 0.1), "dense1.bias": np.full(1, 2.0)}
    weights = {name: array.astype(np.float32) for name, array in start.items()}
    adapter = frameworks.adapter(framework)(FALLING, weights, Options(mode))
    moved, labels = [], np.zeros(6, np.int64)
    for x in (0, 1):
        adapter.train([Batch(np.full((6, 1), x, np.float32), labels)])
        moved.append(adapter.weights()["dense1.bias"][0] - 2)
    return np.array(moved)


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


def take_up(adapter: Adapter, weights: Weights, batches: list[Batch]) -> dict[str, Any]:
    """Return what comes of a training that goes on after some steps, and of the same taken up there.

    Arrays by name, of each count of steps: ``<steps>/memory/<slot>/<parameter>``, then
    ``<steps>/gone on/<what>`` and ``<steps>/taken up/<what>``.
    """
    arrays: dict[str, Any] = {}
    for steps in range(STEPS):
        adapter.load(weights)
        if steps:
            adapter.train(batches[:steps])
        reached, memory = adapter.weights(), adapter.memory()
        assert memory.steps == steps
        gone_on = _outcome(adapter, batches[steps:])
        adapter.load(reached)
        adapter.restore(memory)
        parts = {"memory": _slots(memory), "gone on": gone_on}
        parts["taken up"] = _outcome(adapter, batches[steps:])
        for part, named in parts.items():
            arrays.update({f"{steps}/{part}/{name}": array for name, array in named.items()})
    return arrays


def long_list(adapter: Adapter, weights: Weights, batches: list[Batch]) -> dict[str, NDArray]:
    """Return what comes of a list of three times STEPS batches, and of the same batches one by one.

    Arrays by name: ``at once/<what>`` and ``one by one/<what>``.
    """
    many = 3 * batches
    adapter.load(weights)
    outcomes = {"at once": _outcome(adapter, many)}
    adapter.load(weights)
    losses = np.concatenate([adapter.train([batch]) for batch in many])
    outcomes["one by one"] = {**_outcome(adapter, []), "losses": losses}
    return {f"{way}/{name}": a for way, arrays in outcomes.items() for name, a in arrays.items()}


def _outcome(adapter: Adapter, batches: list[Batch]) -> dict[str, NDArray]:
    losses = adapter.train(batches) if batches else np.zeros(0, np.float32)
    return {"losses": losses, **adapter.weights(), **_slots(adapter.memory())}


def _slots(memory: Memory) -> dict[str, NDArray]:
    return {
        f"{slot}/{k}": array for slot, arrays in memory.slots.items() for k, array in arrays.items()
    }


def given(arrays: Any, net: str) -> tuple[Weights, list[Batch]]:
    """Return a net's start weights and batches from arrays named ``<net>/<what>``."""
    workload = WORKLOADS[net]
    weights = {name: arrays[f"{net}/{name}"] for name in (*workload.parameters, *workload.state)}
    masks = sorted(key for key in arrays if key.startswith(f"{net}/mask"))
    portions = zip(*(arrays[key] for key in masks), strict=True) if masks else [()] * STEPS
    inputs, labels = arrays[f"{net}/inputs"], arrays[f"{net}/labels"]
    batches = [Batch(*arrays) for arrays in zip(inputs, labels, portions, strict=True)]
    if workload.data.last == "keep":
        batches[1:3] = [_short(batches[1], 4), _short(batches[2], 4)]
    return weights, batches


def _short(batch: Batch, size: int) -> Batch:
    masks = tuple(mask[:size] for mask in batch.masks)
    return Batch(batch.inputs[:size], batch.labels[:size], masks)


def _look(framework: str, mode: str, arrays: str, found: str, *nets: str) -> None:
    """Look at some nets; one that fails leaves its traceback under ``<net>/failed``.

    What `take_up` returns is named ``<net>/from <its name>``, and that of `long_list`
    ``<net>/list <its name>``.
    """
    answers: dict[str, Any] = {}
    with np.load(arrays) as file:
        loaded = dict(file)
    for net in nets:
        weights, batches = given(loaded, net)
        try:
            adapter = frameworks.adapter(framework)(WORKLOADS[net], weights, Options(mode))
            described = {"versions": adapter.versions(), "settings": adapter.settings()}
            seen = {"told": json.dumps(described)}
            seen.update(look(adapter, weights, batches) if net in NETS else {})
            taken_up = take_up(adapter, weights, batches)
            seen.update({f"from {name}": array for name, array in taken_up.items()})
            lists = long_list(adapter, weights, batches)
            seen.update({f"list {name}": array for name, array in lists.items()})
        except Exception:
            seen = {"failed": traceback.format_exc()}
        answers.update({f"{net}/{key}": value for key, value in seen.items()})
    np.savez(found, falls=fall(framework, mode), **answers)


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
