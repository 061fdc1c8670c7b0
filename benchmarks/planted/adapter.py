"""PyTorch's eager adapter again, under modes that are identical or slowed by a known part."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from frameworks.contract import Options, Weights
from frameworks.pytorch.adapter import PyTorch
from workloads.batches import Batch
from workloads.spec import Workload

SLOWED = {"slow2": 0.02, "slow5": 0.05, "slow10": 0.10}


class Planted(PyTorch):
    """Every mode computes the same by the same code; the slowed ones wait after their steps."""

    def __init__(self, workload: Workload, weights: Weights, options: Options) -> None:
        self._slowed_by = SLOWED.get(options.mode, 0.0)
        super().__init__(workload, weights, replace(options, mode="eager"))

    def train(self, batches: Sequence[Batch]) -> NDArray[np.float32]:
        begin = time.perf_counter()
        losses = super().train(batches)
        end = begin + (time.perf_counter() - begin) * (1 + self._slowed_by)
        while self._slowed_by and time.perf_counter() < end:
            pass  # a step that takes longer keeps its core busy
        return losses
