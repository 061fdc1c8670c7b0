"""The files of a unit: the first result wins, and a unit is claimed by one attempt."""

from __future__ import annotations

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.matrix import folders
from harness.matrix.folders import Attempt, UnitFolder
from harness.matrix.reading import MatrixError
from harness.matrix.stored import EndedTable
from tests.damaged import GONE, damaged
from tests.harness.matrix.blocks import made_up_block, made_up_result


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
    assert json.loads(path.read_text())["n"] == wins.index(True)
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
    block = made_up_block(3, {"a": 0.0, "b": 0.1})
    first, second = (made_up_result(block, attempt=name) for name in "ab")
    folders.publish(unit.target, first)
    folders.publish(unit.folder / folders.RETRY, {"avoid": "n1"})
    assert unit.done() == first
    folders.publish(unit.target, second)
    assert unit.done() == second


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (("state",), "fine", "state is 'fine', expected one of: done, cells failed"),
        (("node",), 3, "node is '3', expected a text"),
        (("block",), None, "block is null"),
        (("block", "cells", 0, "cell"), None, "block.cells[0].cell is null"),
        (("block", "cells", 0, "accuracy"), "high", "block.cells[0].accuracy is 'high'"),
        (("block", "pairs", "train", 0, 0), 2, "block.pairs.train[0] is '[2, 1,"),
        (("block", "pairs", "train", 0, 2), None, "no pair of cells"),
        (("block", "pairs", "test"), [], "block.pairs.test: expected train and predict"),
        (("block", "kernel_rate"), GONE, "block.kernel_rate is missing"),
    ],
)
def test_a_damaged_result_is_named_with_its_file_and_field(
    unit: UnitFolder, place: tuple[str | int, ...], value: Any, says: str
) -> None:
    result = made_up_result(made_up_block(3, {"a": 0.0, "b": 0.1}))
    unit.folder.mkdir(parents=True)
    folders.publish(unit.target, damaged(result, place, value))
    with pytest.raises(MatrixError) as caught:
        unit.done()
    assert str(caught.value).startswith(f"{unit.target}: ") and says in str(caught.value)
    assert str(caught.value).endswith("remove it, and submit again")


def test_a_result_that_is_no_json_is_not_taken_for_none(unit: UnitFolder) -> None:
    unit.folder.mkdir(parents=True)
    assert unit.done() is None
    unit.target.write_text('{"half": ')
    with pytest.raises(MatrixError, match="not JSON"):
        unit.done()


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
    (tmp_path / "c.json").write_text('{"state": 3}')
    for name in ("a.json", "b.json", "c.json"):
        assert folders.read(tmp_path / name, EndedTable) is None


def test_a_folder_that_cannot_be_written_is_as_late_as_this_machine(tmp_path: Path) -> None:
    assert abs(folders.disk_now(tmp_path / "gone") - time.time()) < 5
