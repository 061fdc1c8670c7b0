"""Conducts a run: each cell from its start to its score, one after the other, then the laboratory.

All cells of a workload are in memory together, warm and frozen, while they are timed; where memory
does not hold them all, they are timed in turns, and the journal says so.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from frameworks.contract import Unavailable
from harness.machine import host
from harness.parity import ReferenceDiverged, ReferenceRun, run_reference
from harness.runner.context import Setting, Task, Tell
from harness.runner.initial_state import write_start
from harness.runner.plan import Cell
from harness.runner.process import WorkerFailed
from harness.runner.rounds import Laboratory
from harness.runner.session import LiveCell
from harness.verdicts import NOT_EQUIVALENT
from workloads import init
from workloads.batches import Batches
from workloads.datasets import Arrays
from workloads.spec import Workload

SPARE = 1.2
"""How much more memory than its peak so far a worker may take while it is timed."""


def training_steps(workload: Workload, arrays: Arrays, steps: int | None) -> int:
    """Return `steps`, or the steps of the workload's epochs.

    Raises:
        ValueError: the batch is larger than the data set.
    """
    per_epoch = init.steps_per_epoch(workload, len(arrays.open("train_labels")))
    return steps or per_epoch * workload.data.epochs


def conduct(task: Task, cells: Sequence[Cell], setting: Setting, run: Path, tell: Tell) -> int:
    """Run all cells of one workload; return how many failed. Failures are the journal's to tell.

    `run` is the run's folder.
    """
    with _scratch(task, run):
        tell("start", None, workload=task.workload.name, sha256=write_start(task))
        if setting.parity_steps and cells:
            precisions = sorted({cell.precision for cell in cells})
            try:
                task.reference = _run_reference(task, setting.parity_steps, precisions, tell)
            except (ReferenceDiverged, Unavailable) as refusal:
                tell("workload-refused", None, workload=task.workload.name, reason=str(refusal))
                return len(cells)
        waiting, completed, turn = list(cells), 0, 0
        left = setting.measuring.budget
        while waiting:
            alive = _bring_up_what_fits(waiting, task, setting, run, tell)
            if waiting:
                together = [live.cell.id for live in alive]
                tell("in-turn", None, workload=task.workload.name, turn=turn, cells=together)
            budget = None if left is None else left * len(alive) / max(1, len(alive) + len(waiting))
            began = time.monotonic()
            lab = Laboratory(task, setting, run, tell, turn, budget)
            done = alive if setting.only_parity else lab.measure(alive)
            # What a check spends beyond its budget, on suspects, is not taken from those that wait.
            spent = time.monotonic() - began
            left = None if left is None or budget is None else left - min(spent, budget)
            for live in done:
                live.tell("cell-done")
            completed, turn = completed + len(done), turn + 1
        return len(cells) - completed


@contextlib.contextmanager
def _scratch(task: Task, run: Path) -> Iterator[None]:
    """A folder for what the workers exchange, while the task runs."""
    task.scratch = run / "scratch" / task.workload.name
    task.scratch.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(run / "scratch", ignore_errors=True)


def _run_reference(task: Task, steps: int, precisions: Sequence[str], tell: Tell) -> ReferenceRun:
    """Run the reference over the first batches, once for all cells."""
    began = time.monotonic()
    names = (*task.workload.parameters, *task.workload.state)
    weights = {name: np.load(task.start / f"{name}.npy") for name in names}
    train = task.arrays.open("train_inputs"), task.arrays.open("train_labels")
    batches = Batches(*train, np.load(task.start / "order.npy"), task.workload)
    run = run_reference(task.workload, weights, batches.take(0, steps), precisions)
    seconds = time.monotonic() - began
    tell("reference-run", None, workload=task.workload.name, steps=steps, seconds=seconds)
    return run


def _bring_up_what_fits(
    waiting: list[Cell], task: Task, setting: Setting, run: Path, tell: Tell
) -> list[LiveCell]:
    """Bring up cells from the front of `waiting` while memory holds them; return those that came up."""
    alive: list[LiveCell] = []
    try:
        while waiting and (len(alive) < 2 or room_for_one_more(alive)):
            _bring_up(waiting.pop(0), task, setting, run, tell, alive)
            if setting.only_parity and alive:
                alive[-1].end()
    except BaseException:
        for live in alive:
            live.kill()
        raise
    return alive


def room_for_one_more(alive: Sequence[LiveCell]) -> bool:
    """Say whether memory holds one more worker as large as the largest, with a twin beside it."""
    free = host.memory_free()
    return free is None or free > 2 * SPARE * max(live.peak_bytes for live in alive)


def _bring_up(
    cell: Cell, task: Task, setting: Setting, run: Path, tell: Tell, alive: list[LiveCell]
) -> None:
    """Start a cell and add it to `alive`, warm and frozen; one that fails is told of and ended."""
    live = LiveCell(cell, task, setting, run, tell)
    try:
        live.bring_up()
        alive.append(live)
    except WorkerFailed as failure:
        live.tell_failure(None if failure.status == NOT_EQUIVALENT else "training", failure)
    finally:
        if live not in alive:
            live.kill()
