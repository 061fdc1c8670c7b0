"""What a machine's limits are taken from: whole operations whose work is known. NumPy's are here.

An adapter offers its framework's own, on its own device; the fastest of all frameworks' is the
limit. Standard library and numpy only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

FLOAT32, TF32, BFLOAT16, COPY = "float32 product", "tf32 product", "bfloat16 product", "copy"
DISPATCH = "tiny operations"

DISPATCHES = 1000
"""Tiny operations in a row: so many that waiting for the last one is nothing."""

TRIAL_SIDE, LONGEST_SECONDS = 256, 1.0
"""A product of this side is timed first; one that would take longer than that is not run whole."""


@dataclass(frozen=True)
class Kernel:
    """One whole operation: `run` does it once and returns when the device has finished.

    `amount` is the work in it: the flop of a product, the bytes that a copy reads and writes, how many
    tiny operations are started. Its rate is the best and not the median, for a limit is what is
    possible. `trial` is a small one of its kind.
    """

    run: Callable[[], object]
    amount: int
    trial: Kernel | None = None

    def rate(self, seconds: float) -> float:
        """Return the amount a second of the fastest of several runs, at least 3, in about `seconds`.

        The trial's rate stands for one that would take too long: a processor without bfloat16 may take
        minutes for a product in it.
        """
        if self.trial is not None:
            rate = self.trial.rate(seconds / 4)
            if self.amount > LONGEST_SECONDS * rate:
                return rate
        self.run()  # makes its threads and buffers, and compiles
        runs, spent, fastest = 0, 0.0, math.inf
        while runs < 3 or spent < seconds:
            begin = time.perf_counter()
            self.run()
            took = time.perf_counter() - begin
            runs, spent, fastest = runs + 1, spent + took, min(fastest, took)
        return self.amount / fastest


@dataclass(frozen=True)
class Sizes:
    """How large the operations are: `side` of square matrices, `length` of a float32 array copied.

    Long enough that starting one is nothing, and a copy's arrays do not fit into caches.
    """

    side: int
    length: int

    def product(self, of_side: Callable[[int], Callable[[], object]]) -> Kernel:
        """Return the product of two square matrices; `of_side(side)` returns what multiplies two."""
        trial = Kernel(of_side(TRIAL_SIDE), 2 * TRIAL_SIDE**3)
        return Kernel(of_side(self.side), 2 * self.side**3, trial)

    def copy(self, run: Callable[[], object]) -> Kernel:
        """Return `run` as the copy of one array onto another."""
        return Kernel(run, 2 * 4 * self.length)


ON_CPU = Sizes(side=2048, length=2**26)
ON_GPU = Sizes(side=8192, length=2**28)


def dispatches(start: Callable[[], object], wait: Callable[[], object]) -> Kernel:
    """Return as a kernel what starts tiny operations one by one, as eager modes start theirs.

    `start` starts the sum of two arrays of one element; `wait` returns when all have finished.
    """

    def run() -> None:
        for _ in range(DISPATCHES):
            start()
        wait()

    return Kernel(run, DISPATCHES)


def numpy_kernels() -> dict[str, Kernel]:
    """Return NumPy's kernels: the product is its BLAS's; it has no bfloat16."""

    def product(side: int) -> Callable[[], object]:
        # Not constants: some processors take less power, and so run faster, on those.
        a, b = np.random.default_rng(0).random((2, side, side), np.float32)
        out = np.empty_like(a)
        return lambda: np.matmul(a, b, out=out)

    source, target = np.ones((2, ON_CPU.length), np.float32)
    scalar = np.ones(1, np.float32)
    return {
        FLOAT32: ON_CPU.product(product),
        COPY: ON_CPU.copy(lambda: np.copyto(target, source)),
        DISPATCH: dispatches(lambda: np.add(scalar, scalar), lambda: None),
    }
