"""Threads within a quota, and cores before hyperthreads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.machine import host, processors
from harness.report import provenance
from harness.results import store
from harness.results.store import Run
from tests.toy_request import toy_request
from workloads.errors import UserError

Machine = Callable[..., None]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Makes a machine of so many processors, with siblings and a quota as a test says."""
    monkeypatch.setattr(host, "ROOT", tmp_path)

    def make(cpus: int, quota: str = "", siblings: Callable[[int], str] | None = None) -> None:
        monkeypatch.setattr(host, "usable_cpus", lambda: list(range(cpus)))
        if quota:
            put(tmp_path / "proc/self/cgroup", "0::/")
            put(tmp_path / "sys/fs/cgroup/cpu.max", quota)
        for cpu in range(cpus) if siblings else ():
            topology = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology"
            put(topology / "thread_siblings_list", siblings(cpu) if siblings else "")

    return make


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


@pytest.mark.parametrize(
    ("quota", "threads"),
    [
        ("", 2),
        ("max 100000", 2),
        ("100000 100000", 1),
        ("150000 100000", 1),
        ("199999 100000", 1),
        ("50000 100000", 1),
        ("200000 100000", 2),
        ("900000 100000", 2),
    ],
)
def test_threads_are_the_whole_cores_of_the_quota(
    machine: Machine, quota: str, threads: int
) -> None:
    machine(2, quota)
    assert processors.most_threads() == threads


def test_more_threads_than_the_quota_are_refused_with_its_size(
    machine: Machine, toy_root: Path
) -> None:
    machine(2, "150000 100000")
    assert toy_request(toy_root, threads=None).threads == 1
    with pytest.raises(
        UserError, match=r"may use 1 processor: the quota of its cgroup is 1\.5 cores"
    ):
        toy_request(toy_root, threads=2)


@pytest.mark.parametrize(
    ("quota", "says"),
    [
        (1.5, "a CPU quota of 1.5 of 2 cores holds here: 1 thread a worker"),
        (0.5, "halted"),
        (2, ""),
    ],
)
def test_a_quota_is_said(tmp_path: Path, quota: float, says: str) -> None:
    machine = {"cores_quota": quota, "cores_affinity": 2}
    run = Run.create(tmp_path, {"machine": machine, "options": {"threads": 1}})
    run.close()
    told = " ".join(provenance.warnings(store.read(run.folder)))
    assert says in told and bool(told) == bool(says)


def paired(apart: int) -> Callable[[int], str]:
    """Siblings as Intel's and AMD's servers number them: n and n + `apart`."""
    return lambda cpu: f"{cpu % apart},{cpu % apart + apart}"


@pytest.mark.parametrize(
    ("siblings", "threads", "chosen"),
    [
        (paired(2), 1, [0]),
        (paired(2), 2, [0, 1]),
        (paired(2), 3, [0, 1, 2]),
        (paired(2), 4, [0, 1, 2, 3]),
        (lambda cpu: f"{cpu // 2 * 2}-{cpu // 2 * 2 + 1}", 2, [0, 2]),  # as desktops do
        (lambda cpu: f"{cpu // 2 * 2}-{cpu // 2 * 2 + 1}", 3, [0, 1, 2]),
        (str, 3, [0, 1, 2]),
        (None, 2, [0, 1]),
    ],
)
def test_each_thread_has_a_core_before_two_share_one(
    machine: Machine, siblings: Any, threads: int, chosen: list[int]
) -> None:
    machine(4, siblings=siblings)
    assert processors.spread(processors.cores(), threads) == chosen


def test_a_sibling_that_may_not_be_used_is_not(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(4, siblings=paired(2))
    monkeypatch.setattr(host, "usable_cpus", lambda: [1, 2, 3])
    assert processors.cores() == [(1, 3), (2,)]
    assert processors.spread(processors.cores(), 2) == [1, 2]


@pytest.mark.parametrize(
    ("numbers", "words"), [([], ""), ([3], "3"), ([0, 1, 2], "0-2"), ([8, 0, 1, 5], "0-1,5,8")]
)
def test_processors_are_told_as_the_system_does(numbers: list[int], words: str) -> None:
    assert processors.in_words(numbers) == words
