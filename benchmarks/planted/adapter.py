"""PyTorch's eager adapter again, under modes that are identical, or worse in one known way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frameworks.contract import Options, Weights
from frameworks.pytorch.adapter import PyTorch
from workloads.batches import Batch
from workloads.spec import Workload

SLOWED = {"slow2": 0.02, "slow5": 0.05, "slow10": 0.10}
"""Training takes longer by this part."""

LARGER = {"large5": 0.05}
"""The peak of memory, over what the import takes, is larger by this part."""

WRONG = {"wrong1": 0.01}
"""This part of the test examples is given another class."""

STEEPER = {"steep1": 0.01}
"""One gradient is too large by this part."""


class Planted(PyTorch):
    """Every mode computes the same by the same code, but for what is planted in it."""

    def __init__(self, workload: Workload, weights: Weights, options: Options) -> None:
        self._planted = options.mode
        self._ballast: NDArray[np.uint8] | None = None
        self._draw = np.random.default_rng()
        super().__init__(workload, weights, replace(options, mode="eager"))
        if part := STEEPER.get(options.mode):
            first = next(one for one in self._tensors.values() if one.requires_grad)
            first.register_hook(lambda gradient: gradient * (1 + part))

    def train(self, batches: Sequence[Batch]) -> NDArray[np.float32]:
        begin = time.perf_counter()
        losses = super().train(batches)
        slowed = SLOWED.get(self._planted, 0.0)
        end = begin + (time.perf_counter() - begin) * (1 + slowed)
        while slowed and time.perf_counter() < end:
            pass  # a step that takes longer keeps its core busy
        return losses

    def predict(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        logits = super().predict(inputs)
        part = LARGER.get(self._planted)
        if part and self._ballast is None:
            # Memory freed below the peak is filled first: else the ballast would raise the peak by less.
            now, peak = _kilobytes("VmRSS"), _kilobytes("VmHWM")
            larger = part * (peak - IMPORTED) + peak - now
            self._ballast = np.ones(int(1024 * larger), dtype=np.uint8)
        for row in np.flatnonzero(self._draw.random(len(logits)) < WRONG.get(self._planted, 0.0)):
            second, best = np.argsort(logits[row])[-2:]
            logits[row, [second, best]] = logits[row, [best, second]]
        return logits


def _kilobytes(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{key}:")))


IMPORTED = _kilobytes("VmRSS")
"""What the import takes, as the harness counts it."""
