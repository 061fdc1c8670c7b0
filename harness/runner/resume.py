"""What a resumed run takes from its journal: which cells and launches are whole, and what may not change.

The journal ends with a checkpoint (see `harness.results.reopen`), so all that it holds is whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.results import fit, identity, serialise, store, tables
from harness.results.events import Checkpoint
from harness.results.reopen import reopen
from harness.results.store import Record, Run, StoreError
from harness.runner.plan import Cell

_FIXED = {
    "samestep": "samestep's version",
    "git_commit": "the checkout's commit",
    "sources_sha256": "samestep's own files",
    "options": "the options",
    "workloads": "a workload",
    "cells": "the cells",
}
"""What of the manifest has to be the same for a run to go on, in words."""

_FACTS = {
    "framework-ready": ("framework", "device"),
    "framework-unavailable": ("framework", "device"),
    "dataset": ("workload",),
    "workload-skipped": ("workload",),
    "start": ("workload",),
    "reference-run": ("workload",),
    "workload-refused": ("workload",),
}
"""Events that a run emits once, by what each is about: a resumed run finds them as they were."""

_OPPOSITES = {
    "framework-ready": "framework-unavailable",
    "framework-unavailable": "framework-ready",
    "dataset": "workload-skipped",
    "workload-skipped": "dataset",
}


@dataclass(frozen=True)
class Place:
    """How far a workload had come: `launch` is the last whole one of the `turn`, 0 where none is.

    In seconds: `took` is that launch's time, `spent` the turn's so far, `left` the budget at its start.
    """

    turn: int = 0
    launch: int = 0
    took: float = 0.0
    spent: float = 0.0
    left: float | None = None


@dataclass(frozen=True)
class Past:
    """What a resumed run has already; of a new run nothing."""

    record: Record | None = None

    @property
    def events(self) -> Sequence[Mapping[str, Any]]:
        """All events of the journal but the slices."""
        return self.record.events if self.record else ()

    def ended(self, cells: Sequence[Cell], event: str = "") -> list[Cell]:
        """Those of the cells that are done or have failed; with `event`, of these two the one."""
        kinds = (event,) if event else ("cell-done", "cell-failed")
        names = {entry.get("cell") for entry in self.events if entry["event"] in kinds}
        return [cell for cell in cells if cell.id in names]

    def scored(self, cells: Sequence[Cell]) -> list[Cell]:
        """Those of the cells that have come to their score, and whose launches are not all whole."""
        ended = self.ended(cells)
        names = {event.get("cell") for event in self.events if event["event"] == "cell-started"}
        return [cell for cell in cells if cell.id in names and cell not in ended]

    def place(self, workload: str, budget: float | None) -> Place:
        """How far the workload had come; `budget` is what it has in all."""
        for event in reversed(self.events):
            if event["event"] == "checkpoint" and event.get("workload") == workload:
                keys = ("turn", "launch", "took", "spent", "left")
                return Place(**{key: event[key] for key in keys})
        return Place(left=budget)

    def slices(self, cells: Sequence[Cell], turn: int) -> list[dict[str, Any]]:
        """The timed slices of these cells in a turn, as a session returns them."""
        if self.record is None:
            return []
        table = self.record.slices
        in_turn = table["cell"].isin([cell.id for cell in cells]) & (table["turn"] == turn)
        rows = table[in_turn].to_dict("records")
        return [{**row, "noise": row["noise"].split("; ") if row["noise"] else []} for row in rows]  # type: ignore[dict-item]

    def peak_bytes(self, cell: Cell) -> int:
        """The peak of memory that the cell's first launch came to."""
        peaks = (
            event.get("peak_rss")
            for event in self.events
            if event["event"] == "memory" and event.get("cell") == cell.id
        )
        return int(next(peaks, None) or 0)

    def limits_measured(self) -> set[tuple[str, str]]:
        """The frameworks and devices whose kernels were timed."""
        cells = [tables.split(event["cell"]) for event in self.events if event["event"] == "limits"]
        return {(cell["framework"], cell["device"]) for cell in cells}

    def holds(self, event: str, fields: Mapping[str, Any]) -> bool:
        """Say whether the journal has this fact. Raises StoreError where it has another one.

        Facts are what a run emits once: its environments, its data, its start weights.
        """
        about = {key: fields.get(key) for key in _FACTS.get(event, ())}
        for past in self.events if about else ():
            if any(past.get(key) != value for key, value in about.items()):
                continue
            if past["event"] == _OPPOSITES.get(event):
                raise _changed(
                    f"{' '.join(map(str, about.values()))}: {past['event']}, now {event}"
                )
            if past["event"] == event:
                changes = [key for key in fields if _differ(key, past.get(key), fields[key])]
                if changes:
                    key = changes[0]
                    name = " ".join(map(str, about.values()))
                    raise _changed(
                        f"{event} of {name}: {key} was {past.get(key)}, is {fields[key]}"
                    )
                return True
        return False


def resume(folder: Path, manifest: Mapping[str, Any]) -> tuple[Run, Past]:
    """Open a run that was cut short; `manifest` is what a new run of the same options would have.

    Raises StoreError where it came to its end, goes on elsewhere, or something has changed since.
    """
    record = store.read(folder)
    _require_places(record)
    end = record.end
    if end is not None and end.get("status") != tables.INTERRUPTED:
        raise StoreError(f"{folder.name} came to its end ({end.get('status')}): nothing to resume")
    differences = [
        words
        for key, words in _FIXED.items()
        if serialise.digest(record.manifest.get(key), 16) != serialise.digest(manifest.get(key), 16)
    ]
    differences += [f"the machine ({what})" for what in _unlike(record.manifest, manifest)]
    if differences:
        raise _changed(", ".join(differences))
    run, record = reopen(folder)
    return run, Past(record)


def _require_places(record: Record) -> None:
    """Raise StoreError where a workload's checkpoint does not say how far it had come."""
    for event in record.every("checkpoint"):
        if event.get("workload") is not None and (wrong := fit.lacking(event, Checkpoint)):
            raise StoreError(
                f"{record.folder / store.JOURNAL}: checkpoint: {wrong}; the file is damaged: make a"
                " new run"
            )


def _unlike(past: Mapping[str, Any], present: Mapping[str, Any]) -> Iterable[str]:
    """Say what makes the machine another one; one whose processor has no name may be the same."""
    machines = [{**(manifest.get("machine") or {})} for manifest in (past, present)]
    for machine in machines:
        machine["cpu"] = machine.get("cpu") or "of no known name"
    devices = sorted({tables.split(cell)["device"] for cell in present["cells"]})
    return dict.fromkeys(
        what for device in devices for what in identity.unlike(machines[0], machines[1], device)
    )


def _differ(key: str, past: Any, present: Any) -> bool:
    """Whether a field of a fact is another one; how long something took always is."""
    return key != "seconds" and serialise.digest(past, 16) != serialise.digest(present, 16)


def _changed(what: str) -> StoreError:
    return StoreError(f"cannot be resumed, for this changed since: {what}; make a new run")
