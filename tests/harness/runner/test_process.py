"""Whatever a worker does, its asker gets an answer in time and nothing of it is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import protocol
from harness.machine.host import usable_cpus
from harness.runner import process
from harness.runner.context import Task
from harness.runner.process import WorkerFailed, WorkerProcess
from harness.runner.scratch import write_start
from workloads import datasets, spec

Start = Callable[..., WorkerProcess]


@pytest.fixture
def start(toy_root: Path, tmp_path: Path, small: spec.Workload) -> Iterator[Start]:
    """Start a worker of the toy framework, up to its first step."""
    arrays = datasets.prepare("xor", tmp_path / "datasets", seed=0)
    task = Task(small, arrays, 50, tmp_path)
    write_start(task)
    started = []

    def go(mode: str) -> WorkerProcess:
        cpus = sorted(os.sched_getaffinity(0))[:1]
        worker = WorkerProcess(Path(sys.executable), toy_root, tmp_path / "log", {"TOY": "1"}, cpus)
        started.append(worker)
        scratch = str(tmp_path)
        worker.ask("open", 60, framework="faulty", version=protocol.VERSION, folder=scratch)
        where = {"arrays": str(arrays.folder), "start": str(task.start)}
        how = {"mode": mode, "device": "cpu", "precision": "float32", "threads": 1}
        worker.ask("build", 60, workload=small.to_dict(), **where, **how)
        worker.ask("first_step", 60)
        return worker

    yield go
    for worker in started:
        worker.kill()


def train(worker: WorkerProcess, timeout: float = 20.0) -> dict[str, Any]:
    return worker.ask("train", timeout, steps=40)


def test_printing_does_not_corrupt_the_channel_and_lands_in_the_log(start: Start) -> None:
    worker = start("well")
    assert "losses" in train(worker)
    tail = worker.log_tail()
    assert "a framework prints to standard output," in tail
    assert 'and to standard error: {"event": "done"}' in tail


@pytest.mark.parametrize(
    ("mode", "status", "reason", "signal_name"),
    [
        ("crash", "crashed", "exit status 3", None),
        ("segfault", "crashed", "killed by SIGSEGV", "SIGSEGV"),
        ("killed", "crashed", "killed by SIGKILL (most often: out of memory)", "SIGKILL"),
        ("garbage", "crashed", "garbage on the channel", None),
        ("forged", "crashed", "garbage on the channel: an unexpected message", None),
        ("hungry", "failed", "MemoryError", None),
        ("raises", "failed", "ValueError: a |strange| [bold]reason[/bold]", None),
    ],
)
def test_a_fault_is_told_with_its_cause(
    start: Start, mode: str, status: str, reason: str, signal_name: str | None
) -> None:
    worker = start(mode)
    with pytest.raises(WorkerFailed) as failure:
        train(worker)
    assert failure.value.status == status
    assert reason in failure.value.reason
    assert failure.value.signal_name == signal_name


def test_the_last_words_are_kept(start: Start) -> None:
    worker = start("crash")
    with pytest.raises(WorkerFailed) as failure:
        train(worker)
    assert failure.value.log_tail[-1] == "the last words"


def test_a_traceback_goes_to_the_log_and_the_worker_lives_on(start: Start) -> None:
    worker = start("raises")
    with pytest.raises(WorkerFailed) as failure:
        train(worker)
    assert any("Traceback" in line for line in failure.value.log_tail)
    memory = worker.ask("memory", 5)
    assert memory["peak_rss"] > memory["pss"] > 2**20


def test_a_hanging_worker_is_ended_in_time_with_all_that_it_started(start: Start) -> None:
    worker = start("hang")
    began = time.monotonic()
    with pytest.raises(WorkerFailed, match="no response for 1 s") as failure:
        train(worker, timeout=1.0)
    assert failure.value.status == "timed out"
    assert time.monotonic() - began < 10
    assert not left_in_group(worker.pid)


def alive_in_group(group: int) -> list[str]:
    shown = subprocess.run(["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True)
    rows = (line.split(maxsplit=2) for line in shown.stdout.splitlines())
    return [row[2] for row in rows if int(row[0]) == group and not row[1].startswith("Z")]


def left_in_group(group: int) -> list[str]:
    """What is left once the kernel has had its moment: a killed process is not gone at once."""
    deadline = time.monotonic() + 5
    while (left := alive_in_group(group)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def test_a_device_that_is_not_there_is_unavailable_and_not_failed(start: Start) -> None:
    with pytest.raises(WorkerFailed, match="there is no such device here") as failure:
        start("absent")
    assert failure.value.status == "unavailable"


def test_a_frozen_worker_uses_no_processor_and_goes_on_when_thawed(start: Start) -> None:
    worker = start("well")
    train(worker)
    worker.freeze()
    time.sleep(0.05)
    state = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[0]
    assert state == "T"
    worker.thaw()
    assert worker.ask("slice", 20, kind="train", start=0, seconds=0.01)["steps"] >= 10


def test_a_frozen_worker_can_be_closed(start: Start) -> None:
    worker = start("well")
    worker.freeze()
    worker.close()
    assert not alive_in_group(worker.pid)


def test_a_worker_tells_the_machines_limits(start: Start) -> None:
    heard: list[str] = []
    worker = start("well")
    rates = worker.ask("limits", 60, lambda e: heard.append(e["kernel"]), seconds=0.01)["rates"]
    assert list(rates) == heard == ["float32 product", "copy", "tiny operations"]
    assert min(rates["float32 product"], rates["copy"]) > 1e8
    assert 1e4 < rates["tiny operations"] < 1e8


def test_a_worker_runs_on_the_processors_it_was_given(start: Start) -> None:
    worker = start("well")
    first = sorted(os.sched_getaffinity(0))[0]
    assert os.sched_getaffinity(worker.pid) == {first}


def test_workers_die_with_the_one_who_conducts_them(toy_root: Path, tmp_path: Path) -> None:
    code = (
        "import sys, os, signal; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from harness.runner.process import WorkerProcess\n"
        "w = WorkerProcess(Path(sys.executable), Path(sys.argv[1]), Path(sys.argv[2]), {})\n"
        f"w.ask('open', 60, framework='faulty', version={protocol.VERSION}, folder='.')\n"
        "w.freeze(); print(w.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", code, str(toy_root), str(tmp_path / "log")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    group = int(done.stdout)
    assert not left_in_group(group)


@pytest.mark.skipif(not process._allocator(), reason="not glibc")
def test_all_workers_keep_freed_memory_alike_whatever_the_user_set(
    toy_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    worker = WorkerProcess(Path(sys.executable), toy_root, tmp_path / "log", {})
    try:
        job = {"framework": "faulty", "version": protocol.VERSION, "folder": str(tmp_path)}
        told = worker.ask("open", 60, **job)["allocator"]
    finally:
        worker.kill()
    assert told["MALLOC_TRIM_THRESHOLD_"] == str(2**40)
    assert told["MALLOC_MMAP_THRESHOLD_"] == str(32 * 2**20)


@pytest.mark.skipif(not process._allocator(), reason="not glibc")
def test_a_freed_block_stays_in_the_process_and_is_not_faulted_in_again() -> None:
    code = (
        "import numpy, resource\n"
        "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "def use(): numpy.ones(6 * 2**20, numpy.float32).sum()\n"  # 24 MiB
        "use(); before = faults(); [use() for _ in range(20)]; print(faults() - before)\n"
    )

    def faults(environment: dict[str, str]) -> int:
        command = [sys.executable, "-c", code]
        return int(subprocess.run(command, env=environment, capture_output=True, text=True).stdout)

    mine = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    assert faults(process.worker_environment({})) < 1000
    assert faults({**mine, "MALLOC_MMAP_THRESHOLD_": "65536"}) > 1000  # the count can tell


def test_where_the_c_library_is_another_the_allocator_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    assert "MALLOC_TRIM_THRESHOLD_" not in process.worker_environment({})


def test_another_protocol_is_refused(toy_root: Path, tmp_path: Path) -> None:
    worker = WorkerProcess(Path(sys.executable), toy_root, tmp_path / "log", {})
    try:
        with pytest.raises(WorkerFailed, match=f"this worker speaks {protocol.VERSION}"):
            worker.ask("open", 60, framework="faulty", version=0, folder=str(tmp_path))
    finally:
        worker.kill()


@pytest.mark.skipif(len(usable_cpus()) < 2, reason="needs two processors")
def test_a_worker_moves_to_other_processors_with_all_of_its_threads(start: Start) -> None:
    worker, (first, second) = start("well"), usable_cpus()[:2]

    def processors() -> set[tuple[int, ...]]:
        threads = [int(task.name) for task in Path(f"/proc/{worker.pid}/task").iterdir()]
        return {tuple(os.sched_getaffinity(thread)) for thread in threads}

    with worker.moved([second], home=[first]):
        assert processors() == {(second,)}
    assert processors() == {(first,)}
