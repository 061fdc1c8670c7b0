"""Promise: whatever a worker does, it costs its own cell only, with a status and a line that names it."""

from __future__ import annotations

import math
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.report import formats
from harness.results import store
from harness.runner import process, run
from harness.runner.context import Timeouts
from tests.conftest import ROOT
from tests.toy_request import BRIEF, brief_request

NAMED = f"signal {signal.SIGRTMIN + 1}"

EXPECTED = {
    "abort-in-build": ("crashed", "in training: build: the worker was killed by SIGABRT"),
    "exit-in-build": ("crashed", "in training: build: the worker ended with exit status 0"),
    "hang-in-build": (
        "timed out",
        "in training: build: no response for 2 s; worker killed (timeout)",
    ),
    "hang-in-step": (
        "timed out",
        "in training: answer: no response for 2 s; worker killed (timeout)",
    ),
    "hang-at-the-end": ("ok", ""),
    "segfault-at-the-end": ("ok", ""),
    "unnamed-signal": ("crashed", f"in training: answer: the worker was killed by {NAMED}"),
    "endless": ("failed", " MiB, 32 MiB are the most; worker killed"),
    "short-losses": ("failed", "in training: IndexError: "),
    "no-losses": ("failed", "in training: TypeError: "),
    "words": ("failed", "in training: ValueError: could not convert string to float: "),
    "nan-losses": ("not equivalent", "losses has values that are not finite"),
    "infinite-losses": ("not equivalent", "losses has values that are not finite"),
    "nan-losses-later": ("not equivalent", "is not finite"),
    "nan-weights": ("not equivalent", "has values that are not finite"),
    "nan-logits": ("not equivalent", "has values that are not finite"),
    "few-logits": ("not equivalent", "has shape (0, 2), not (1, 2)"),
    "numpy": ("ok", ""),
}

Run = Callable[..., store.Record]


@pytest.fixture
def broken(toy_root: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs modes of the toy that breaks, shortly, and returns the record."""
    monkeypatch.setenv("SAMESTEP_CACHE", str(toy_root / "cache"))
    shutil.rmtree(toy_root / "frameworks" / "faulty")
    shutil.copytree(ROOT / "tests" / "toys" / "broken", toy_root / "frameworks" / "broken")
    pythons = dict.fromkeys(("broken", "reference"), Path(sys.executable))

    def go(
        *modes: str,
        listener: Callable[[dict[str, Any]], None] = lambda event: None,
        seconds: float = 60.0,
        **options: Any,
    ) -> store.Record:
        request = brief_request(
            toy_root,
            replace(BRIEF, rounds=2),
            modes=modes,
            interpreters=pythons,
            epochs=1,
            **options,
        )
        patience, before = Timeouts(build=seconds, parity=seconds), psutil.Process().children()
        record, _ = run.execute(request, listener, toy_root, patience, formats.write)
        assert psutil.Process().children() == before
        return record

    return go


def test_every_fault_costs_its_own_cell_only(broken: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MOST_LOG", 32 * 2**20)
    monkeypatch.setattr(process, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(process, "_GRACE_SECONDS", 0.5)
    record = broken(*[mode for mode in EXPECTED if mode != "numpy"], seconds=2, parity_steps=2)
    table = store.summary(record).set_index("mode")
    assert set(table.index) == set(EXPECTED)
    for mode, (status, reason) in EXPECTED.items():
        assert table.loc[mode, "status"] == status, (mode, table.loc[mode, "reason"])
        assert reason in table.loc[mode, "reason"] and "\n" not in table.loc[mode, "reason"], mode
    (log,) = record.folder.glob("logs/*endless*")
    assert log.stat().st_size < 2**20
    assert (record.folder / "report.html").is_file()


@pytest.mark.nightly
def test_a_gigabyte_of_output_costs_its_own_cell_only(broken: Run) -> None:
    record = broken("flood")
    table = store.summary(record).set_index("mode")
    assert table["status"].to_dict() == {"flood": "failed", "numpy": "ok"}
    assert "MiB, 256 MiB are the most; worker killed" in table.loc["flood", "reason"]
    assert sum(log.stat().st_size for log in record.folder.glob("logs/*")) < 2**20


def test_losses_that_are_not_finite_end_no_run_that_is_not_checked(broken: Run) -> None:
    record = broken("nan-losses", "infinite-losses", no_parity=True)
    table = store.summary(record).set_index("mode")
    assert set(table["status"]) == {"ok"}
    assert [math.isnan(table.loc[mode, "final_loss"]) for mode in table.index] == [
        True,
        True,
        False,
    ]
    assert (record.folder / "report.html").is_file()


@pytest.fixture
def small_memory() -> Iterator[Callable[[int], str]]:
    """Puts a process under a real limit of 400 MiB: a cgroup's, else one of its addresses.

    Returns the reason that the kernel's or Python's refusal is expected to give.
    """
    size, groups = 400 * 2**20, list[Path]()

    def limit(pid: int) -> str:
        for folder, name in (("", "memory.max"), ("memory", "memory.limit_in_bytes")):
            group = Path("/sys/fs/cgroup", folder, f"samestep-test-{pid}")
            if not (group.parent / "cgroup.procs").exists():
                continue  # no cgroups are mounted there
            with suppress(OSError):
                group.mkdir()
                groups.append(group)
                for file, value in ((name, size), ("cgroup.procs", pid)):
                    with (group / file).open("r+") as setting:  # never made anew
                        setting.write(str(value))
                return "killed by SIGKILL (most often: out of memory)"
        psutil.Process(pid).rlimit(psutil.RLIMIT_AS, (size, size))
        return "MemoryError"

    yield limit
    for group in groups:
        with suppress(OSError):
            group.rmdir()


def test_a_worker_without_memory_costs_its_own_cell_only(
    broken: Run, small_memory: Callable[[int], str]
) -> None:
    reasons: list[str] = []

    def listen(event: dict[str, Any]) -> None:
        if event["event"] == "preparing" and "/greedy/" in event["cell"]:
            reasons.append(small_memory(event["pid"]))

    table = store.summary(broken("greedy", listener=listen)).set_index("mode")
    assert table.loc["greedy", "status"] in ("crashed", "failed")
    assert reasons[-1] in table.loc["greedy", "reason"]
    assert table.loc["numpy", "status"] == "ok"
