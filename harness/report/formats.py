"""A report as a file or a text: what a run leaves beside its journal, and what `report` gives."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from harness.report import document, markdown
from harness.report.html import renderer
from harness.results import store
from harness.text import plain

TEXTS = ("md", "json", "csv")
"""The formats that `text` knows."""


def write(record: store.Record) -> None:
    """Write samples.csv, summary.csv, report.md and report.html of a run, again at any time.

    Raises StoreError once all have been tried: those that the disk has room for are written.
    """
    folder = record.folder
    reports = {
        folder / "summary.csv": lambda: _rows(record).to_csv(index=False),
        folder / "report.md": lambda: markdown.render(record),
        folder / "samples.csv": lambda: record.slices.to_csv(index=False),
        renderer.place([record], folder.parent): lambda: renderer.render([record]),
    }
    failures = {}
    for path, render in reports.items():
        try:
            store.write(path, render())
        except store.StoreError as error:
            failures[path.name] = error
    if failures:
        raise store.StoreError(f"not written: {', '.join(failures)} ({[*failures.values()][-1]})")


def text(records: Sequence[store.Record], form: str) -> str:
    """Return runs as one of TEXTS; a CSV's rows of several runs say in `run` whose they are."""
    if form == "md":
        return "\n".join(map(markdown.render, records))
    if form == "json":
        return document.render(records)
    tables = [*map(_rows, records)]
    if len(records) > 1:
        named = zip(records, tables, strict=True)
        tables = [pd.DataFrame({"run": record.folder.name, **table}) for record, table in named]
    return csv(tables)


def _rows(record: store.Record) -> pd.DataFrame:
    """The summary, with what a reader must know of the run in every row, where it has such a thing."""
    variables = (record.manifest.get("options") or {}).get("kept_variables") or {}
    facts = {
        "not_alone": "; ".join(record.not_alone),
        "kept_variables": " ".join(f"{name}={value}" for name, value in variables.items()),
    }
    return store.summary(record).assign(**{key: fact for key, fact in facts.items() if fact})


def csv(tables: Sequence[pd.DataFrame]) -> str:
    """Return tables one below the other as CSV; names without terminal codes, each row on one line."""
    table = pd.concat(tables, ignore_index=True)
    texts = table.select_dtypes(["object", "string"]).columns
    shown = {name: table[name].map(_shown) for name in texts}
    return table.assign(**shown).to_csv(index=False)


def _shown(value: object) -> object:
    return plain(value) if isinstance(value, str) else value
