"""What has become of each unit. Files are the truth; an engine says what no file can.

In this order: a unit is done where its folder says so; it waits or runs where its engine says so; an
engine may know why a job is gone; how an attempt ended stands in its folder; and what gave no sign of
life for GRACE_SECONDS has vanished.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.matrix import engines, folders, local, slurm
from harness.matrix.engines import OVER, RUNNING, VANISHED, WAITING, Engine, EngineError, Job
from harness.matrix.folders import Attempt, UnitFolder
from harness.matrix.plan import Plan
from harness.matrix.reading import MatrixError
from harness.matrix.stored import BROKEN, CELLS_FAILED, DONE, LOST, DoneTable

ENGINES: dict[str, Engine] = {engine.NAME: engine for engine in (slurm, local)}

STATES = (DONE, CELLS_FAILED, RUNNING, WAITING, BROKEN, LOST)
NOT_SUBMITTED = "not submitted"


@dataclass(frozen=True)
class UnitState:
    """One unit: its state, of STATES, and why; where its last attempt was, and the end of its log."""

    number: int
    state: str
    why: str = ""
    node: str = ""
    attempts: int = 0
    log: tuple[str, ...] = ()
    done: DoneTable | None = field(default=None, repr=False)

    @property
    def to_submit(self) -> bool:
        """Whether nobody works on it, and it has no result."""
        return self.state in (BROKEN, LOST) or (self.state, self.why) == (WAITING, NOT_SUBMITTED)


@dataclass(frozen=True)
class MatrixState:
    """All units, in their order, and what engines could not say."""

    units: tuple[UnitState, ...]
    silent_engines: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many units are in each state, of STATES, where there are any."""
        counted = Counter(unit.state for unit in self.units)
        return {state: counted[state] for state in STATES if counted[state]}


def look(plan: Plan, *ask: str) -> MatrixState:
    """Return the state of a matrix, by its files and the engines that it was handed to, and `ask`."""
    jobs: dict[int, Job] = {}
    silent: list[str] = []
    handed_over = {name for name, engine in ENGINES.items() if engine.has(plan)}
    for name in sorted({*handed_over, *ask}):
        try:
            jobs.update(ENGINES[name].jobs(plan))
        except EngineError as error:
            silent.append(str(error))
    moment = folders.disk_now(plan.folder)
    units = (
        _unit(UnitFolder(plan.folder, number), number, jobs.get(number), moment, bool(silent))
        for number in range(len(plan.units))
    )
    return MatrixState(tuple(units), tuple(silent))


def _unit(
    folder: UnitFolder, number: int, job: Job | None, moment: float, silent: bool
) -> UnitState:
    attempts = folder.attempts()
    try:
        done = folder.done()
    except MatrixError as error:
        return UnitState(number, BROKEN, str(error), "", len(attempts))
    if done is not None and not (folder.retried and job and job.state in (WAITING, RUNNING)):
        shared = done["block"]["not_alone"]
        why = f"not alone on its node: {'; '.join(shared)}" if shared else ""
        return UnitState(number, done["state"], why, done["node"] or "", len(attempts), (), done)
    last = attempts[-1] if attempts else None
    state, why, node = _undone(last, job, moment, silent)
    log = _log(last, job, folder) if state in (BROKEN, LOST) else ()
    return UnitState(number, state, why, node, len(attempts), tuple(log), done)


def _undone(
    last: Attempt | None, job: Job | None, moment: float, silent: bool
) -> tuple[str, str, str]:
    """State, reason and node of a unit without a result."""
    about = last.about if last else {}
    node = str(about.get("node") or (job.node if job else ""))
    if job and job.state in (WAITING, RUNNING):
        return job.state, job.why, job.node
    if job and job.state == engines.LOST and job.why != VANISHED:
        return LOST, job.why, job.node or node
    ended = last.ended if last else None
    if silent:  # what ended may have been requeued
        return (RUNNING if last and not ended else WAITING), "its engine does not answer", node
    if ended:
        return ended["state"], ended.get("reason") or "", node
    if job and job.state == OVER and job.why != "exit status 0":
        return BROKEN, job.why, job.node or node
    if last and last.silent(moment) <= folders.GRACE_SECONDS and not (job and job.why == VANISHED):
        return RUNNING, "", node
    if last or job:
        return LOST, VANISHED, node
    return WAITING, NOT_SUBMITTED, ""


def _log(last: Attempt | None, job: Job | None, folder: UnitFolder) -> Sequence[str]:
    """The last lines of what the unit printed, else of what its engine kept of its job."""
    lines = folders.tail(last.folder / folders.LOG) if last else []
    logs: Path = folder.folder.parents[1] / "logs"
    return lines or (folders.tail(logs / f"{job.name}.log") if job and job.name else [])
