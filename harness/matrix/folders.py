"""The files of a matrix: a folder a unit, a folder an attempt, and `done.json`, of which the first wins.

    results/matrices/NAME-1f3a5b7c/
        plan.json                 what was planned; never changed
        submissions/*.json        what was handed to an engine, and when
        logs/                     what an engine keeps of its jobs' output
        units/00003/claim.json    the attempt that may run now
        units/00003/attempts/*/   attempt.json, beat, log.txt, ended.json, and run/: the run itself
        units/00003/done.json     which attempt counts, and what the merge needs of its run

A file that others wait for is linked into its place: it appears whole, and never on top of another.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import orjson

from harness import disk
from harness.matrix import stored
from harness.matrix.reading import MatrixError
from harness.matrix.stored import AboutTable, ClaimTable, DoneTable, EndedTable
from harness.results import serialise, store

T = TypeVar("T")

DONE, CLAIM, ENDED, LOG, RUN = "done.json", "claim.json", "ended.json", "log.txt", "run"
RETRY, REDONE = "retry.json", "redone.json"
"""A unit of a slow node is sent elsewhere once: that it was, and what came of it."""

BEAT_SECONDS = 20.0
GRACE_SECONDS = 90.0
"""What gave no sign of life for longer is gone: four beats, and what a shared disk may lag behind."""

_TAIL = 4096
"""Bytes of a log that are read for its last lines."""


class Attempt:
    """One start of a unit, by its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def begin(cls, unit: Path, about: Mapping[str, Any]) -> Attempt:
        """Make an attempt's folder, with its first sign of life. Raises StoreError, OSError."""
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}Z-{secrets.token_hex(2)}"
        attempt = cls(unit / "attempts" / name)
        attempt.folder.mkdir(parents=True)
        attempt.beat()
        store.write(attempt.folder / "attempt.json", _text(about))
        return attempt

    @property
    def about(self) -> dict[str, Any]:
        """Where and by whom it was begun; empty where that cannot be read."""
        return {**(read(self.folder / "attempt.json", AboutTable) or {})}

    @property
    def ended(self) -> EndedTable | None:
        """How it ended; None: it goes on, or its end was not written."""
        return read(self.folder / ENDED, EndedTable)

    def beat(self) -> None:
        """Give a sign of life."""
        with suppress(OSError):  # a disk that is away for a moment
            (self.folder / "beat").touch()

    def silent(self, moment: float) -> float:
        """Seconds since the last sign of life, `moment` by the clock of the disk."""
        try:
            return moment - (self.folder / "beat").stat().st_mtime
        except OSError:
            return float("inf")

    def end(self, **how: Any) -> None:
        """Write how it ended; the first word stands."""
        publish(self.folder / ENDED, how)


class UnitFolder:
    """What is known of one unit."""

    def __init__(self, matrix: Path, number: int) -> None:
        self.folder = matrix / "units" / f"{number:05d}"

    def attempts(self) -> list[Attempt]:
        """All attempts, oldest first."""
        try:
            return [Attempt(path) for path in sorted((self.folder / "attempts").iterdir())]
        except OSError:
            return []

    def done(self) -> DoneTable | None:
        """What counts of the unit: of a unit that was sent elsewhere the second result.

        Raises MatrixError where that is damaged.
        """
        return result(self.folder / REDONE) or result(self.folder / DONE)

    @property
    def target(self) -> Path:
        """The file that says that the unit is done, or done again."""
        return self.folder / (REDONE if self.retried else DONE)

    @property
    def retried(self) -> bool:
        """Whether the unit was sent elsewhere."""
        return (self.folder / RETRY).exists()

    def claim(self, attempt: Attempt, job: str | None, node: str) -> Attempt | None:
        """Claim the unit for an attempt; return None, or the attempt that has it and may be alive.

        A requeued job takes over from itself; anybody does from what ended or gave no sign of life.
        """
        mark = {"attempt": attempt.folder.name}
        path = self.folder / CLAIM
        if publish(path, mark):
            return None
        claim = read(path, ClaimTable)
        holder = Attempt(self.folder / "attempts" / (claim["attempt"] if claim else "unknown"))
        about = holder.about
        same_job = job is not None and about.get("job") == job
        if same_job or not alive(holder, about, node, disk_now(self.folder)):
            store.write(path, _text(mark))
            return None
        return holder


def alive(attempt: Attempt, about: Mapping[str, Any], node: str, moment: float) -> bool:
    """Whether an attempt may still run, asked on `node` at the disk's time `moment`."""
    if attempt.ended is not None or attempt.silent(moment) > GRACE_SECONDS:
        return False
    return about.get("host") != node or Path(f"/proc/{about.get('pid')}").exists()


def publish(path: Path, contents: Mapping[str, Any]) -> bool:
    """Write a file unless there is one; say whether this call wrote it. Raises StoreError."""
    draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        with draft.open("x", encoding="utf-8") as file:
            file.write(_text(contents))
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename it never replaces
    except FileExistsError:
        return False
    except OSError as error:
        raise store.StoreError(f"{path}: cannot be written: {disk.reason(path, error)}") from error
    finally:
        with suppress(OSError):
            draft.unlink()
    return True


def read(path: Path, kind: type[T]) -> T | None:
    """The table of a JSON file; None where there is none, or it is torn or damaged."""
    try:
        table = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return None if stored.wrong(table, kind) else table


def result(path: Path) -> DoneTable | None:
    """What counts of a unit, None where there is no such file. Raises MatrixError of a damaged one."""
    try:
        table = orjson.loads(path.read_bytes())
        problem = stored.wrong(table, DoneTable)
    except FileNotFoundError:
        return None
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except ValueError as error:
        problem = f"not JSON: {error}"
    if problem:
        raise MatrixError(f"{path}: {problem}; the file is damaged: remove it, and submit again")
    return table


def disk_now(folder: Path) -> float:
    """The time by the clock that the disk stamps files with, which may be another machine's.

    This machine's where nothing can be written: whoever only reads asks, too.
    """
    probe = folder / f".now-{secrets.token_hex(4)}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        with suppress(OSError):
            probe.unlink()


def tail(path: Path, lines: int = 5) -> list[str]:
    """The last lines of a log; none where there is none."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - _TAIL))
            text = log.read().decode(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-lines:]


def _text(contents: Mapping[str, Any]) -> str:
    return json.dumps(serialise.strict(contents), allow_nan=False) + "\n"
