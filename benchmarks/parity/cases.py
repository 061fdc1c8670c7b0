"""One question to all cells: a workload, its start weights and batches, as arrays and as files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.paths import cache_folder
from workloads import datasets, init, toml
from workloads.batches import Batch, Batches
from workloads.datasets import Arrays
from workloads.spec import Workload


@dataclass(frozen=True)
class Case:
    """A workload to check over some steps; `rows` names the rows of the table where it is counted."""

    rows: str
    label: str
    workload: Workload
    steps: int


@dataclass(frozen=True)
class Given:
    """What a case's training begins with.

    `arrays` is the folder of the data set, `folder` that of the start weights and the batch order: what
    a worker reads. `start` and `batches` are the same in memory, for the reference.
    """

    case: Case
    arrays: Path
    folder: Path
    start: Mapping[str, NDArray[np.float32]]
    batches: list[Batch]


def write(case: Case, folder: Path) -> Given:
    """Make the start weights and the batch order of a case, and write them into a new `folder`."""
    workload, arrays = case.workload, _arrays(case.workload.data.dataset)
    inputs, labels = arrays.open("train_inputs"), arrays.open("train_labels")
    start = init.start_weights(workload)
    # A whole epoch: a short batch is its last.
    steps = max(case.steps, init.steps_per_epoch(workload, len(labels)))
    order = init.batch_order(workload, len(labels), steps)
    folder.mkdir()
    np.save(folder / "order.npy", order)
    for name, weight in start.items():
        np.save(folder / f"{name}.npy", weight)
    batches = Batches(inputs, labels, order, workload).checked(case.steps)
    return Given(case, arrays.folder, folder, start, batches)


@cache
def _arrays(dataset: str) -> Arrays:
    """Return the data set, or stand-ins of its shapes where it would have to be fetched."""
    fetched = datasets.describe(dataset).download > 0
    return datasets.prepare(dataset, cache_folder() / "datasets", seed=0, synthetic=fetched)


def as_toml(workload: Workload) -> str:
    """Return the workload as a file that `spec.load` reads."""
    table = workload.to_dict()
    del table["name"]  # the file's name
    return toml.dumps(table)
