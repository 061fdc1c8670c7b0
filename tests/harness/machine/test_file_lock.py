"""A run that goes on is told from one that was killed, from any process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.report import compare, content
from harness.results import history_db, store

ROOT = Path(__file__).resolve().parents[3]
DONE, LIVE, LATER = (f"toy/left/{mode}/cpu/float32" for mode in ("done", "live", "later"))
WRITE = f"""
import sys
from harness.results.store import Run
run = Run.create(sys.argv[1], {{"cells": {[DONE, LIVE, LATER]}}})
run.append("cell-started", {DONE!r}, log="a")
run.append("cell-done", {DONE!r})
run.append("cell-started", {LIVE!r}, log="b")
print(run.folder, flush=True)
sys.stdin.readline()
run.append("run-ended", status="interrupted", exit_code=1)
print("ended", flush=True)
sys.stdin.read()
""".replace("sys.argv[1]", "__import__('pathlib').Path(sys.argv[1])")


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that writes a run, and the run's folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(tmp_path)],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    yield process, Path(process.stdout.readline().strip())
    process.kill()
    process.communicate()


def statuses(folder: Path) -> dict[str, str]:
    return store.summary(store.read(folder)).set_index("mode")["status"].to_dict()


def test_live_cells_of_a_run_that_goes_on_are_running(
    writer: tuple[subprocess.Popen[str], Path],
) -> None:
    _, folder = writer
    record = store.read(folder)
    assert record.running
    assert statuses(folder) == {"done": "ok", "live": "running", "later": "not run"}
    reasons = store.summary(record).set_index("mode")["reason"]
    assert "has not come to the cell yet" in reasons["later"]
    assert [entry.status for entry in store.runs(folder.parent)] == ["running"]
    report = content.build(record)
    assert report.tone == "warn" and "the run goes on" in report.verdict
    assert "interrupted" not in report.verdict and not report.failures
    assert "A goes on" in compare.render(record, record)
    (left_out,) = history_db.update(folder.parent)
    assert left_out.endswith("it goes on")


def test_those_of_a_killed_run_are_interrupted(
    writer: tuple[subprocess.Popen[str], Path],
) -> None:
    process, folder = writer
    process.kill()
    process.wait()
    assert not store.read(folder).running
    assert statuses(folder) == {"done": "ok", "live": "interrupted", "later": "not run"}
    assert [entry.status for entry in store.runs(folder.parent)] == ["unfinished"]
    (left_out,) = history_db.update(folder.parent)
    assert left_out.endswith("it was killed")


def test_a_run_that_has_told_its_end_does_not_go_on(
    writer: tuple[subprocess.Popen[str], Path],
) -> None:
    process, folder = writer
    assert process.stdin and process.stdout
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "ended\n"
    assert not store.read(folder).running  # although its process lives and holds the journal
    assert statuses(folder)["live"] == "interrupted"


def test_looking_at_a_run_does_not_stop_its_writer(tmp_path: Path) -> None:
    run = store.Run.create(tmp_path, {})
    for _ in range(3):
        assert store.read(run.folder).running
        run.append("of the future")
    run.close()
    record = store.read(run.folder)
    assert len(record.events) == 3 and not record.running
