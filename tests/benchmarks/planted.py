"""Faults of lists and predictions as tests plant them, and the net and batches that they are tried on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.faults import WORKLOAD
from benchmarks.planted_faults.catalogue import FAULTS, HONEST
from benchmarks.planted_faults.fault import LONG, Fault
from frameworks.contract import Options, Weights
from frameworks.reference.adapter import Reference
from workloads import spec
from workloads.batches import Batch
from workloads.init import dropout_masks, start_weights

NET = spec.load(str(WORKLOAD)).with_data(batch=8)
START = start_weights(NET)
RANDOM = np.random.default_rng(0)
EXAMPLES = RANDOM.standard_normal((64, NET.data.batch, *NET.input_shape), dtype=np.float32)
LABELS = RANDOM.integers(0, NET.classes, (64, NET.data.batch))
BATCHES = [Batch(EXAMPLES[i], LABELS[i], dropout_masks(NET, i)) for i in range(64)]
LIST = BATCHES[: LONG + 6]
INPUTS = [batch.inputs for batch in LIST]
ALL = [name for name in FAULTS if name != HONEST]


class Honest(Reference):
    """The reference with an optimiser's memory that can be read and set, as the contract will have."""

    def memory(self) -> Any:
        return self._taken, {name: v.copy() for name, v in self._update.v.items()}  # type: ignore[attr-defined]

    def restore(self, memory: Any) -> None:
        self._taken, slots = memory
        self._update.v = {name: v.copy() for name, v in slots.items()}  # type: ignore[attr-defined]


def honest(workload: spec.Workload = NET) -> Honest:
    return Honest(workload, START, Options("numpy"))


def planted(name: str) -> Fault:
    return FAULTS[name](Honest, NET, START, Options("numpy"))


def trained(batches: list[Batch], workload: spec.Workload = NET) -> Weights:
    adapter = honest(workload)
    adapter.train(batches)
    return adapter.weights()


def same(weights: Weights, others: Weights) -> bool:
    return all(np.array_equal(weights[name], others[name]) for name in START)


def parts(logits: NDArray) -> list[NDArray]:
    return list(logits.reshape(-1, NET.data.batch, NET.classes))
