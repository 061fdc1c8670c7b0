"""The journal of a run that was cut short, opened again behind the last point where all was whole.

A run emits `checkpoint` whenever a cell has come to its score and whenever a launch has ended. What
stands behind the last one is of a cell or a launch that is not whole: it goes to `dropped.jsonl`, and is
measured again.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from harness import disk
from harness.machine import file_lock
from harness.results import store
from harness.results.store import Record, Run, StoreError

DROPPED = "dropped.jsonl"
"""What the journal held of cells and launches that were not whole, line by line."""

_WHOLE = ("run-started", "run-resumed", "checkpoint")
"""The events up to which a journal is whole."""


def reopen(folder: Path) -> tuple[Run, Record]:
    """Open a run's journal to append to it, cut behind its last checkpoint; return what it holds.

    Raises StoreError where the run goes on in another process, or cannot be read or written.
    """
    path = folder / store.JOURNAL
    manifest = store.read_manifest(folder)
    try:
        journal = path.open("ab", buffering=0)
        if not file_lock.hold(journal):
            raise StoreError(f"{folder.name} goes on in another process: nothing to resume")
        _cut(path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {disk.reason(path, error)}") from error
    record = store.read(folder)
    elapsed = max((float(event.get("time") or 0.0) for event in record.events), default=0.0)
    return Run(folder, manifest, journal, began=time.monotonic() - elapsed), record


def _cut(path: Path) -> None:
    """Move the lines behind the last checkpoint to DROPPED; killed midway, it does so once more."""
    end, place = 0, 0
    with path.open("rb") as journal:
        for line in journal:
            place += len(line)
            if line.endswith(b"\n") and _kind(line) in _WHOLE:
                end = place
        journal.seek(end)
        tail = journal.read()
    if tail:
        with path.with_name(DROPPED).open("ab") as dropped:
            dropped.write(tail if tail.endswith(b"\n") else tail + b"\n")
            dropped.flush()
            os.fsync(dropped.fileno())
        os.truncate(path, end)


def _kind(line: bytes) -> str:
    if not any(word.encode() in line for word in _WHOLE):
        return ""  # most lines: not worth to be read as JSON
    return str(json.loads(line).get("event"))
