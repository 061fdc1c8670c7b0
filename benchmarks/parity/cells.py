"""A cell that answers case after case: the worker of a run, asked for the parity check only."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.parity.cases import Given
from harness import protocol
from harness.environments.framework_spec import FrameworkSpec
from harness.runner.process import WorkerFailed, WorkerProcess
from workloads.spec import Workload

MODELS_A_PROCESS = 25
"""What frameworks and compilers keep of earlier models stays bounded."""

SLOW_SECONDS = 5.0
"""A mode is slow where a model takes longer."""

LEAST_MODELS = 3
"""Models timed before a mode can be called slow."""

TIMEOUT = 600.0
"""Seconds for one job of a worker."""


class Cell:
    """A framework in one of its modes, on the CPU with one thread; its process starts when asked."""

    def __init__(self, framework: FrameworkSpec, mode: str, python: Path) -> None:
        self.framework, self.mode = framework, mode
        self.seconds: list[float] = []
        """What each answer took, the building of its model included."""
        self._python = python
        self._worker: WorkerProcess | None = None
        self._model: Workload | None = None
        self._models = 0

    @property
    def slow(self) -> bool:
        """Whether it takes long for a model, by the median of those that it answered for."""
        times = self.seconds
        return len(times) >= LEAST_MODELS and statistics.median(times) > SLOW_SECONDS

    def answers(self, given: Given) -> dict[str, NDArray]:
        """Return what the parity check asks, for a case.

        Where a process fails that has had other models before, a fresh one is asked once more.

        Raises:
            WorkerFailed: the framework fails on the case, crashes or takes too long.
        """
        began = time.monotonic()
        try:
            return self._ask_twice(given)
        finally:
            self.seconds.append(time.monotonic() - began)

    def close(self) -> None:
        """End the process, and remove what it wrote."""
        if self._worker is not None:
            self._worker.close()
            self._scratch.cleanup()
        self._worker, self._model, self._models = None, None, 0

    def _ask_twice(self, given: Given) -> dict[str, NDArray]:
        try:
            return self._ask(given)
        except WorkerFailed:
            was_fresh = self._models <= 1
            self.close()
            if was_fresh:
                raise
        return self._ask_twice(given)

    def _ask(self, given: Given) -> dict[str, NDArray]:
        """Have the process answer; a model that differs in its seed only is not built again."""
        model = given.case.workload.with_data(seed=0)
        if model != self._model and self._models == MODELS_A_PROCESS:
            self.close()
        worker = self._worker or self._open()
        start: dict[str, Any] = {
            "workload": given.case.workload.to_dict(),
            "start": str(given.folder),
        }
        if model == self._model:
            worker.ask("begin_from", TIMEOUT, **start)
        else:
            self._model, self._models = model, self._models + 1
            worker.ask(
                "build",
                TIMEOUT,
                arrays=str(given.arrays),
                mode=self.mode,
                device="cpu",
                precision="float32",
                threads=1,
                **start,
            )
        reply = worker.ask("answer", TIMEOUT, steps=given.case.steps, file="answers.npz")
        with np.load(reply["answers"]) as arrays:
            return dict(arrays)

    def _open(self) -> WorkerProcess:
        self._scratch = TemporaryDirectory(prefix="parity-")
        folder = Path(self._scratch.name)
        variables = self.framework.worker_variables(device="cpu", threads=1, scratch=folder)
        log = folder / "log"
        self._worker = WorkerProcess(self._python, self.framework.root, log, variables)
        version = protocol.VERSION
        self._worker.ask(
            "open", TIMEOUT, framework=self.framework.name, version=version, folder=str(folder)
        )
        return self._worker
