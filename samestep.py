"""Stored runs in Python: `samestep.load(run)` gives their tables as pandas frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness.paths import results_folder
from harness.results import store, tables
from harness.results.store import StoreError

__all__ = ["Run", "StoreError", "load"]


@dataclass(frozen=True)
class Run:
    """A stored run. Seconds, bytes, samples a second; docs/reference/run-folder.md has every column.

    `summary` has a row a cell, `samples` a row a timed slice, `pairs` a row two cells that were compared,
    `events` a row an event of the journal but the slices, a column a field: most events lack most.
    """

    name: str
    folder: Path
    manifest: dict[str, Any]
    summary: pd.DataFrame
    samples: pd.DataFrame
    pairs: pd.DataFrame
    events: pd.DataFrame


def load(run: str | Path) -> Run:
    """Read a run: its folder, its name in results/ or the beginning of it, or "latest".

    Raises StoreError, with what there is, where no such run can be read.
    """
    record = store.read(store.resolve(results_folder(), str(run)))
    return Run(
        name=str(record.manifest.get("run") or record.folder.name),
        folder=record.folder,
        manifest=record.manifest,
        summary=store.summary(record),
        samples=record.slices.astype(dict.fromkeys(tables.NAMES, str)),  # plain, no categories
        pairs=record.pairs.copy(),
        events=pd.DataFrame(
            record.events, columns=None if record.events else ["time", "event", "cell"]
        ),
    )
