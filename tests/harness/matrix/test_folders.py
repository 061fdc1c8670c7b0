"""The files of a unit: the first result wins, and a unit is claimed by one attempt."""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.matrix import folders
from harness.matrix.folders import Attempt, UnitFolder


@pytest.fixture
def unit(tmp_path: Path) -> UnitFolder:
    return UnitFolder(tmp_path, 3)


def begin(unit: UnitFolder, host: str = "n1", job: str | None = None, pid: int = 0) -> Attempt:
    about = {"host": host, "node": host, "job": job, "pid": pid or os.getpid()}
    return Attempt.begin(unit.folder, about)


def test_of_many_results_the_first_is_whole_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "done.json"
    with ThreadPoolExecutor(8) as pool:
        wins = [*pool.map(lambda n: folders.publish(path, {"n": n, "x": "y" * 9999}), range(40))]
    assert wins.count(True) == 1
    assert (folders.read(path) or {})["n"] == wins.index(True)
    assert [left.name for left in tmp_path.iterdir()] == ["done.json"]


def test_a_unit_is_claimed_by_one_attempt(unit: UnitFolder) -> None:
    first, second = begin(unit), begin(unit)
    assert unit.claim(first, None, "n1") is None
    holder = unit.claim(second, None, "n1")
    assert holder is not None and holder.folder == first.folder
    first.end(state="lost", reason="SIGTERM")
    assert unit.claim(second, None, "n1") is None


def test_a_claim_of_a_process_that_is_gone_is_taken_over(unit: UnitFolder) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    unit.claim(begin(unit, pid=process.pid), None, "n1")
    assert unit.claim(begin(unit), None, "n2") is not None  # another machine cannot know that
    assert unit.claim(begin(unit), None, "n1") is None


def test_a_requeued_job_takes_over_from_itself(unit: UnitFolder) -> None:
    unit.claim(begin(unit, job="5_3"), "5_3", "n1")
    assert unit.claim(begin(unit, "n2", "6_3"), "6_3", "n2") is not None
    assert unit.claim(begin(unit, "n2", "5_3"), "5_3", "n2") is None


def test_what_gave_no_sign_of_life_is_taken_over(unit: UnitFolder) -> None:
    first = begin(unit)
    unit.claim(first, None, "n1")
    old = time.time() - folders.GRACE_SECONDS - 1
    os.utime(first.folder / "beat", (old, old))
    assert unit.claim(begin(unit), None, "n2") is None


def test_a_unit_sent_elsewhere_has_a_second_result(unit: UnitFolder) -> None:
    unit.folder.mkdir(parents=True)
    folders.publish(unit.target, {"attempt": "a"})
    folders.publish(unit.folder / folders.RETRY, {"avoid": "n1"})
    assert unit.done() == {"attempt": "a"}
    folders.publish(unit.target, {"attempt": "b"})
    assert unit.done() == {"attempt": "b"}


def test_how_an_attempt_ended_is_said_once(unit: UnitFolder) -> None:
    attempt = begin(unit)
    attempt.end(state="broken", reason="first")
    attempt.end(state="lost", reason="second")
    assert attempt.ended == {"state": "broken", "reason": "first"}


@pytest.mark.parametrize(
    ("text", "lines"), [(b"", []), (b"a\n\nb\n", ["a", "b"]), (b"x" * 9999 + b"\nend\xff", 2)]
)
def test_the_last_lines_of_a_log(tmp_path: Path, text: bytes, lines: list[str] | int) -> None:
    log = tmp_path / "log.txt"
    assert folders.tail(log) == []
    log.write_bytes(text)
    last = folders.tail(log)
    assert last == lines if isinstance(lines, list) else len(last) == lines


def test_a_torn_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"half": ')
    assert folders.read(tmp_path / "a.json") is None and folders.read(tmp_path / "b.json") is None
