"""The database of all runs: always in step with them, whatever happens to it, and whoever writes."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.results import history_db, identity, store, tables
from harness.results.store import StoreError
from tests.runs import MadeUpRun

ROOT = Path(__file__).resolve().parents[3]
CELLS = (
    "toy/left/fast/cpu/float32",
    "toy/left@2.9.1/fast/cpu/float32",
    "toy/right/slow/cpu/float32",
)
MACHINE = {"cpu": "a processor", "cores_usable": 2, "memory_total": 2**34, "gpus": []}


def run(
    results: Path, cells: Sequence[str] = CELLS, *, ended: bool = True, **manifest: Any
) -> Path:
    """A run of cells that trained at 100 samples a second, the last of which failed."""
    told = {
        "samestep": "0.1.0",
        "git_commit": "abc",
        "machine": MACHINE,
        "cells": list(cells),
        "options": {"threads": 2, "data": "real", "quick": False, "parity_steps": 20},
        "workloads": {"toy": {"title": "Toy", "data": {"dataset": "xor"}}},
        **manifest,
    }
    made = MadeUpRun(results, told).dataset("toy", "xor")
    for name in ("left", "left@2.9.1", "right"):
        made.framework(name, version="2.13.0+cpu")
    for cell in cells[:-1]:
        made.first_step(cell).memory(cell)
        for launch in (1, 2):
            made.slice(cell, 100 / (0.99 + launch / 100), launch)
        made.done(cell)
    made.fail(cells[-1], phase="open")
    if ended:
        made.end("failed", 1)
    return made.read().folder


def known(results: Path) -> list[str]:
    """The names of the runs in the file, looked up by hand."""
    with sqlite3.connect(results / history_db.NAME) as database:
        return sorted(name for (name,) in database.execute("SELECT run FROM runs"))


def test_a_run_is_told_whole(tmp_path: Path) -> None:
    folder = run(tmp_path)
    assert history_db.update(tmp_path) == []
    table = history_db.table(tmp_path)
    assert list(table["cell"]) == list(CELLS)
    assert list(table["version"]) == ["2.13.0+cpu", "2.9.1", "2.13.0+cpu"]
    assert list(table["name"]) == ["left", "left", "right"]
    assert list(table["status"]) == ["ok", "ok", "crashed"]
    one = table.iloc[0]
    assert one["train_low"] < one["train_samples_per_s"] < one["train_high"]
    assert (one["peak_memory_bytes"], one["first_step_s"], one["launches"]) == (1000, 0.5, 2)
    assert (one["run"], one["samestep"], one["git_commit"]) == (folder.name, "0.1.0", "abc")
    assert (one["threads"], one["data"]) == (2, "real") and not (one["quick"] or one["no_parity"])
    assert one["fingerprint"] == identity.fingerprint(MACHINE)
    assert json.loads(one["machine"]) == MACHINE
    assert set(tables.COLUMNS) <= set(table.columns)


def test_a_run_is_added_once_and_a_removed_one_is_forgotten(tmp_path: Path) -> None:
    folders = [run(tmp_path), run(tmp_path)]
    for folder in folders * 2:
        history_db.add(store.read(folder))
    assert known(tmp_path) == sorted(folder.name for folder in folders)
    assert len(history_db.table(tmp_path)) == 2 * len(CELLS)
    shutil.rmtree(folders[0])
    assert history_db.update(tmp_path) == []
    assert known(tmp_path) == [folders[1].name]
    assert set(history_db.table(tmp_path)["run"]) == {folders[1].name}


def test_nothing_is_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path)
    history_db.update(tmp_path)
    monkeypatch.setattr(store, "read", None)
    assert history_db.update(tmp_path) == []


def test_a_broken_run_and_one_without_an_end_are_left_out_and_told(tmp_path: Path) -> None:
    whole, half, broken = run(tmp_path), run(tmp_path, ended=False), run(tmp_path)
    (broken / store.JOURNAL).write_text("no event\n")
    told = history_db.update(tmp_path)
    assert known(tmp_path) == [whole.name]
    assert len(told) == 2
    assert any(half.name in one and "its end" in one for one in told)
    assert any(broken.name in one and "is no event" in one for one in told)
    with (half / store.JOURNAL).open("a") as journal:
        journal.write('{"time": 9, "event": "run-ended", "status": "ok", "exit_code": 0}\n')
    history_db.update(tmp_path)
    assert known(tmp_path) == sorted([whole.name, half.name])


def test_a_folder_without_runs_is_said(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(StoreError, match="no runs there"):
            history_db.update(folder)
    assert not (tmp_path / history_db.NAME).exists()


def spoil_bytes(path: Path) -> None:
    path.write_bytes(b"nothing of the kind " * 500)


def spoil_a_page(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[4096:8192] = b"\xff" * 4096
    path.write_bytes(whole)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def age(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE cells")
        database.execute("CREATE TABLE cells (run, speed)")
        database.execute("PRAGMA user_version = 7")


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [spoil_bytes, spoil_a_page, cut, age, empty, Path.unlink])
def test_it_can_always_be_made_again(tmp_path: Path, harm: Any) -> None:
    for _ in range(3):
        run(tmp_path)
    history_db.update(tmp_path)
    before = history_db.table(tmp_path)
    harm(tmp_path / history_db.NAME)
    assert history_db.update(tmp_path) == []
    assert history_db.table(tmp_path).equals(before)


def test_other_columns_of_the_summary_make_it_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path)
    history_db.update(tmp_path)
    script = (
        "import sys; from pathlib import Path; from harness.results import history_db, tables\n"
        "tables.COLUMNS += ('more',)\n"
        "import importlib; importlib.reload(history_db)\n"
        "history_db.table(Path(sys.argv[1]))\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    subprocess.run(command, check=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)})
    assert known(tmp_path) == []
    history_db.update(tmp_path)
    assert len(known(tmp_path)) == 1


def test_many_write_at_once(tmp_path: Path) -> None:
    """Four processes find the file missing and add all runs, each its own first."""
    folders = [run(tmp_path) for _ in range(4)]
    script = (
        "import sys; from pathlib import Path; from harness.results import history_db, store\n"
        "for _ in range(5): history_db.add(store.read(Path(sys.argv[1])))\n"
        "assert history_db.update(Path(sys.argv[1]).parent) == []\n"
    )
    several = [
        subprocess.Popen([sys.executable, "-c", script, str(folder)], cwd=ROOT)
        for folder in folders
    ]
    assert [one.wait(timeout=120) for one in several] == [0] * 4
    assert known(tmp_path) == sorted(folder.name for folder in folders)
    assert len(history_db.table(tmp_path)) == 4 * len(CELLS)


def test_a_writer_waits_for_another_and_says_when_it_gives_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = store.read(run(tmp_path))
    history_db.update(tmp_path)
    monkeypatch.setattr(history_db, "_PATIENCE", 0.1)
    other = sqlite3.connect(tmp_path / history_db.NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"history\.sqlite: .*locked"):
        history_db.add(record)
    other.execute("ROLLBACK")
    other.close()
    history_db.add(record)


def test_a_ground_is_what_was_computed(tmp_path: Path) -> None:
    def ground(**manifest: Any) -> str:
        record = store.read(run(tmp_path, **manifest))
        history_db.add(record)
        table = history_db.table(tmp_path)
        return str(table[table["run"] == record.folder.name]["ground"].iloc[0])

    spec = {"title": "Toy", "data": {"dataset": "xor"}}
    same = ground()
    assert ground(workloads={"toy": {**spec, "title": "Another title"}}) == same
    assert ground(workloads={"toy": {**spec, "loss": "mse"}}) != same
    assert ground(options={"deterministic": True}) != same


def test_data_without_a_hash_is_no_other_runs(tmp_path: Path) -> None:
    for _ in range(2):
        folder = run(tmp_path)
        journal = folder / store.JOURNAL
        journal.write_text(journal.read_text().replace('{"inputs": "ab"}', "null"))
    history_db.update(tmp_path)
    assert history_db.table(tmp_path)["ground"].nunique() == 2
