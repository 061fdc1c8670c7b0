"""A framework that breaks in every part of a worker's life. Its maths is the reference's."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frameworks.contract import Options, Weights
from frameworks.kernels import DISPATCH, Kernel, dispatches
from frameworks.reference.adapter import Reference
from workloads.batches import Batch
from workloads.spec import Workload


def hang() -> None:
    time.sleep(1000)


def print_a_gigabyte() -> None:
    """Once, however often it is called."""
    for _ in range(0 if HELD else 1024):
        os.write(2, b"x" * 2**20)
    HELD.append(np.ones(1))


def fill_memory() -> None:
    """Take 4 GiB: a test sets a limit far below that."""
    for _ in range(64):
        HELD.append(np.ones(2**23))


def segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def print_on_and_on() -> None:
    while True:
        os.write(2, b"x" * 2**20)


HELD: list[NDArray] = []
"""What is not given back."""

BUILDS: dict[str, Callable[[], Any]] = {
    "abort-in-build": os.abort,
    "exit-in-build": sys.exit,
    "hang-in-build": hang,
    "hang-at-the-end": lambda: atexit.register(hang),
    "segfault-at-the-end": lambda: atexit.register(segfault),
}

STEPS: dict[str, Callable[[], Any]] = {
    "hang-in-step": hang,
    "unnamed-signal": lambda: os.kill(os.getpid(), signal.SIGRTMIN + 1),
    "endless": print_on_and_on,
    "flood": print_a_gigabyte,
    "greedy": fill_memory,
}

LOSSES: dict[str, Callable[[NDArray], Any]] = {
    "nan-losses": lambda losses: losses * np.nan,
    "infinite-losses": lambda losses: losses + np.inf,
    "short-losses": lambda losses: losses[:-1],
    "no-losses": lambda losses: None,
    "words": lambda losses: np.array(["a loss"] * len(losses)),
}

LOGITS: dict[str, Callable[[NDArray], Any]] = {
    "nan-logits": lambda logits: logits * np.nan,
    "few-logits": lambda logits: logits[:-1],
}


def as_it_is(value: NDArray) -> NDArray:
    return value


class Broken(Reference):
    def __init__(self, workload: Workload, weights: Weights, options: Options) -> None:
        super().__init__(workload, weights, options)
        self._mode, self._steps = options.mode, 0
        BUILDS.get(self._mode, lambda: None)()

    def train(self, batches: Sequence[Batch]) -> NDArray:
        self._steps += len(batches)
        if self._steps > 1:  # not in the first step: a fault in the middle is the harder case
            STEPS.get(self._mode, lambda: None)()
        losses = super().train(batches)
        if self._mode == "nan-losses-later" and self._steps > 60:
            losses = losses * np.nan
        return LOSSES.get(self._mode, as_it_is)(losses)

    def predict(self, inputs: Sequence[NDArray]) -> NDArray:
        return LOGITS.get(self._mode, as_it_is)(super().predict(inputs))

    def weights(self) -> Weights:
        weights = super().weights()
        return (
            {k: w * np.nan for k, w in weights.items()} if self._mode == "nan-weights" else weights
        )

    def kernels(self) -> dict[str, Kernel]:
        return {DISPATCH: dispatches(lambda: None, lambda: None)}
