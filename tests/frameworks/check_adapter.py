"""Runs one adapter on tiny nets, inside its framework's environment: arrays in, arrays out.

    python -P check_adapter.py look <framework> <mode> <given.npz> <found.npz> <net>...
    python -P check_adapter.py refuse <framework> <mode>

Standard library and NumPy only. The test that calls it imports the nets, `look` and `take_up` from
here too, to ask the reference the same.
"""

from __future__ import annotations

import json
import sys
import traceback
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# At the end of the path, so that nothing in the tree shadows a library.
sys.path.append(str(Path(__file__).resolve().parents[2]))

import frameworks
from frameworks.contract import Adapter, Memory, Options, Unavailable, Weights
from frameworks.portions import SEVERAL
from tests.frameworks.nets import FALLING, NETS, WORKLOADS
from workloads.batches import Batch

STEPS = 5
FIRST = 2  # the steps of the first call of train(); the rest are taken in a second
LONG = SEVERAL + 1  # batches of a list of which one call may train on several, and one is left
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
    """Return what comes of one training batch by batch, and of the same taken up at each of its steps.

    Arrays by name, of each count of steps: ``<steps>/memory/<slot>/<parameter>``, then
    ``<steps>/gone on/<what>`` and ``<steps>/taken up/<what>``.
    """
    adapter.load(weights)
    reached = [(adapter.weights(), adapter.memory())]
    losses, states = _step_by_step(adapter, batches)
    reached += states
    end, arrays = _outcome(adapter, []), dict[str, Any]()
    for steps, (there, memory) in enumerate(reached[:-1]):
        assert memory.steps == steps
        adapter.load(there)
        adapter.restore(memory)
        losses_there, _ = _step_by_step(adapter, batches[steps:])
        parts = {"memory": _slots(memory), "gone on": {**end, "losses": losses[steps:]}}
        parts["taken up"] = {**_outcome(adapter, []), "losses": losses_there}
        for part, named in parts.items():
            arrays.update({f"{steps}/{part}/{name}": array for name, array in named.items()})
    return arrays


def _step_by_step(
    adapter: Adapter, batches: list[Batch]
) -> tuple[NDArray, list[tuple[Weights, Memory]]]:
    """Train; return the losses and what was reached after each batch.

    Who reads weights may have them rounded: MXNet's variances come from another form.
    """
    losses, reached = [], []
    for batch in batches:
        losses.append(adapter.train([batch]))
        reached.append((adapter.weights(), adapter.memory()))
    return np.concatenate(losses), reached


def long_list(adapter: Adapter, weights: Weights, batches: list[Batch]) -> dict[str, NDArray]:
    """Return what comes of a list of LONG batches, and of the same batches one by one.

    Arrays by name: ``at once/<what>`` and ``one by one/<what>``.
    """
    many = list(islice(cycle(batches), LONG))
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
    start = {name: np.zeros(shape, np.float32) for name, shape in NETS["adam"].parameters.items()}
    for options in wanted:
        try:
            frameworks.adapter(framework)(NETS["adam"], start, options)
            said[f"{options.mode} on {options.device}"] = ""
        except Unavailable as error:
            said[f"{options.mode} on {options.device}"] = str(error)
    print(json.dumps(said))


if __name__ == "__main__":
    {"look": _look, "refuse": _refuse}[sys.argv[1]](*sys.argv[2:])
