"""The files that a run leaves beside its journal: two tables and the report."""

from __future__ import annotations

from pathlib import Path

from harness import store, summaries
from harness.report import markdown


def finish(folder: Path) -> store.Record:
    """Write samples.csv, summary.csv and report.md of the run in `folder`, again at any time.

    Raises StoreError.
    """
    record = store.read(folder)
    store.write(folder / "samples.csv", summaries.samples(record.events).to_csv(index=False))
    store.write(folder / "summary.csv", store.summary(record).to_csv(index=False))
    store.write(folder / "report.md", markdown.render(record))
    return record
