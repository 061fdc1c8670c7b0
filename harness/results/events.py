"""The events of a run's journal: a type for each kind, as schema/event.schema.json has them.

Those of a cell are in `harness.results.cell_events`.

Whoever writes an event gives its required fields. Whoever reads one may have an older journal before
it, or a damaged one, and takes fields with `get`.
"""

# No `from __future__ import annotations`: of annotations that are texts, Python 3.11 takes every key of
# a TypedDict for a required one.

from typing import Any, Literal, NotRequired, TypedDict

Kind = Literal[
    "run-started",
    "run-resumed",
    "dataset",
    "workload-skipped",
    "workload-refused",
    "framework-building",
    "framework-ready",
    "framework-unavailable",
    "waiting",
    "processors",
    "neighbours",
    "start",
    "reference-run",
    "preparing",
    "cell-started",
    "opened",
    "built",
    "first-step",
    "parity",
    "progress",
    "trained",
    "evaluated",
    "memory",
    "launched",
    "relaunched",
    "retrained",
    "peaked",
    "calibration",
    "warmed",
    "slice",
    "clock",
    "latency",
    "limits",
    "in-turn",
    "looked",
    "standing",
    "stopped",
    "checkpoint",
    "cell-failed",
    "cell-done",
    "run-ended",
    "twin-slice",
]
"""What an event may be called."""


class Event(TypedDict):
    """What every line has: seconds since the run began, and the kind."""

    time: float
    event: str


class CellEvent(Event):
    """An event of a cell, by its id."""

    cell: str


class Images(TypedDict):
    """Test images, for the report."""

    shape: list[int]
    top: int
    data: str
    labels: list[int]


class RunStarted(Event):
    """The run began."""

    cells: NotRequired[int]
    folder: NotRequired[str]
    slices: NotRequired[int]
    budget: NotRequired[float | None]
    workloads: NotRequired[list[str]]


class RunResumed(RunStarted):
    """A run that was cut short goes on; what stood behind its last checkpoint is dropped."""


class Dataset(Event):
    """A data set is ready."""

    workload: str
    name: str
    source: NotRequired[str]
    sha256: dict[str, str]
    train: NotRequired[int]
    test: NotRequired[int]
    classes: NotRequired[list[str]]
    images: NotRequired[Images | None]


class WorkloadSkipped(Event):
    """A workload was left out: its data are not there."""

    workload: str
    reason: str


class WorkloadRefused(Event):
    """A workload cannot be checked: its reference is no number."""

    workload: str
    reason: str


class FrameworkBuilding(Event):
    """An environment is being built."""

    framework: str
    text: NotRequired[str]


class FrameworkReady(Event):
    """An environment is there."""

    framework: str
    title: NotRequired[str]
    device: NotRequired[str]
    reference: bool
    origin: str
    python: NotRequired[str]
    version: NotRequired[str | None]
    lock: NotRequired[str | None]
    lock_sha256: NotRequired[str | None]
    commit: NotRequired[str | None]
    seconds: NotRequired[float]


class FrameworkUnavailable(Event):
    """An environment cannot be had."""

    framework: str
    title: NotRequired[str]
    device: NotRequired[str]
    reason: str


class Waiting(Event):
    """Other runs have the processors or the cards that this one needs."""

    processors: list[int]
    cards: list[int]


class Processors(Event):
    """The run has its processors."""

    processors: list[int]
    spare: NotRequired[list[int]]
    others: list[int] | None
    waited: float


class Neighbours(Event):
    """Which other jobs are on the node of a unit, as its engine says."""

    jobs: list[str]


class Start(Event):
    """The start weights and the order of batches are written."""

    workload: str
    sha256: dict[str, str]


class ReferenceRun(Event):
    """The reference has taken its steps."""

    workload: str
    steps: int
    seconds: NotRequired[float]


class Calibration(Event):
    """The fixed work was timed in a round."""

    workload: str
    turn: NotRequired[int]
    launch: int
    round: int
    rate: float


class InTurn(Event):
    """Memory is short: these cells run together."""

    workload: str
    turn: int
    cells: list[str]


class Looked(Event):
    """A check looked at what it has."""

    workload: str
    launches: int
    undecided: list[list[Any]]


class StandingCell(TypedDict):
    """A cell's training throughput so far."""

    cell: str
    speed: float | None
    low: float | None
    high: float | None
    rank: int
    rank_worst: int


class Standing(Event):
    """What is known after a launch: every cell's speed, and of two launches on the pair that leads."""

    workload: str
    launches: int
    pairs: NotRequired[int]
    open: NotRequired[int]
    cells: NotRequired[list[StandingCell]]
    a: NotRequired[str]
    b: NotRequired[str]
    ratio: NotRequired[float | None]
    low: NotRequired[float | None]
    high: NotRequired[float | None]


class Stopped(Event):
    """Why no further launch is timed."""

    workload: str
    reason: str


class Checkpoint(Event):
    """All that stands before is whole: a resumed run goes on from here."""

    workload: str
    turn: int
    launch: int
    took: float
    spent: float
    left: float | None


class RunEnded(Event):
    """The run ended."""

    status: Literal["ok", "undecided", "failed", "interrupted"]
    exit_code: NotRequired[int]
