"""A run that was cut short goes on: what it takes from its journal, turn by turn and launch by launch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.kills import lost, results
from harness.results import store
from harness.results.reopen import DROPPED, reopen
from harness.results.store import Run, StoreError
from harness.runner import run, schedule
from harness.runner.plan import Cell
from harness.runner.request import Request
from harness.runner.resume import Past, Place, resume
from tests.conftest import copy_with_toys
from tests.toy_request import BRIEF, brief_request

pytestmark = pytest.mark.slow

CELL = Cell("w", "toy", "fast", "cpu", "float32")


class Stopped(KeyboardInterrupt):
    """As Ctrl-C, and by the test."""


def request_in(root: Path, interpreters: dict[str, Path]) -> Request:
    """Two launches of three cells."""
    measuring = replace(BRIEF, launches=2, rounds=2, seconds=0.005)
    modes = ["well", "slow"]
    return brief_request(root, measuring, modes=modes, interpreters=interpreters, epochs=1)


@pytest.fixture
def request_of(
    toy_root: Path, toy_interpreters: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> Request:
    monkeypatch.setenv("SAMESTEP_CACHE", str(toy_root / "cache"))
    return request_in(toy_root, toy_interpreters)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, toy_interpreters: dict[str, Path]) -> Path:
    """The folder of such a run that nobody disturbed, to read and never to write to."""
    root = copy_with_toys(tmp_path_factory.mktemp("whole") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMESTEP_CACHE", str(root / "cache"))
        record, status = run.execute(request_in(root, toy_interpreters), lambda event: None, root)
    assert status == 0
    return record.folder


def cut(request: Request, root: Path, event: str, number: int) -> Path:
    """Begin a run, and stop it at the so many-th event of a kind; return its folder."""
    before = {*store.folders(root / "results")}
    left = [number]

    def stop(heard: Mapping[str, Any]) -> None:
        if heard["event"] == event:
            left[0] -= 1
            if not left[0]:
                raise Stopped

    with pytest.raises(Stopped):
        run.execute(request, stop, root)
    assert psutil.Process().children() == []
    (folder,) = {*store.folders(root / "results")} - before
    return folder


def go_on(request: Request, root: Path, folder: Path) -> store.Record:
    record, status = run.execute(request, lambda event: None, root, resumed=folder)
    assert status == 0, store.summary(record)["reason"].tolist()
    assert record.folder == folder
    return record


@pytest.mark.parametrize(
    ("event", "number", "trained"),
    [
        ("framework-ready", 1, 0),
        ("first-step", 2, 1),
        ("checkpoint", 3, 3),
        ("warmed", 1, 3),
        ("calibration", 3, 3),  # in the second launch
        ("checkpoint", 4, 3),
        ("cell-done", 2, 3),
    ],
)
def test_a_run_goes_on_from_wherever_it_was(
    request_of: Request, toy_root: Path, whole: Path, event: str, number: int, trained: int
) -> None:
    folder = cut(request_of, toy_root, event, number)
    kept = len(reopened(folder).every("trained"))
    record = go_on(request_of, toy_root, folder)
    assert lost(results(whole), results(folder)) == []
    assert kept == trained and len(record.every("trained")) == 3
    assert len(record.every("run-started")) == len(record.every("run-ended")) == 1


def reopened(folder: Path) -> store.Record:
    opened, record = reopen(folder)
    opened.close()
    return record


def test_turns_go_on(request_of: Request, toy_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "room_for_one_more", lambda sessions: False)
    whole, _ = run.execute(request_of, lambda event: None, toy_root)
    for event, number in (("in-turn", 1), ("cell-done", 1), ("trained", 3), ("cell-done", 3)):
        folder = cut(request_of, toy_root, event, number)
        go_on(request_of, toy_root, folder)
        assert lost(results(whole.folder), results(folder)) == [], (event, number)
    assert set(whole.slices["turn"]) == {0, 1}


def test_a_parity_check_alone_goes_on(request_of: Request, toy_root: Path) -> None:
    request = replace(request_of, only_parity=True)
    folder = cut(request, toy_root, "checkpoint", 2)
    record = go_on(request, toy_root, folder)
    assert len(record.every("cell-started")) == len(record.every("cell-done")) == 3
    assert record.every("relaunched") == []


def test_a_budget_that_was_spent_stays_spent(request_of: Request, toy_root: Path) -> None:
    open_ended = replace(request_of.measuring, budget=0.01)
    request = replace(request_of, measuring=open_ended)
    folder = cut(request, toy_root, "stopped", 1)
    record = go_on(request, toy_root, folder)
    assert [event["reason"] for event in record.every("stopped")] == ["the budget is spent"]
    assert set(record.slices["launch"]) == {1}


def test_a_failed_cell_is_not_tried_again(request_of: Request, toy_root: Path) -> None:
    cells = [
        replace(cell, mode="raises") if cell.mode == "slow" else cell for cell in request_of.cells
    ]
    request = replace(request_of, cells=cells)
    folder = cut(request, toy_root, "warmed", 1)
    record, status = run.execute(request, lambda event: None, toy_root, resumed=folder)
    assert status == 1 and len(record.every("cell-failed")) == 1
    assert store.summary(record).set_index("mode")["status"].to_dict() == {
        "well": "ok",
        "raises": "failed",
        "numpy": "ok",
    }


def test_data_that_is_another_is_refused(request_of: Request, toy_root: Path) -> None:
    folder = cut(request_of, toy_root, "checkpoint", 1)
    path = folder / store.JOURNAL
    text = path.read_text()
    (start,) = (event for event in store.read(folder).events if event["event"] == "start")
    path.write_text(text.replace(start["sha256"]["order"], "0" * 64))
    with pytest.raises(StoreError, match="changed since: start of mlp-2-3-2: sha256 was "):
        run.execute(request_of, lambda event: None, toy_root, resumed=folder)


# The journal.


@pytest.fixture
def journal(tmp_path: Path) -> Run:
    return Run.create(tmp_path, {"cells": [CELL.id]})


def test_what_is_behind_the_last_checkpoint_is_put_aside(journal: Run) -> None:
    journal.append("run-started")
    journal.append("checkpoint", workload="w", turn=0, launch=1, took=1.0, spent=2.0, left=3.0)
    journal.append("cell-started", CELL.id)
    journal.close()
    with (journal.folder / store.JOURNAL).open("a") as file:
        file.write('{"time": 3, "event": "checkpoint"')  # torn: it does not count
    record = reopened(journal.folder)
    assert [event["event"] for event in record.events] == ["run-started", "checkpoint"]
    assert not record.torn
    aside = (journal.folder / DROPPED).read_text().splitlines()
    assert ["cell-started" in aside[0], aside[1]] == [True, '{"time": 3, "event": "checkpoint"']
    assert Past(record).place("w", 9.0) == Place(0, 1, 1.0, 2.0, 3.0)
    assert Past(record).place("another", 9.0) == Place(left=9.0)
    assert reopened(journal.folder).events == record.events  # nothing more to put aside
    assert len((journal.folder / DROPPED).read_text().splitlines()) == 2


def test_time_goes_on_behind_the_last_event(journal: Run) -> None:
    journal.append("run-started")
    journal.close()
    path = journal.folder / store.JOURNAL
    path.write_text('{"time": 5000.0, "event": "run-started"}\n')
    opened, _ = reopen(journal.folder)
    opened.append("run-resumed")
    opened.close()
    assert 5000 <= store.read(journal.folder).events[-1]["time"] < 5100


def test_a_journal_that_is_written_is_not_opened_twice(journal: Run) -> None:
    journal.append("run-started")
    with pytest.raises(StoreError, match="goes on in another process"):
        reopen(journal.folder)
    journal.close()
    reopen(journal.folder)[0].close()


def test_a_new_run_has_no_past() -> None:
    past = Past()
    assert past.ended([CELL]) == past.scored([CELL]) == past.slices([CELL], 0) == []
    assert past.peak_bytes(CELL) == 0 and not past.holds("dataset", {"workload": "w"})


@pytest.mark.parametrize("key", ["turn", "launch", "took", "spent", "left"])
def test_a_checkpoint_without_its_place_is_named(journal: Run, key: str) -> None:
    place = {name: value for name, value in vars(Place()).items() if name != key}
    journal.append("checkpoint", workload="w", **place)
    journal.close()
    with pytest.raises(StoreError, match=rf"events\.jsonl: checkpoint: {key} is missing"):
        resume(journal.folder, {})
