"""A run's folder: written as the run goes, read back whole. Reports see nothing but this.

    results/20261124T063012Z-1f3a/
        manifest.json   what was asked for, where, with what: known before anything is timed
        events.jsonl    the journal: one JSON object a line, flushed at once, only ever added to
        logs/           what the workers printed
        samples.csv, summary.csv, report.md, report.html: made from the first two by `report.formats`

Times are seconds, memory is bytes. A run that is killed leaves a journal that reads up to its last
whole line, which `reopen` takes up. While a run goes on, its writer holds a lock on the journal.
"""

from __future__ import annotations

import json
import re
import secrets
import shlex
import shutil
import threading
import time
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from harness import disk
from harness.machine import file_lock
from harness.results import fit, serialise, tables
from harness.results.events import Kind
from harness.results.manifest_types import Manifest
from workloads.errors import UserError
from workloads.places import program
from workloads.reading import SpecError, text_of

SCHEMA = 2
"""Raised when a reader of the last schema would misread a run."""

MANIFEST, JOURNAL, LOGS = "manifest.json", "events.jsonl", "logs"

_BLOCK = 20_000
"""Lines of a journal that are read at a time."""

_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4,}")

GONE = "there is no such folder: it was removed or renamed"


class StoreError(UserError):
    """A run cannot be written, found or read; the text is one line for the user."""


def go_on(folder: Path) -> str:
    """Name the command that continues a run."""
    return f"go on with: {program()} run --resume {shlex.quote(str(folder))}"


class Run:
    """A run being written. Made by `Run.create`; its methods may be called from any thread."""

    def __init__(
        self, folder: Path, manifest: dict[str, Any], journal: FileIO, began: float | None = None
    ) -> None:
        """`journal` is held; `began` is when the run did, by the monotonic clock; None is now."""
        self.folder = folder
        self._manifest, self._journal = manifest, journal
        self._began = time.monotonic() if began is None else began
        self._lock = threading.Lock()

    @classmethod
    def create(cls, results: Path, manifest: Mapping[str, Any]) -> Run:
        """Make a new run's folder in `results`, whole at once and never on top of another.

        Adds `schema`, `run` (the folder's name) and, where it is not given, `started` (UTC).
        Raises StoreError where nothing can be written there.
        """
        moment = datetime.now(UTC)
        complete = {"started": moment.isoformat(), **manifest, "schema": SCHEMA}
        draft = results / f".draft-{secrets.token_hex(8)}"
        try:
            (draft / LOGS).mkdir(parents=True)
            journal = (draft / JOURNAL).open("ab", buffering=0)
            file_lock.hold(journal)
            return cls(_publish(draft, moment, complete), complete, journal)
        except OSError as error:
            problem = f"{results}: no run can be stored there ({disk.reason(results, error)})"
            raise StoreError(f"{problem}; name another folder with --out") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def append(self, event: Kind, cell: str | None = None, **fields: Any) -> None:
        """Write one event to the journal, with the `time` since the run began, and flush it.

        Numbers that are not finite become null. Raises StoreError where the disk refuses, or the run's
        folder is gone: what is written to a deleted file is lost.
        """
        if "time" in fields:
            raise ValueError("the journal sets `time` itself")
        about = {} if cell is None else {"cell": cell}
        where = self.folder / JOURNAL
        with self._lock:
            line = {"time": round(time.monotonic() - self._began, 6), "event": event, **about}
            text = json.dumps(serialise.strict(line | fields), allow_nan=False) + "\n"
            try:
                where.stat()
                disk.append(self._journal, text.encode())
            except FileNotFoundError as error:
                raise StoreError(f"{self.folder}: {GONE}") from error
            except OSError as error:
                why = f"{where}: cannot be written: {disk.reason(where, error)}"
                raise StoreError(f"{why}; fix that, then {go_on(self.folder)}") from error

    def update_manifest(self, **changes: Any) -> None:
        """Set top-level keys of the manifest; the file is replaced whole. Raises StoreError."""
        with self._lock:
            self._manifest |= changes
            write(self.folder / MANIFEST, _pretty(self._manifest))

    def close(self) -> None:
        """Close the journal; nothing can be appended after."""
        self._journal.close()


@dataclass(frozen=True)
class Record:
    """A run read back. `torn`: the journal's last line was cut off, and is left out; `running`: its
    process is still writing.

    The timed slices, of which there may be a million, are a table of their own, and not in `events`.
    """

    folder: Path
    manifest: dict[str, Any]
    events: tuple[dict[str, Any], ...]
    slices: pd.DataFrame
    torn: bool = False
    running: bool = False

    def every(self, event: Kind) -> list[dict[str, Any]]:
        """All events of that kind, in order; slices as the rows of `slices`."""
        if event in tables.SLICES:
            rows = self.slices[self.slices["twin"] == tables.SLICES[event]]
            return [{"event": event, **row} for row in rows.to_dict("records")]  # type: ignore[dict-item]
        return list(self._by_kind.get(event, ()))

    @cached_property
    def _by_kind(self) -> dict[str, list[dict[str, Any]]]:
        """The events of each kind, for a report asks for them again and again."""
        events: dict[str, list[dict[str, Any]]] = {}
        for event in self.events:
            events.setdefault(event["event"], []).append(event)
        return events

    @cached_property
    def counted(self) -> pd.DataFrame:
        """The slices, but for replicates', that the figures rest on."""
        return tables.counted(self.slices, replicates=False)

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """Every pair of cells that may be compared (see `pairwise.COLUMNS`); none where `not_alone`."""
        return tables.pairs(self.manifest, self.events, self.slices, self.counted)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """Every cell (see `summary`)."""
        return tables.summary(
            self.manifest, self.events, self.slices, self.counted, self.pairs, self.running
        )

    @cached_property
    def contaminated(self) -> pd.DataFrame:
        """The slices, but for replicates', that are contaminated."""
        return self.slices[(self.slices["noise"] != "") & ~self.slices["twin"]]

    @cached_property
    def not_alone(self) -> tuple[str, ...]:
        """Why the run is of a unit that did not have its node for itself, and so ranks nothing."""
        return tables.not_alone(self.manifest, self.events, self.slices)

    @property
    def end(self) -> dict[str, Any] | None:
        """The `run-ended` event, or None for a run that goes on or was killed."""
        return next(reversed(self.every("run-ended")), None)


@dataclass(frozen=True)
class Entry:
    """One line of a list of runs; where one cannot be read, `status` says why."""

    name: str
    folder: Path
    started: str
    status: str
    cells: int = 0
    ok: int = 0
    data: str = ""


def read(folder: Path) -> Record:
    """Read a run back. Raises StoreError where it is missing, broken, or of another schema."""
    held = file_lock.is_held(folder / JOURNAL)  # first: what ends meanwhile is read to its end
    manifest, events, torn = read_manifest(folder), [], False
    timed = [tables.columns([])]
    for number, lines in _blocks(folder):
        torn = not lines[-1].endswith(b"\n")  # whatever follows the last newline was cut off
        batch = _events(lines[:-1] if torn else lines, number, folder)
        events += _checked(batch, number, folder)
        slices = [event for event in batch if event["event"] in tables.SLICES]
        timed.append(tables.columns(slices))
    ended = any(event["event"] == "run-ended" for event in events)
    return Record(folder, manifest, tuple(events), tables.slices(*timed), torn, held and not ended)


def runs(results: Path) -> list[Entry]:
    """Every run in `results`, oldest first; those that cannot be read too, with the reason."""
    return sorted(map(_entry, folders(results)), key=_age)


def folders(results: Path) -> list[Path]:
    """The folder of every run in `results`, unread."""
    return list(filter(_is_run, results.iterdir())) if results.is_dir() else []


def resolve(results: Path, text: str) -> Path:
    """The folder that `text` means: "latest", a run's name, a path, or a name's unique beginning.

    Raises StoreError, with what there is.
    """
    names = [entry.name for entry in runs(results)]
    if not names and not _is_run(Path(text)):
        raise StoreError(f"{results}: no runs there; make one with `{program()} run`")
    if text == "latest":
        return results / names[-1]
    if text in names:
        return results / text
    if text and Path(text).is_dir():
        return Path(text)
    matches = [name for name in names if text and name.startswith(text)]
    if len(matches) == 1:
        return results / matches[0]
    shown = ", ".join((matches or names)[-3:])
    if matches:
        raise StoreError(f'"{text}" begins {len(matches)} runs: {shown}; give more of the name')
    raise StoreError(f'no run "{text}" in {results}; the last are: {shown}; or say "latest"')


def samples(record: Record) -> pd.DataFrame:
    """Every timed slice, a row each, in the journal's order (see `tables.SAMPLE_COLUMNS`).

    Without those of cells that ran a second time, as replicates: `samples.csv` has these too.
    """
    return record.slices[~record.slices["twin"]]


def summary(record: Record) -> pd.DataFrame:
    """Every cell, a row each, in the plan's order (see `tables.COLUMNS`)."""
    return record.cells.copy()


def _publish(draft: Path, moment: datetime, manifest: dict[str, Any]) -> Path:
    """Give the draft a name that no run has, and set it in the manifest too."""
    while True:
        name = f"{moment:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
        manifest["run"] = name
        (draft / MANIFEST).write_text(_pretty(manifest), encoding="utf-8")
        try:
            return draft.rename(draft.parent / name)
        except OSError:
            if not (draft.parent / name).exists():
                raise


def _pretty(manifest: Mapping[str, Any]) -> str:
    return json.dumps(serialise.strict(manifest), indent=2, allow_nan=False) + "\n"


def write(path: Path, text: str) -> None:
    """Replace the file at once: a reader sees the old or the new one. Raises StoreError."""
    draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        # What a log holds may be no text at all; a report shows such a letter as "?".
        draft.write_text(text, encoding="utf-8", errors="replace", newline="")
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise StoreError(f"{path}: cannot be written: {disk.reason(path, error)}") from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a run's manifest alone, checked. Raises StoreError."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(text_of(path))
    except SpecError as error:
        raise StoreError(str(error)) from error
    except (OSError, ValueError, RecursionError) as error:
        if not folder.is_dir():
            raise StoreError(f"{folder}: {GONE}") from error
        why = getattr(error, "strerror", None) or f"not JSON: {error}"
        raise StoreError(f"{path}: cannot be read ({why}); is {folder} a run?") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("schema"), int):
        raise StoreError(f"{path}: has no `schema`: no manifest of a run; restore it or run again")
    if manifest["schema"] != SCHEMA:
        newer = manifest["schema"] > SCHEMA
        raise StoreError(
            f"{path}: has schema {manifest['schema']}, this samestep reads {SCHEMA}:"
            f" {'update samestep' if newer else 'read it with the samestep that wrote it'}"
        )
    if wrong := fit.too_deep(manifest) or fit.misfit(manifest, Manifest):
        raise StoreError(f"{path}: {wrong}; the file is damaged: fix it or run again")
    return manifest


def _blocks(folder: Path) -> Iterator[tuple[int, list[bytes]]]:
    """The journal's lines, many at a time, each time with the first one's number. Raises StoreError."""
    number = 1
    try:
        with (folder / JOURNAL).open("rb") as journal:
            if journal.read(len(BOM_UTF8)) != BOM_UTF8:
                journal.seek(0)
            while lines := list(islice(journal, _BLOCK)):
                yield number, lines
                number += len(lines)
    except OSError as error:
        problem = f"{folder / JOURNAL}: cannot be read ({error.strerror})"
        raise StoreError(f"{problem}; a run without its journal is lost: run it again") from error


def _events(lines: list[bytes], number: int, folder: Path) -> list[dict[str, Any]]:
    """The events of some lines, the first of which has that `number`. Raises StoreError."""
    try:
        events = orjson.loads(b"[" + b",".join(lines) + b"]")  # far quicker than one by one
    except ValueError:
        events = []
    if len(events) == len(lines) and all(map(_is_event, events)):
        return events
    return [_event(line, place, folder) for place, line in enumerate(lines, start=number)]


def _checked(events: list[dict[str, Any]], number: int, folder: Path) -> list[dict[str, Any]]:
    """The events but slices, which `tables.columns` reads whatever they hold. Raises StoreError."""
    for line, event in enumerate(events, start=number):
        if event["event"] not in tables.SLICES and (wrong := fit.event_misfit(event)):
            where = f"{folder / JOURNAL}:{line}: {event['event']}"
            raise StoreError(f"{where}: {wrong}; the file is damaged: fix that line or run again")
    return [event for event in events if event["event"] not in tables.SLICES]


def _is_event(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("event"), str)


def _event(line: bytes, number: int, folder: Path) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        event = None
    if not _is_event(event):
        problem = f"{folder / JOURNAL}:{number}: is no event ({line[:40]!r})"
        raise StoreError(f"{problem}; the file is damaged: remove that line or run again")
    return event


def _is_run(path: Path) -> bool:
    if path.name.startswith(".") or not path.is_dir():
        return False
    return bool(_NAME.fullmatch(path.name)) or (path / MANIFEST).is_file()


def _age(entry: Entry) -> tuple[str, str]:
    """A key that sorts by start; a name's stamp and an ISO time compare by their digits."""
    return re.sub(r"\D", "", entry.started or entry.name[:15]), entry.name


def _entry(folder: Path) -> Entry:
    try:
        record = read(folder)
    except StoreError as error:
        return Entry(folder.name, folder, "", f"cannot be read: {error}")
    cells, options = summary(record), record.manifest.get("options") or {}
    return Entry(
        name=folder.name,
        folder=folder,
        started=str(record.manifest.get("started", "")),
        status=str((record.end or {}).get("status", "running" if record.running else "unfinished")),
        cells=len(cells),
        ok=int((cells["status"] == "ok").sum()),
        data=str(options.get("data", "")),
    )
