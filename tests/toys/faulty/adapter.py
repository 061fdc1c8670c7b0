"""A framework whose modes are the ways in which a worker can go wrong. Its maths is the reference's."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from frameworks.contract import Options, Step, Unavailable, Weights
from frameworks.kernels import COPY, DISPATCH, FLOAT32, Kernel, Sizes, dispatches
from frameworks.profiles import Operator, Profile
from frameworks.reference.adapter import Reference
from workloads.batches import Batch
from workloads.spec import Workload


def well() -> None:
    print("a framework prints to standard output,", flush=True)
    os.write(2, b'and to standard error: {"event": "done"}\n')


def slow() -> None:
    """Well, but it takes a nap in every step: see Faulty.train."""


def crash() -> None:
    print("the last words", flush=True)
    os._exit(3)


def segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    subprocess.Popen(["sleep", "1000"])
    time.sleep(1000)


def garbage() -> None:
    os.write(int(sys.argv[1]), b"\x00\xffnot a message\n")


def forged() -> None:
    os.write(int(sys.argv[1]), b'{"event": "done", "id": 999}\n')


def hungry() -> None:
    limit = 512 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    np.ones(2**30)


def raises() -> None:
    raise ValueError("a |strange| [bold]reason[/bold]")


def wrong() -> None:
    """Its gradients are 1% off: see Faulty.step."""


def turncoat() -> None:
    """Right at first, and wrong once it is timed: see Faulty.step."""


FAULTS = (
    well,
    slow,
    wrong,
    turncoat,
    crash,
    segfault,
    killed,
    hang,
    garbage,
    forged,
    hungry,
    raises,
)


class Faulty(Reference):
    def __init__(self, workload: Workload, weights: Weights, options: Options) -> None:
        super().__init__(workload, weights, options)
        if options.mode == "absent":
            raise Unavailable("there is no such device here")
        self._fault = {fault.__name__: fault for fault in FAULTS}[options.mode]
        self._mode, self._steps = options.mode, 0
        self._deterministic = options.deterministic

    def settings(self) -> dict[str, object]:
        return {**super().settings(), "deterministic": self._deterministic}

    def train(self, batches: Sequence[Batch]) -> NDArray:
        self._steps += len(batches)
        if self._steps > 1:  # not in the first step: a fault in the middle is the harder case
            self._fault()
        if self._mode == "slow":
            time.sleep(2e-4 * len(batches))
        return super().train(batches)

    def step(self, batch: Batch) -> Step:
        step = super().step(batch)
        if self._mode == "wrong" or (self._mode == "turncoat" and self._steps > 60):
            return replace(step, gradients={k: 1.01 * g for k, g in step.gradients.items()})
        return step

    def kernels(self) -> dict[str, Kernel]:
        """NumPy's, but small: nothing rests on the limit of a machine that a toy finds."""
        long = np.ones(2**12, np.float32)
        sizes = Sizes(side=64, length=len(long))

        def product(side: int) -> Callable[[], object]:
            square = np.ones((side, side), np.float32)
            return lambda: np.matmul(square, square)

        return {
            FLOAT32: sizes.product(product),
            COPY: sizes.copy(lambda: long.copy()),
            DISPATCH: dispatches(lambda: np.add(long[:1], long[:1]), lambda: None),
        }

    def profile(self, batches: Sequence[Batch], folder: Path) -> Profile:
        self.train(batches)
        trace = folder / "trace.json"
        trace.write_text('{"traceEvents": []}')
        calls = len(batches)
        return Profile(trace, [Operator("short", calls, 9e3, 1e3), Operator("[long]", 1, 3e3, 3e3)])
