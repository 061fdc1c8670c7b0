"""The schedule of a run: cells are built side by side, trained and scored one by one, then the rounds.

All cells of a workload are in memory together, warm and frozen, while they are timed; where memory
does not hold them all, they are timed in turns, and the journal says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from frameworks.contract import Unavailable
from harness import limits
from harness.machine import devices, host
from harness.parity import ReferenceDiverged, ReferenceRun, run_reference
from harness.runner.context import Emit, RunContext, Task
from harness.runner.plan import Cell
from harness.runner.process import WorkerFailed
from harness.runner.resume import Place
from harness.runner.rounds import InterleavedRounds
from harness.runner.scratch import scratch, write_start
from harness.runner.session import WorkerSession
from harness.runner.side_by_side import killed_when_stopped, side_by_side
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


def conduct(task: Task, cells: Sequence[Cell], context: RunContext, run: Path, emit: Emit) -> int:
    """Run all cells of one workload; return how many failed. Failures are in the journal.

    `run` is the run's folder.
    """
    with scratch(run, task.workload.name) as task.scratch:
        emit("start", None, workload=task.workload.name, sha256=write_start(task))
        if context.parity_steps and cells:
            precisions = sorted({cell.precision for cell in cells})
            try:
                task.reference = _run_reference(task, context.parity_steps, precisions, emit)
            except (ReferenceDiverged, Unavailable) as refusal:
                emit("workload-refused", None, workload=task.workload.name, reason=str(refusal))
                return len(cells)
        try:
            return len(cells) - _in_turns(task, cells, context, run, emit)
        finally:
            task.reference = (
                None  # many times the model's size, and the run may have many workloads
            )


def _in_turns(task: Task, cells: Sequence[Cell], context: RunContext, run: Path, emit: Emit) -> int:
    """Bring up and time as many cells at once as memory holds; return how many came through.

    Of a resumed run, those that have their score come first: they are the turn that was cut short.
    """
    name, scored = task.workload.name, context.past.scored(cells)
    waiting, completed = [cell for cell in cells if cell not in scored], 0
    place = context.past.place(name, context.measuring.budget)
    while waiting or scored:
        sessions, together = [], scored
        if not place.launch:  # else the turn's cells are in their launches already
            finished = scored if context.only_parity else []
            again = [cell for cell in scored if cell not in finished]
            sessions = _bring_up_turn(again, waiting, task, context, run, emit, place)
            together = [*finished, *(session.cell for session in sessions)]
        with killed_when_stopped(sessions):
            if waiting:
                ids = [cell.id for cell in together]
                emit("in-turn", None, workload=name, turn=place.turn, cells=ids)
            budget = place.left
            if budget is not None:
                budget *= len(together) / max(1, len(together) + len(waiting))
            rounds = InterleavedRounds(task, context, run, emit, place, budget)
            done = together if context.only_parity else rounds.measure(together, sessions)
        # What a check spends beyond its budget, on suspects, is not taken from those that wait.
        left = None if place.left is None else place.left - min(rounds.spent, budget or 0.0)
        for cell in done:
            emit("cell-done", cell.id)
        completed, scored = completed + len(done), []
        place = Place(turn=place.turn + 1, left=left)
        emit("checkpoint", None, workload=name, **vars(place))
    return completed


def _run_reference(task: Task, steps: int, precisions: Sequence[str], emit: Emit) -> ReferenceRun:
    """Run the reference over the first batches, once for all cells: until two updates at least."""
    began, steps = time.monotonic(), limits.steps_checked(task.workload, steps)
    names = (*task.workload.parameters, *task.workload.state)
    weights = {name: np.load(task.start / f"{name}.npy") for name in names}
    train = task.arrays.open("train_inputs"), task.arrays.open("train_labels")
    batches = Batches(*train, np.load(task.start / "order.npy"), task.workload)
    run = run_reference(task.workload, weights, batches.checked(steps), precisions)
    seconds = time.monotonic() - began
    emit("reference-run", None, workload=task.workload.name, steps=steps, seconds=seconds)
    return run


def _bring_up_turn(
    scored: Sequence[Cell],
    waiting: list[Cell],
    task: Task,
    context: RunContext,
    run: Path,
    emit: Emit,
    place: Place,
) -> list[WorkerSession]:
    """Bring up cells that have their score, then from the front of `waiting` while memory holds them.

    Returns those that came up.
    """
    sessions: list[WorkerSession] = []
    with killed_when_stopped(sessions):
        for cell in scored:
            session = WorkerSession(cell, task, context, run, emit)
            sessions.append(session)
            session.peak_bytes = context.past.peak_bytes(cell)
            _keep_if_well(session, WorkerSession.launch_again, sessions)
        _bring_up_side_by_side(waiting, sessions, task, context, run, emit, place)
    return sessions


def _bring_up_side_by_side(
    waiting: list[Cell],
    sessions: list[WorkerSession],
    task: Task,
    context: RunContext,
    run: Path,
    emit: Emit,
    place: Place,
) -> None:
    """Build and check cells from the front of `waiting` side by side, then train them one by one.

    Those that call a compiler are begun first, for they take as long as all others together. On cards
    cells are built one by one, too: some frameworks choose their kernels by timing them.
    """
    order = {cell: place for place, cell in enumerate(waiting)}
    waiting.sort(
        key=lambda cell: not context.framework_specs[cell.framework].calls_programs(cell.mode)
    )
    prepared: list[WorkerSession] = []
    on_cards = any(devices.kind(cell.device) != devices.CPU for cell in waiting)

    def next_session() -> WorkerSession | None:
        if not waiting or not (len(sessions) < 2 or room_for_one_more(sessions)):
            return None
        session = WorkerSession(waiting.pop(0), task, context, run, emit)
        sessions.append(session)
        session.announce()
        return session

    def finish(session: WorkerSession) -> None:
        _keep_if_well(session, WorkerSession.bring_up, sessions)
        emit("checkpoint", None, workload=task.workload.name, **vars(place))

    def now_or_later(session: WorkerSession) -> None:
        if context.only_parity:
            session.end()
            finish(session)
        else:
            prepared.append(session)

    lanes = [context.cpus] if on_cards else context.lanes
    side_by_side(lanes, sessions, next_session, WorkerSession.prepare, now_or_later)
    sessions.sort(key=lambda session: order.get(session.cell, -1))
    for session in sorted(prepared, key=sessions.index):
        finish(session)


def room_for_one_more(sessions: Sequence[WorkerSession]) -> bool:
    """Say whether memory holds one more worker as large as the largest, with an A/A replicate.

    Those that are being prepared may still become as large.
    """
    free, largest = host.memory_free(), max(session.peak_bytes for session in sessions)
    growing = sum(not session.peak_bytes for session in sessions)
    return free is None or free > 2 * SPARE * largest * (1 + growing)


def _keep_if_well(
    session: WorkerSession,
    start: Callable[[WorkerSession], None],
    sessions: list[WorkerSession],
) -> None:
    """Start a cell; where that fails it is reported, ended and taken out of `sessions`."""
    try:
        start(session)
    except WorkerFailed as failure:
        session.emit_failure(None if failure.status == NOT_EQUIVALENT else "training", failure)
        session.kill()
        sessions.remove(session)
