"""Small workloads, their reference runs, and what honest and wrong adapters answer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frameworks.answers import Answers, answers
from frameworks.contract import Adapter, Options, Weights
from frameworks.reference.adapter import Reference
from harness.parity import ReferenceRun, run_reference
from workloads import init, spec
from workloads.batches import Batch
from workloads.spec import Workload

STEPS = 6


class Single(Reference):
    """The reference in float32: as right as a framework can be."""

    def __init__(self, workload: Workload, weights: Weights, options: Options) -> None:
        super().__init__(workload, weights, options, np.float32)


def batches(workload: Workload, count: int = STEPS, seed: int = 7) -> list[Batch]:
    """Batches of normal inputs or of tokens, with the workload's masks; a step in ten has no label."""
    random, size = np.random.default_rng(seed), workload.data.batch

    def inputs() -> NDArray:
        shape = (size, *workload.input_shape)
        if workload.tokens:
            return random.integers(0, workload.tokens, shape).astype(np.float32)
        return random.standard_normal(shape, dtype=np.float32)

    def labels() -> NDArray:
        drawn = random.integers(0, workload.classes, (size, *workload.label_shape))
        if workload.label_shape:
            drawn[random.random(drawn.shape) < 0.1] = -1
        return drawn

    masks = partial(init.dropout_masks, workload)
    return [Batch(inputs(), labels(), masks(step)) for step in range(count)]


def net(*layers: Mapping[str, Any], **changes: Any) -> Workload:
    """A net on digits: `layers` and then a dense one; `changes` are tables of the file."""
    table: dict[str, Any] = {
        "name": "net",
        "title": "A net",
        "loss": "cross-entropy",
        "layers": [*layers, {"kind": "dense", "units": 10}],
        "data": {"dataset": "digits", "batch": 8, "epochs": 1},
        "init": {"kind": "he-normal"},
        "optimiser": {"kind": "sgd", "lr": 0.1, "momentum": 0.9},
    }
    return spec.from_dict(table | changes, "a test's net")


NORMED = net(
    {"kind": "conv2d", "filters": 4, "kernel": 3},
    {"kind": "batchnorm"},
    {"kind": "relu"},
    {"kind": "dropout", "rate": 0.25},
    {"kind": "flatten"},
)


@cache
def run_of(workload: Workload, steps: int = STEPS) -> ReferenceRun:
    """The reference run over the workload's `batches`."""
    return run_reference(workload, init.start_weights(workload), batches(workload, steps))


def catalogue(name: str) -> Workload:
    """A workload of the catalogue, with small batches."""
    return spec.load(name).with_data(batch=8)


def adapter_of(run: ReferenceRun, kind: Any = Single) -> Adapter:
    """An adapter where the run begins."""
    made: Adapter = kind(run.workload, run.start, Options("numpy"))
    return made


def answered(run: ReferenceRun, kind: Any = Single) -> Answers:
    """What an adapter answers over the run's batches."""
    accumulate = run.workload.optimiser.accumulate
    return answers(adapter_of(run, kind), run.start, run.batches, accumulate)


def shared(path: str) -> Path | None:
    """A file of the examples beside the checkout, where they are."""
    folder = Path(__file__).resolve().parents[4] / "shared"
    return folder / path if (folder / path).exists() else None


def differs(a: NDArray, b: NDArray) -> float:
    """||a - b|| / ||b||."""
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))
