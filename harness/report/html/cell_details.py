"""What the page shows of one cell on a click: its figures, its parity checks, the end of its log."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from harness.report import parity_tables, provenance
from harness.results import store, tables
from harness.results.metrics import METRICS
from harness.results.tables import FINISHED, number
from harness.text import count, plain
from harness.verdicts import BEFORE, EQUIVALENT, by_cell, parity_verdict

LETTERS = 600_000
"""About how many letters the details of a whole report may take."""

_LINES = (4, 20)  # of a log: at least, at most
_TENSORS = (3, 12)
_WIDE = 160  # letters of a line
_LETTERS_A_LINE = 50  # usually


def details(record: store.Record, cells: pd.DataFrame, of: int) -> Iterator[tuple[int, Any]]:
    """Every cell of a run by its id, as JSON can hold it; `of`: how many cells the report has."""
    room = LETTERS // max(1, of) // _LETTERS_A_LINE // 2
    lines, tensors = (min(max(room, low), high) for low, high in (_LINES, _TENSORS))
    last: dict[str, dict[str, Mapping[str, Any]]] = {}
    for event in record.events:
        if event["event"] in ("cell-started", "cell-failed"):
            last.setdefault(str(event.get("cell")), {})[event["event"]] = event
    checked = by_cell(record.events)
    settings = dict(provenance.settings(record))
    for cell in cells.to_dict("records"):
        latest = last.get(cell["cell"], {})
        started, failed = latest.get("cell-started", {}), latest.get("cell-failed", {})
        yield (
            int(cell["id"]),
            {
                "name": plain(cell["cell"]),
                "status": plain(cell["status"]),
                "reason": plain(cell["reason"]),
                "more": list(_more(cell)),
                "settings": settings.get(plain(cell["cell"]), ""),
                "parity": list(_parity(checked.get(cell["cell"], []), tensors)),
                "log": _end(record.folder, started.get("log"), failed.get("log_tail"), lines),
            },
        )


def _more(cell: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    """The metrics of a cell that are in no table, each with its title."""
    for metric in METRICS:
        if metric.priority is None and pd.notna(value := cell[metric.column]):
            yield metric.title, metric.write(float(value))


def _parity(checks: Sequence[Mapping[str, Any]], most: int) -> Iterator[dict[str, Any]]:
    """A cell's parity checks by when they were made and their verdicts.

    Those that are equivalent have tensors only before timing: there may be many afterwards.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for event in checks:
        key = plain(event.get("when")), parity_verdict([event])
        groups.setdefault(key, []).append(event)
    for (when, verdict), events in groups.items():
        what = when if len(events) == 1 else f"{when} ({count(len(events), 'check')})"
        brief = verdict == EQUIVALENT and when != BEFORE
        yield _check(what, events, 0 if brief else most)


def _check(what: str, checks: Sequence[Mapping[str, Any]], most: int) -> dict[str, Any]:
    """What parity events of one verdict say, with the tensors of the one nearest its bound."""
    nearest = tables.nearest_bound(checks)
    share = parity_tables.size(nearest.get("worst_share"))
    return {
        "words": f"{what}: {parity_tables.sentence(checks)}",
        "nearest": f"{share} of its bound: {plain(nearest.get('worst_tensor'))}",
        "rows": parity_tables.tensors(nearest, most),
        "of": len(nearest.get("checks") or []),
    }


def _end(folder: Path, log: Any, tail: Any, lines: int) -> list[str]:
    """The last lines of a cell's log, from the journal or else from its file in the run's folder."""
    log_lines = tail or _read(folder, log)
    return [plain(line)[:_WIDE] for line in log_lines][-lines:]


def _read(folder: Path, log: Any) -> list[str]:
    """A log's last lines; a name that leads out of the run's logs is not followed."""
    try:
        # Not Path.resolve: it raises RuntimeError at a loop of links.
        logs, path = (Path(os.path.realpath(folder / name)) for name in (store.LOGS, str(log)))
        if not log or not path.is_relative_to(logs):
            return []
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _LINES[1] * _WIDE))
            return file.read().decode(errors="replace").splitlines()
    except (OSError, ValueError):  # a name may hold a zero byte
        return []


def scores(record: store.Record, cells: pd.DataFrame) -> list[dict[str, Any]]:
    """The distinct outcomes on the test set: confusion, per class, and the cells that share it."""
    finished = cells[cells["status"].isin(FINISHED)]
    labels = dict(zip(finished["cell"], finished["label"], strict=True))
    outcomes: dict[str, dict[str, Any]] = {}
    for event in record.every("evaluated"):
        label, matrix = labels.get(event.get("cell")), event.get("confusion")
        if label is None or not matrix or not event.get("per_class"):
            continue
        outcome = outcomes.setdefault(
            str(matrix), {"confusion": matrix, "labels": [], "classes": []}
        )
        outcome["labels"].append(label)
        outcome["classes"] = [
            {key: number(class_scores.get(key)) for key in ("precision", "recall", "f1", "support")}
            for class_scores in event["per_class"]
        ]
    return list(outcomes.values())
