"""Two runs on one machine never share a core or a card, and a dead one holds nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.commands.progress import _line
from harness.machine import claims, host
from harness.machine.claims import claimed
from harness.report import provenance
from harness.results import store
from harness.results.store import Run

ROOT = Path(__file__).resolve().parents[3]
HOLD = """
import sys
from harness.machine import claims, host
host.usable_cpus = lambda: [0, 1]
host.ROOT = host.Path("/nowhere")
threads, *cards = map(int, sys.argv[1:])
with claims.claimed(threads, cards, lambda *_: None) as claim:
    print(*claim.processors, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def two_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of two cores, with locks of its own."""
    monkeypatch.setattr(host, "ROOT", tmp_path)
    monkeypatch.setattr(host, "usable_cpus", lambda: [0, 1])
    monkeypatch.setattr(claims, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@contextmanager
def another(*needs: int) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """Another run, in a process of its own, that holds what it `needs`: threads, then cards."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, *map(str, needs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        assert process.stdout
        yield process, [int(word) for word in process.stdout.readline().split()]
    finally:
        process.kill()
        process.communicate()


def no_waiting(processors: Sequence[int], cards: Sequence[int]) -> None:
    raise AssertionError(f"waits for {processors} and {cards}")


def test_a_run_alone_takes_the_first_core() -> None:
    with claimed(1, [], no_waiting) as claim:
        assert (claim.processors, claim.others, claim.waited) == ([0], [], 0)


def test_what_is_spared_is_held_and_not_timed_on() -> None:
    with claimed(1, [], no_waiting, spared=1) as claim:
        assert (claim.processors, claim.spare) == ([0], [1])
        with pytest.raises(AssertionError, match=r"waits for \[0, 1\]"), claimed(1, [], no_waiting):
            pass


def test_the_second_run_takes_the_core_that_is_free() -> None:
    with another(1) as (_, theirs), claimed(1, [], no_waiting) as claim:
        assert (theirs, claim.processors, claim.others) == ([0], [1], [0])


@pytest.mark.parametrize(("theirs", "ours", "taken"), [(2, 1, [0, 1]), (1, 2, [0])])
def test_a_run_for_which_too_little_is_free_waits_and_says_so(
    theirs: int, ours: int, taken: list[int]
) -> None:
    heard: list[Sequence[int]] = []
    with another(theirs) as (process, _):

        def waiting(processors: Sequence[int], cards: Sequence[int]) -> None:
            heard.append(processors)
            threading.Timer(0.2, process.kill).start()  # killed, and not ended well

        with claimed(ours, [], waiting) as claim:
            assert claim.processors == list(range(ours)) and claim.others == []
            assert claim.waited > 0.1
    assert heard == [taken]


def test_a_card_that_another_run_has_is_waited_for() -> None:
    heard: list[Sequence[int]] = []
    with another(1, 3) as (process, _):

        def waiting(processors: Sequence[int], cards: Sequence[int]) -> None:
            heard.extend([processors, cards])
            process.kill()

        with claimed(1, [3], waiting) as claim:
            assert claim.waited > 0
    assert heard == [[0], [3]]
    with another(1, 3), claimed(1, [4], no_waiting) as claim:
        assert claim.processors == [1]


def test_what_was_held_is_free_after_the_block_however_it_ends() -> None:
    with pytest.raises(KeyboardInterrupt), claimed(2, [0], no_waiting):
        raise KeyboardInterrupt
    with another(2, 0) as (_, theirs):
        assert theirs == [0, 1]


def test_another_user_s_locks_are_seen(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with claimed(1, [], no_waiting):
            folder = tmp_path / claims.FOLDER
            assert folder.stat().st_mode & 0o7777 == 0o1777
            assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
    finally:
        os.umask(before)


def test_where_no_lock_can_be_kept_nobody_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / claims.FOLDER).write_text("not a folder")
    with claimed(1, [], no_waiting) as claim:
        assert (claim.processors, claim.others) == ([0], None)


def test_a_link_in_a_lock_s_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / claims.FOLDER).mkdir()
    (tmp_path / claims.FOLDER / "core-0").symlink_to(tmp_path / "precious")
    with claimed(1, [], no_waiting) as claim:
        assert claim.others is None
    assert not (tmp_path / "precious").exists()


def test_it_is_said_as_the_run_goes_and_in_its_report(tmp_path: Path) -> None:
    waiting = {"event": "waiting", "processors": [0, 1], "cards": [2]}
    taken = {"processors": [1], "others": [0], "waited": 0.0}
    assert "another run uses processors 0-1 and card 2" in str(_line("waiting", None, waiting))
    line = str(_line("processors", None, {"event": "processors", **taken}))
    assert "another run uses processor 0: this one takes 1" in line
    assert _line("processors", None, {"event": "processors", **taken, "others": []}) is None
    run = Run.create(tmp_path, {})
    run.append("processors", None, **taken)
    run.close()
    (said,) = provenance.warnings(store.read(run.folder))
    assert "another run had processors 0 meanwhile" in said
