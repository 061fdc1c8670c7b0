"""What every planted fault is made of: an honest adapter, to which everything is passed on.

Worker side: the standard library and numpy only. A fault is written once, around any adapter, from
what that is given and hands back. Imports within the folder are relative, for it is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frameworks.contract import Adapter, Options, Step, Weights
from frameworks.kernels import Kernel
from workloads.batches import Batch
from workloads.spec import Workload

LONG = 25
"""A list of more batches than this is long: those of the parity check's trained steps are shorter."""


class Fault(Adapter):
    """none: the honest adapter"""

    inner: Any
    """The honest adapter. Any: tests give it further attributes."""

    def __init__(
        self, honest: type[Adapter], workload: Workload, weights: Weights, options: Options
    ) -> None:
        """Build an adapter of the class `honest`; the rest is the contract's."""
        self.workload, self.start = workload, weights
        self._honest, self._options = honest, options
        self.inner = self.another(workload)

    def another(self, workload: Workload) -> Any:
        """Return a further honest adapter of `workload`, at the start weights."""
        return self._honest(workload, self.start, self._options)

    @cached_property
    def second(self) -> Any:
        """A second honest adapter of the same workload."""
        return self.another(self.workload)

    def predict_with(self, weights: Weights, inputs: Sequence[NDArray]) -> NDArray[np.float32]:
        """Predict with these weights by the second adapter; the first stays as it is."""
        self.second.load(weights)
        return self.second.predict(inputs)

    def set_weights(self, weights: Weights) -> None:
        """Replace weights and state; the optimiser's memory stays as it is."""
        memory = self.inner.memory()
        self.inner.load(weights)
        self.inner.restore(memory)

    @staticmethod
    def versions() -> dict[str, str]:
        return {}

    def settings(self) -> dict[str, object]:
        return self.inner.settings()

    def load(self, weights: Weights) -> None:
        self.inner.load(weights)

    def restore(self, memory: Any) -> None:
        self.inner.restore(memory)

    def memory(self) -> Any:
        return self.inner.memory()

    def train(self, batches: Sequence[Batch]) -> NDArray[np.float32]:
        return self.inner.train(batches)

    def predict(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return self.inner.predict(inputs)

    def step(self, batch: Batch) -> Step:
        return self.inner.step(batch)

    def weights(self) -> Weights:
        return self.inner.weights()

    def kernels(self) -> dict[str, Kernel]:
        return self.inner.kernels()
