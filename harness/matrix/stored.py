"""What the files of a matrix hold, and whether what was read from one is that.

Annotations are no texts here: of texts, Python before 3.14 does not see which keys are not required.
"""

from typing import Any, NotRequired, TypedDict

from harness.matrix import block
from harness.results import fit

DONE, CELLS_FAILED, BROKEN, LOST = "done", "cells failed", "broken", "lost"
"""The states that a unit's own files tell. The first two are results; the others are run again."""

COMPLETE = (DONE, CELLS_FAILED)


class UnitTable(TypedDict):
    """A unit of plan.json."""

    workload: str
    device: str
    seed: int | None
    replicate: int


class PlanTable(TypedDict):
    """plan.json."""

    schema: int
    always: dict[str, Any]
    slurm: dict[str, Any]
    units: list[UnitTable]


class SubmissionTable(TypedDict):
    """A file in submissions/, of any engine."""

    engine: str
    units: str
    submitted: float


class SlurmSubmission(SubmissionTable):
    """Of Slurm: the array job, and the unit that is its task 0."""

    job: str
    first: int


class LocalSubmission(SubmissionTable):
    """Of a machine itself: the process, and when it began."""

    host: str
    pid: int
    began: float


class ClaimTable(TypedDict):
    """claim.json."""

    attempt: str


class AboutTable(TypedDict, total=False):
    """attempt.json."""

    node: str | None
    host: str | None
    job: str | None
    pid: int


class EndedTable(TypedDict):
    """ended.json."""

    state: str
    reason: NotRequired[str | None]


class CellTable(TypedDict):
    """A cell of a block."""

    cell: str
    status: str
    reason: str | None
    reference: bool
    parity: str | None
    accuracy: float | None
    peak_memory_bytes: float | None


class BlockTable(TypedDict):
    """The block of done.json, as `block.of` makes it."""

    schema: int
    run: NotRequired[str | None]
    started: NotRequired[str | None]
    samestep: NotRequired[str | None]
    sources: str | None
    synthetic: NotRequired[bool]
    quick: bool
    machine: str | None
    fingerprint: str | None
    computation: NotRequired[dict[str, str | None]]
    kernel_rate: float | None
    not_alone: list[str]
    contaminated: float
    versions: dict[str, str | None]
    cells: list[CellTable]
    pairs: dict[str, list[list[Any]]]


class DoneTable(TypedDict):
    """done.json."""

    state: str
    attempt: str
    node: str | None
    neighbours: list[str] | None
    block: BlockTable


_STATES = {DoneTable: COMPLETE, EndedTable: (*COMPLETE, BROKEN, LOST)}


def wrong(table: Any, kind: type) -> str | None:
    """Say which field has another type than `kind`'s, or is missing; None where all is as written."""
    if not isinstance(table, dict):
        return f"expected an object, got {str(table)[:40]!r}"
    problem = fit.too_deep(table) or fit.misfit(table, kind) or fit.lacking(table, kind)
    states = _STATES.get(kind)
    if problem is None and states and table["state"] not in states:
        return f"state is {table['state'][:40]!r}, expected one of: {', '.join(states)}"
    if problem is None and kind is DoneTable:
        return _wrong_pairs(table["block"])
    return problem


def _wrong_pairs(of_unit: BlockTable) -> str | None:
    """Say which pair is none: of two of the block's cells, with numbers that only a variance lacks."""
    places = range(len(of_unit["cells"]))
    for kind, rows in of_unit["pairs"].items():
        if kind not in block.KINDS:
            return f"block.pairs.{kind}: expected {' and '.join(block.KINDS)}"
        for number, row in enumerate(rows):
            if not _is_pair(row, places):
                return f"block.pairs.{kind}[{number}] is {str(row)[:40]!r}: no pair of cells"
    return None


def _is_pair(row: list[Any], places: range) -> bool:
    if len(row) != len(block.PAIR):
        return False
    a, b, log_ratio, launches, variance, floor = row
    numbers = [log_ratio, launches, floor, *([] if variance is None else [variance])]
    return a in places and b in places and all(type(n) in (int, float) for n in numbers)
