"""The words of the parity check in the journal, and what a cell's checks come to together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Event = Mapping[str, Any]

EQUIVALENT, NOT_EQUIVALENT, UNDECIDED = "equivalent", "not equivalent", "undecided"
"""The verdicts of the parity check. A cell of the last two has that as its status, and is in no ranking.

Undecided: the bound of some tensor reaches half of the effect, so nothing was shown for the cell.
"""

NOT_CHECKED = "not checked"
"""Stands for the verdict of a cell that has none."""

BEFORE, REPLAYED, AFTER = "before timing", "replayed", "after timing"
"""When a cell was checked; replayed are slices as they were timed."""

_MOST_NAMED = 5
"""How many undecided tensors a cell's reason names; the journal has all."""


def parity_verdict(checks: Sequence[Event]) -> str:
    """The verdict of a cell's parity events together: the worst one; an unknown one is not equivalent.

    Of replayed slices of one kind, one that is equivalent decides for those that are undecided: a
    training that has come to rest shows nothing any more.
    """
    if not checks:
        return NOT_CHECKED
    replayed = [event for event in checks if event.get("when") == REPLAYED]
    decided = {event.get("kind") for event in replayed if event.get("verdict") == EQUIVALENT}
    verdicts = {
        event.get("verdict")
        for event in checks
        if not (
            event.get("when") == REPLAYED
            and event.get("verdict") == UNDECIDED
            and event.get("kind") in decided
        )
    }
    if verdicts <= {EQUIVALENT, UNDECIDED}:
        return UNDECIDED if UNDECIDED in verdicts else EQUIVALENT
    return NOT_EQUIVALENT


def undecided_reason(checks: Iterable[Event]) -> str:
    """Name the tensors of a cell's parity events that nothing was shown for, each with its moment."""
    tensors = list(
        dict.fromkeys(str(text) for event in checks for text in event.get("undecided") or ())
    )
    unnamed = len(tensors) - _MOST_NAMED
    named = ", ".join(tensors[:_MOST_NAMED]) + (f" and {unnamed} more" if unnamed > 0 else "")
    return f"parity undecided: {named or 'the journal does not say of what'}"


def by_cell(events: Iterable[Event]) -> dict[str, list[Event]]:
    """The parity events among `events` of every cell that was checked, in order."""
    cells: dict[str, list[Event]] = {}
    for event in events:
        if event["event"] == "parity":
            cells.setdefault(str(event.get("cell")), []).append(event)
    return cells
