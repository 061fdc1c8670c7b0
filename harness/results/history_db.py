"""Every run's summary in one database, `results/history.sqlite`: what the runs there say, at hand.

It is made from the store alone, so nothing is lost with it: a file that is missing, damaged or of other
columns is made anew, and `update` reads into it what lies in `results`. Writers wait for each other.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from harness.results import identity, serialise, store, tables
from workloads.places import program

NAME = "history.sqlite"

SCHEMA = 3
"""Raised when what a column holds is no longer what it was: every file is then made anew."""

RUNS = (
    "run",
    "started",
    "samestep",
    "git_commit",
    "machine",
    "fingerprint",
    "threads",
    "data",
    "quick",
    "no_parity",
)
"""The columns of the table of runs; `machine` is the manifest's, as JSON."""

CELLS = ("run", *tables.COLUMNS, "name", "version", "ground")
"""The columns of the table of cells: the summary's, and what only the manifest and the journal have.

`name` is the framework's without the version that a label may have. Cells of one `ground` computed the
same thing (`identity.Computation`).
"""

_VERSION = zlib.crc32(repr((SCHEMA, RUNS, CELLS)).encode()) >> 1  # SQLite keeps it in 31 bits
_PATIENCE = 30  # seconds to wait for another writer


def add(record: store.Record) -> None:
    """Put a run into the database beside it, in place of what is there of it. Raises StoreError."""
    run, cells = _run(record), list(_cells(record))
    with _database(record.folder.parent) as database:
        _forget(database, record.folder.name)
        _insert(database, "runs", RUNS, [run])
        _insert(database, "cells", CELLS, cells)


def update(results: Path) -> list[str]:
    """Add the runs in `results` that are not in the database, forget those that are gone.

    Returns a sentence on each run that was left out: it cannot be read, or has not ended.

    Raises StoreError where there are no runs, or the database cannot be written.
    """
    folders = {folder.name: folder for folder in store.folders(results)}
    if not folders:
        raise store.StoreError(f"{results}: no runs there; make one with `{program()} run`")
    with _database(results) as database:
        recorded = {name for (name,) in database.execute("SELECT run FROM runs")}
        for name in recorded - folders.keys():
            _forget(database, name)
    left_out = []
    for name in sorted(folders.keys() - recorded):
        try:
            record = store.read(folders[name])
        except store.StoreError as error:
            left_out.append(str(error))
            continue
        if record.end is None:
            why = "it goes on" if record.running else "it was killed"
            left_out.append(f"{record.folder}: has not come to its end: {why}")
        else:
            add(record)
    return left_out


def table(results: Path) -> pd.DataFrame:
    """Return every cell of every run in the database with its run's columns, the oldest first.

    Raises StoreError.
    """
    names = [*CELLS, *(name for name in RUNS if name not in CELLS)]
    columns = ", ".join(f'"{name}"' for name in names)
    query = f"SELECT {columns} FROM cells JOIN runs USING (run) ORDER BY started, run, cells.rowid"  # noqa: S608
    with _database(results) as database:
        rows = database.execute(query).fetchall()
    frame = pd.DataFrame(rows, columns=names)
    return frame.astype(dict.fromkeys(("reference", "quick", "no_parity"), bool))


@contextmanager
def _database(results: Path) -> Iterator[sqlite3.Connection]:
    """Open the database, for one transaction. Raises StoreError."""
    path = results / NAME
    try:
        with closing(_open(path)) as database, database:
            yield database
    except sqlite3.Error as error:
        raise store.StoreError(
            f"{path}: the history cannot be read or written ({error}); the file may be removed, for"
            " it is made again from the runs"
        ) from error


def _open(path: Path) -> sqlite3.Connection:
    """Open a file that is sound and has our columns: another one is emptied, or replaced."""
    database = sqlite3.connect(path, timeout=_PATIENCE)
    try:
        sound = database.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
    except sqlite3.OperationalError:  # locked, or not to be opened: nothing is known against it
        database.close()
        raise
    except sqlite3.DatabaseError:
        sound = False
    if not sound:
        database.close()
        for part in (path, path.with_name(f"{path.name}-journal")):
            part.unlink(missing_ok=True)
        database = sqlite3.connect(path, timeout=_PATIENCE)
    with database:
        database.execute("BEGIN IMMEDIATE")
        if database.execute("PRAGMA user_version").fetchone() != (_VERSION,):
            _make_tables(database)
    return database


def _make_tables(database: sqlite3.Connection) -> None:
    """Make both tables, empty, in place of what is there."""
    for name, columns in (("runs", RUNS), ("cells", CELLS)):
        database.execute(f"DROP TABLE IF EXISTS {name}")
        named = ", ".join(f'"{column}"' for column in columns)
        database.execute(f"CREATE TABLE {name} ({named})")
        database.execute(f"CREATE INDEX {name}_by_run ON {name} (run)")
    database.execute(f"PRAGMA user_version = {_VERSION}")


def _forget(database: sqlite3.Connection, run: str) -> None:
    for name in ("runs", "cells"):
        database.execute(f"DELETE FROM {name} WHERE run = ?", (run,))  # noqa: S608 - ours


def _insert(
    database: sqlite3.Connection, name: str, columns: tuple[str, ...], rows: list[dict[str, Any]]
) -> None:
    marks = ", ".join("?" * len(columns))
    values = [[_plain(row[column]) for column in columns] for row in rows]
    database.executemany(f"INSERT INTO {name} VALUES ({marks})", values)  # noqa: S608 - ours


def _plain(value: Any) -> Any:
    """Return a value that SQLite holds; None for what is missing."""
    plain = serialise.strict(value)
    if plain is None or (pd.api.types.is_scalar(plain) and pd.isna(plain)):
        return None
    return plain if isinstance(plain, int | float | str) else json.dumps(plain)


def _run(record: store.Record) -> dict[str, Any]:
    manifest, described = record.manifest, record.manifest.get("machine") or {}
    options = manifest.get("options") or {}
    return {
        "run": record.folder.name,
        "started": str(manifest.get("started") or ""),
        "samestep": manifest.get("samestep"),
        "git_commit": manifest.get("git_commit"),
        "machine": json.dumps(serialise.strict(described)),
        "fingerprint": identity.fingerprint(described),
        "threads": options.get("threads"),
        "data": options.get("data"),
        "quick": bool(options.get("quick")),
        "no_parity": options.get("parity_steps") == 0,
    }


def _cells(record: store.Record) -> Iterator[dict[str, Any]]:
    versions = {
        (event.get("framework"), event.get("device", "cpu")): event.get("version")
        for event in record.every("framework-ready")
    }
    workloads = record.cells["workload"].unique()
    grounds = {name: identity.computation(record, name).ground for name in workloads}
    for row in record.cells.to_dict("records"):
        name, _, version = row["framework"].partition("@")
        yield {
            **{str(key): value for key, value in row.items()},
            "run": record.folder.name,
            "name": name,
            "version": version or versions.get((row["framework"], row["device"])),
            "ground": grounds[row["workload"]],
        }
