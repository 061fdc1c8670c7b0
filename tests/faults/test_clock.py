"""Promise: a wall clock that is set back, even under way, makes no time negative, no run unreadable."""

from __future__ import annotations

import ast
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest

from harness.report import formats
from harness.results import history_db, store
from harness.runner import run
from tests.conftest import ROOT
from tests.toy_request import brief_request

SHORT = {"epochs": 1, "parity_steps": 2}

WALL = {
    "harness/runner/profile.py": 1,  # the name of a trace
    "harness/bisect/log.py": 1,  # a line's stamp
    "harness/results/store.py": 1,  # a run's name and its start
    "harness/matrix/folders.py": 2,  # an attempt's name; the time where the disk's cannot be had
    "harness/machine/node.py": 1,  # when the engine's own limit ends
    "workloads/datasets/array_cache.py": 1,  # the age of what a killed process left
}
"""Where the wall clock is read: for names and ages, never for how long something took."""


def readings(path: Path) -> int:
    """How often a file reads the wall clock."""
    attributes = [
        node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)
    ]
    clocks = {("time", "time"), ("datetime", "now"), ("datetime", "utcnow"), ("date", "today")}
    named = [(node.value.id, node.attr) for node in attributes if isinstance(node.value, ast.Name)]
    return sum(pair in clocks for pair in named)


def test_durations_are_never_of_the_wall_clock() -> None:
    rooms = ("harness", "workloads", "frameworks")
    counts = {
        str(path.relative_to(ROOT)): readings(path)
        for room in rooms
        for path in (ROOT / room).rglob("*.py")
    }
    assert {path: count for path, count in counts.items() if count} == WALL


class BackwardClock(datetime):
    """Each look at it is a day before the last."""

    looks = 0

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> BackwardClock:
        cls.looks += 1
        day = datetime(2026, 11, 27, 12, tzinfo=UTC) - timedelta(days=cls.looks)
        return cls.fromtimestamp(day.timestamp(), tz)


def test_runs_on_a_clock_that_goes_back_are_measured_listed_and_gone_on_with(
    toy_root: Path, toy_interpreters: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMESTEP_CACHE", str(toy_root / "cache"))
    monkeypatch.setattr(store, "datetime", BackwardClock)
    monkeypatch.setattr("time.time", lambda: BackwardClock.now(UTC).timestamp())
    request = brief_request(toy_root, modes=["well"], interpreters=toy_interpreters, **SHORT)
    finish = formats.write

    def stop(event: dict[str, Any]) -> None:
        if event["event"] == "slice":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.execute(request, stop, toy_root, finish=finish)
    whole, _ = run.execute(request, lambda event: None, toy_root, finish=finish)
    (cut,) = {*store.folders(request.results)} - {whole.folder}
    resumed, status = run.execute(request, lambda event: None, toy_root, finish=finish, resumed=cut)
    assert status == 0
    for record in (whole, resumed):
        times = [event["time"] for event in record.events]
        assert times == sorted(times) and times[0] >= 0
        took = [event["seconds"] for event in record.events if "seconds" in event]
        assert min(took) >= 0 and record.slices["seconds"].min() > 0
        assert (record.folder / "report.html").is_file()
    assert whole.folder.name < cut.name  # made later, by a clock that is earlier
    assert [entry.status for entry in store.runs(request.results)] == ["ok", "ok"]
    assert set(history_db.table(request.results)["run"]) == {whole.folder.name, cut.name}
