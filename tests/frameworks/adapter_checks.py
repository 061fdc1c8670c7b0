"""Every framework's adapter, in every mode, takes the reference's step. Frameworks are discovered.

Each case runs in the framework's own environment, which is built where it is missing.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frameworks.contract import Options, Weights
from frameworks.reference.adapter import Reference
from tests.frameworks import inside
from tests.frameworks.check_adapter import STEPS, given, look, take_up
from tests.frameworks.inside import FRAMEWORK_SPECS
from tests.frameworks.nets import NETS, WORKLOADS
from workloads.init import dropout_masks, start_weights

SCRIPT = Path(__file__).with_name("check_adapter.py")
# float32 rounds by at most 6e-8. These nets sum some 10 to 400 products ten layers deep, and the
# errors of a sum of n terms grow as sqrt(n) to n; where a batch norm makes the terms of a gradient
# nearly cancel, they weigh more. 160 roundings are allowed, up to 70 are seen (12 without norms).
# Any difference in the maths (padding, momentum's form, a sum for a mean) is far above: 1e-2 or more.
TOLERANCE = 1e-5
# After five steps, five steps' errors have partly added up, and what a weight moved by is a
# difference of numbers some 5 times as large: up to 4.4e-6 is seen.
TRAINED_TOLERANCE = 1.5e-5
# Inputs of mean 100 and deviation 0.3 lose some 300 times as much where a float32 mean is taken off:
# up to 2.1e-4 is seen, and 9e-3 with a variance E[x^2] - E[x]^2.
OFFSET = 100


def cases(nets: Iterable[str]) -> list[Any]:
    """Every framework x mode x net."""
    return [
        pytest.param(*case.values, net, marks=case.marks, id=f"{case.id}-{net}")
        for case in modes(everywhere=True)
        for net in nets
        if _tried(*case.values, net)
    ]


def modes(everywhere: bool = False) -> list[Any]:
    """As `inside.modes`; one process does all of a framework and mode, which read the same answers."""
    cases = []
    for case in inside.modes(everywhere):
        framework, mode = case.values
        marks = [*case.marks, pytest.mark.slow, pytest.mark.xdist_group(f"{framework} {mode}")]
        cases.append(pytest.param(framework, mode, marks=marks, id=case.id))
    return cases


def _tried(framework: str, mode: str, net: str) -> bool:
    """Whether a mode is tried with a net: compilers take long, and compile each net anew.

    Modes that serve on cards only compute on a CPU as another mode does: one net shows it.
    """
    if mode not in FRAMEWORK_SPECS[framework].modes_on("cpu"):
        return net == "residual"
    return net in NETS or not inside.calls_compiler(framework, mode)


def _weights(net: str) -> Weights:
    """Start weights, but norms and their state off 1 and 0, where much would look the same."""
    random, weights = np.random.default_rng(8), start_weights(WORKLOADS[net])
    for name, array in weights.items():
        if name.rpartition(".")[0].rpartition(".")[2].startswith("norm"):
            array += random.uniform(-0.3, 0.3, array.shape).astype(np.float32)
    return weights


@cache
def _given() -> dict[str, np.ndarray]:
    """The weights, inputs, labels and masks of every net, named ``<net>/<what>``."""
    arrays = {}
    for net, workload in WORKLOADS.items():
        random, shape = np.random.default_rng(7), (STEPS, workload.data.batch)
        inputs = random.standard_normal((*shape, *workload.input_shape), dtype=np.float32)
        if workload.tokens:
            inputs = random.integers(0, workload.tokens, inputs.shape).astype(np.float32)
        if net == "offset":
            inputs = np.float32(100) + np.float32(0.3) * inputs
        # Low classes are the more frequent: evenly spread, an untrained net's bias gradients
        # would all but cancel over the batch, and leave little but rounding.
        label_shape = (*shape, *workload.label_shape)
        labels = random.integers(0, workload.classes, (2, *label_shape)).min(axis=0)
        if workload.label_shape:
            labels[random.random(label_shape) < 0.2] = -1
        masks = zip(*(dropout_masks(workload, step) for step in range(STEPS)), strict=True)
        own = {"inputs": inputs, "labels": labels, **_weights(net)}
        own.update({f"mask{i}": np.stack(steps) for i, steps in enumerate(masks)})
        arrays.update({f"{net}/{name}": array for name, array in own.items()})
    return arrays


@cache
def answers_of_mode(framework: str, mode: str) -> dict[str, np.ndarray]:
    """What the adapter tells of all its nets, named as above: one process, for importing is slow."""
    nets = [net for net in WORKLOADS if _tried(framework, mode, net)]
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / name) for name in ("given.npz", "found.npz")]
        np.savez(files[0], **_given())
        inside.run(framework, SCRIPT, "look", framework, mode, *files, *nets)
        with np.load(files[1]) as arrays:
            return dict(arrays)


def _answers_of(framework: str, mode: str, net: str, of: str = "") -> dict[str, Any]:
    """What `look` returns of one net; what `take_up` does `of` "from ", `long_list` of "list "."""
    inside.skip_without_program(framework, mode)
    answers, prefix = answers_of_mode(framework, mode), f"{net}/"
    of_net = {k.removeprefix(prefix): v for k, v in answers.items() if k.startswith(prefix)}
    assert "failed" not in of_net, str(of_net["failed"])[-4000:]
    stems = tuple(stem for stem in ("from ", "list ") if stem != of)
    chosen = {k: v for k, v in of_net.items() if k.startswith(of) and not k.startswith(stems)}
    return {k.removeprefix(of): v for k, v in chosen.items()}


@cache
def _right(net: str) -> dict[str, np.ndarray]:
    weights, batches = given(_given(), net)
    return look(Reference(NETS[net], weights, Options("numpy")), weights, batches)


@cache
def _right_memory(net: str) -> dict[str, np.ndarray]:
    weights, batches = given(_given(), net)
    taken_up = take_up(Reference(WORKLOADS[net], weights, Options("numpy")), weights, batches)
    return {name: array for name, array in taken_up.items() if "/memory/" in name}


def _error(found: np.ndarray, right: np.ndarray) -> float:
    assert found.shape == right.shape
    return float(np.linalg.norm(found.astype(np.float64) - right) / np.linalg.norm(right))


def the_same_step(framework: str, mode: str, net: str) -> None:
    """The adapter takes the reference's step: its logits, loss, gradients, and what training comes to."""
    found = _answers_of(framework, mode, net)
    told = json.loads(str(found.pop("told")))
    assert told["versions"]
    assert told["settings"]

    right, start = _right(net), _weights(net)
    looser = OFFSET if net == "offset" else 1
    assert list(found) == list(right)  # the same names, in the same order
    for name, array in found.items():
        kind, _, parameter = name.partition("/")
        if kind != "step" or parameter == "logits":
            assert array.dtype == np.float32, name
        if kind.startswith("start"):
            why = "load() left" if kind.endswith("again") else "step() changed"
            assert np.array_equal(array, start[parameter]), f"{why} {parameter}"
        elif kind.startswith("trained"):
            before = start[parameter].astype(np.float64)
            error = _error(array - before, right[name] - before)
            assert error < looser * TRAINED_TOLERANCE, name
        else:
            tolerance = TRAINED_TOLERANCE if kind == "predicted" else TOLERANCE
            assert _error(array, np.asarray(right[name])) < looser * tolerance, name


def taken_up_to_the_bit(framework: str, mode: str, net: str) -> None:
    """A training goes on from any step as if it had not ended."""
    found = _answers_of(framework, mode, net, "from ")
    going_on = [name for name in found if "/gone on/" in name]
    assert len(going_on) >= STEPS * (1 + len(WORKLOADS[net].parameters))
    for name in going_on:
        assert np.array_equal(found[name], found[name.replace("gone on", "taken up")]), name


def the_memory_of_the_reference(framework: str, mode: str, net: str) -> None:
    """The optimiser's slots are the reference's after any step."""
    found = _answers_of(framework, mode, net, "from ")
    right = _right_memory(net)
    assert [name for name in found if "/memory/" in name] == list(right)
    for name, array in right.items():
        assert found[name].dtype in (np.float32, np.float64), name
        if not array.any():  # before the first step, or a sum after an update
            assert not found[name].any(), name
        else:
            assert _error(found[name], array) < TRAINED_TOLERANCE, name


def a_long_list_as_one_by_one(framework: str, mode: str, net: str) -> None:
    """A long list comes to what its batches do one by one."""
    found = _answers_of(framework, mode, net, "list ")
    at_once = [name for name in found if name.startswith("at once/")]
    assert len(at_once) > len(WORKLOADS[net].parameters)
    for name in at_once:
        array, expected = found[name], found[name.replace("at once", "one by one")]
        assert np.linalg.norm(array - expected) <= TRAINED_TOLERANCE * np.linalg.norm(expected), (
            name
        )
