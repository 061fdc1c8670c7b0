"""A fresh worker's first jobs: import the framework, build the model, take the first step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import protocol
from harness.machine import devices
from harness.runner.context import Task, Timeouts
from harness.runner.plan import Cell
from harness.runner.process import WorkerProcess


def build(
    worker: WorkerProcess,
    adapter: str,
    cell: Cell,
    task: Task,
    threads: int,
    folder: Path,
    wait: Timeouts,
    deterministic: bool = False,
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Have a fresh worker import, build and take its first step; return what it reports of each.

    `adapter` is its folder's name; `folder` is where the worker hands back arrays. Raises WorkerFailed.
    """
    opened = worker.ask(
        "open", wait.open, framework=adapter, version=protocol.VERSION, folder=str(folder)
    )
    built = worker.ask(
        "build",
        wait.build,
        workload=task.workload.to_dict(),
        arrays=str(task.arrays.folder),
        start=str(task.start),
        mode=cell.mode,
        device=devices.kind(cell.device),
        precision=cell.precision,
        threads=threads,
        deterministic=deterministic,
    )
    return opened, built, worker.ask("first_step", wait.first_step)
