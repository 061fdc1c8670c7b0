"""The monitor tells what disturbed a slice, and is silent about an undisturbed one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.machine import host
from harness.machine import interference as guard_room
from harness.machine.interference import InterferenceMonitor

WORKER, HELPER, STRANGER, OTHER_WORKER = 1001, 1002, 1003, 1004
CPU = "sys/devices/system/cpu/cpu{}/"


class FakeMachine:
    """Two CPUs used by the worker and two beside them, under a planted root, with time stood still."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.now = 100.0
        self.spent = {os.getpid(): 5.0, WORKER: 10.0, HELPER: 3.0}
        self.idle = [500.0] * 4
        self.stolen = [1.0] * 4
        self.sessions = {os.getpid(): os.getpid(), WORKER: WORKER, HELPER: WORKER, STRANGER: 7}
        monkeypatch.setattr(host, "ROOT", root)
        clock = SimpleNamespace(monotonic=lambda: self.now, clock_gettime=self._clock)
        monkeypatch.setattr(guard_room, "time", clock)
        monkeypatch.setattr(host, "affinity", lambda: frozenset(range(4)))
        monkeypatch.setattr(guard_room, "_session", self.sessions.get)
        monkeypatch.setitem(sys.modules, "pynvml", None)  # no GPU
        for pid in self.sessions:
            self.put(f"proc/{pid}/stat", f"{pid} (a (b) c) S {os.getpid()} 1 1")
        for cpu in range(4):
            self.put(CPU.format(cpu) + "topology/thread_siblings_list", str(cpu))
            self.put(CPU.format(cpu) + "topology/physical_package_id", "0")
            self.put(CPU.format(cpu) + "cpufreq/scaling_cur_freq", "3000000")
            for part in ("core", "package"):
                self.put(CPU.format(cpu) + f"thermal_throttle/{part}_throttle_count", "4")
        self.put("proc/vmstat", "nr_free 1\npswpin 100\npswpout 200")
        self.stall(0)
        self.put("proc/self/cgroup", "0::/here")
        self.put("sys/fs/cgroup/here/cpu.stat", "usage_usec 9\nnr_throttled 1\nthrottled_usec 500")
        self._write()

    def put(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")

    def stall(self, microseconds: int) -> None:
        lines = [f"{kind} avg10=0.00 avg60=0.00 avg300=0.00 total=" for kind in ("some", "full")]
        self.put("proc/pressure/memory", f"{lines[0]}{microseconds}\n{lines[1]}99999999")

    def _clock(self, number: int) -> float:
        pid = ~(number >> 3)
        if pid not in self.spent:
            raise ProcessLookupError
        return self.spent[pid]

    def _write(self) -> None:
        """Write /proc/stat, cut off to ticks as the kernel does."""
        rows = zip(self.idle, self.stolen, strict=True)
        lines = ["cpu  1 2 3 4 5 6 7 8 9 10"]
        lines += [
            f"cpu{n} 1 0 1 {int(100 * i)} 0 0 0 {int(100 * s)} 0 0" for n, (i, s) in enumerate(rows)
        ]
        self.put("proc/stat", "\n".join([*lines, "intr 1 2 3", "ctxt 4"]))

    def work(
        self, seconds: float = 0.5, load: float = 0, steal: float = 0, beside: float = 0
    ) -> None:
        """Pass a slice: the worker keeps CPU 0 busy, of CPU 1 others take `load` and `steal` parts."""
        self.now += seconds
        self.spent[WORKER] += 0.9 * seconds
        self.spent[os.getpid()] += 0.1 * seconds
        self.idle[1] += seconds * (1 - load - steal)
        self.stolen[1] += seconds * steal
        for cpu in (2, 3):
            self.idle[cpu] += seconds * (1 - beside)
        self._write()


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    return FakeMachine(tmp_path, monkeypatch)


def test_silent_about_a_quiet_slice(fake: FakeMachine) -> None:
    watch = InterferenceMonitor([0, 1]).watch(WORKER)
    fake.work()
    assert watch.noise() == []


@pytest.mark.parametrize("seconds", [0.2, 0.237, 0.5, 2.0])
def test_ticks_alone_say_nothing(fake: FakeMachine, seconds: float) -> None:
    monitor = InterferenceMonitor([0, 1])
    for _ in range(100):  # wherever in a tick a slice begins
        watch = monitor.watch(WORKER)
        fake.work(seconds + 0.0017, load=0.03)
        assert watch.noise() == []


@pytest.mark.parametrize(
    ("load", "words"), [(0.4, "load of others: 0.4 cores"), (0.15, "load of others: 0.2 cores")]
)
def test_load_of_others(fake: FakeMachine, load: float, words: str) -> None:
    watch = InterferenceMonitor([0, 1]).watch(WORKER)
    fake.work(load=load)
    assert watch.noise() == [words]


def test_the_workers_own_processes_are_no_others(fake: FakeMachine) -> None:
    watch = InterferenceMonitor([0, 1]).watch(WORKER)
    fake.work(load=0.4)
    fake.spent[HELPER] += 0.2
    assert watch.noise() == []


def test_a_helper_that_ends_is_not_counted_against_the_worker(fake: FakeMachine) -> None:
    watch = InterferenceMonitor([0, 1]).watch(WORKER)
    fake.work()
    del fake.spent[HELPER]
    assert watch.noise() == []


def test_no_load_is_told_where_the_workers_time_is_not(fake: FakeMachine) -> None:
    watch = InterferenceMonitor([0, 1]).watch(WORKER)
    fake.work(load=0.4)
    del fake.spent[WORKER]
    assert watch.noise() == []


def test_time_stolen_by_the_hypervisor(fake: FakeMachine) -> None:
    watch = InterferenceMonitor([0, 1]).watch(WORKER)
    fake.work(steal=0.2)
    assert watch.noise() == ["stolen by the hypervisor: 10.0%"]


def test_load_on_cpus_that_the_worker_does_not_use(fake: FakeMachine) -> None:
    monitor = InterferenceMonitor([0, 1])
    watch = monitor.watch(WORKER)
    fake.work(beside=0.4)
    assert watch.noise() == []
    watch = monitor.watch(WORKER)
    fake.work(beside=0.9)
    assert watch.noise() == ["load on the other CPUs: 1.8 cores"]


def test_load_on_a_sibling_counts_in_full(fake: FakeMachine) -> None:
    for cpu in range(4):
        fake.put(CPU.format(cpu) + "topology/thread_siblings_list", f"{cpu % 2},{cpu % 2 + 2}")
    watch = InterferenceMonitor([0, 1]).watch(WORKER)
    fake.work(beside=0.4)
    assert watch.noise() == ["load of others: 0.8 cores"]


def test_all_cpus_count_where_siblings_are_not_told(fake: FakeMachine) -> None:
    (fake.root / CPU.format(0) / "topology/thread_siblings_list").unlink()
    assert InterferenceMonitor([0, 1]).near == {0, 1, 2, 3}


def test_a_range_of_siblings(fake: FakeMachine) -> None:
    fake.put(CPU.format(0) + "topology/thread_siblings_list", "0-1,3")
    assert InterferenceMonitor([0]).near == {0, 1, 3}


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("proc/vmstat", "pswpin 107\npswpout 205", "swapping: 12 pages"),
        (
            "sys/fs/cgroup/here/cpu.stat",
            "nr_throttled 3\nthrottled_usec 100500",
            "halted by the cgroup's quota: 0.10 s",
        ),
        (CPU.format(1) + "thermal_throttle/core_throttle_count", "6", "throttled by heat: 2 times"),
        (
            CPU.format(0) + "thermal_throttle/package_throttle_count",
            "5",
            "throttled by heat: 1 times",
        ),
    ],
)
def test_counters_that_must_not_rise(fake: FakeMachine, path: str, text: str, words: str) -> None:
    watch = InterferenceMonitor([0, 1]).watch(WORKER)
    fake.work()
    fake.put(path, text)
    assert watch.noise() == [words]


def test_a_quota_of_version_1(fake: FakeMachine) -> None:
    fake.put("proc/self/cgroup", "3:cpu,cpuacct:/there")
    file = "sys/fs/cgroup/cpu/there/cpu.stat"
    fake.put(file, "nr_periods 1\nnr_throttled 1\nthrottled_time 1000000")
    watch = InterferenceMonitor([0, 1]).watch(WORKER)
    fake.work()
    fake.put(file, "nr_periods 9\nnr_throttled 4\nthrottled_time 301000000")
    assert watch.noise() == ["halted by the cgroup's quota: 0.30 s"]


def test_memory_pressure_is_summed_up_every_two_seconds(fake: FakeMachine) -> None:
    monitor = InterferenceMonitor([0, 1])
    watch = monitor.watch(WORKER)
    fake.work(0.2)
    fake.stall(10_000)  # 5% of the slice, but 0.5% of what the kernel summed up
    assert watch.noise() == []
    watch = monitor.watch(WORKER)
    fake.work(0.2)
    fake.stall(70_000)
    assert watch.noise() == ["memory pressure: 3%"]


def test_a_clock_that_falls(fake: FakeMachine) -> None:
    monitor, noise = InterferenceMonitor([0, 1]), []
    for clocks in ((3000, 800), (2600, 2600), (1800, 1700)):  # a CPU at rest is no matter
        watch = monitor.watch(WORKER)
        fake.work()
        for cpu, clock in enumerate(clocks):
            fake.put(CPU.format(cpu) + "cpufreq/scaling_cur_freq", f"{clock}000")
        noise.append(watch.noise())
    assert noise == [[], [], ["clock fell to 60%"]]


def nvml(*gpus: list[int]) -> SimpleNamespace:
    def listed(handle: int) -> list[Any]:
        return [SimpleNamespace(pid=pid, usedGpuMemory=2**20) for pid in gpus[handle]]

    return SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: len(gpus),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetComputeRunningProcesses=listed,
    )


@pytest.mark.parametrize(
    ("gpus", "disturbed"),
    [
        ([[WORKER, HELPER]], False),
        ([[WORKER, OTHER_WORKER]], False),  # frozen, of the same run
        ([[WORKER, STRANGER]], True),
        ([[WORKER, 999_999]], True),  # of another container
        ([[WORKER], [STRANGER]], False),  # on another GPU
        ([[STRANGER]], False),  # the worker uses none, or has another number outside its container
    ],
)
def test_another_process_on_the_gpu(
    fake: FakeMachine, monkeypatch: pytest.MonkeyPatch, gpus: list[list[int]], disturbed: bool
) -> None:
    fake.sessions[OTHER_WORKER] = OTHER_WORKER
    fake.put(f"proc/{OTHER_WORKER}/stat", f"{OTHER_WORKER} (python) T {os.getpid()} 1 1")
    monkeypatch.setitem(sys.modules, "pynvml", nvml(*gpus))
    watch = InterferenceMonitor([0, 1]).watch(WORKER)
    fake.work()
    assert watch.noise() == (["another process on the GPU"] if disturbed else [])


@pytest.mark.parametrize(
    ("reasons", "told"),
    [(0x1, []), (0x4, []), (0x20 | 0x4, ["GPU slowed by heat (by the driver)"])],
)
def test_what_slows_the_card_is_told_but_for_its_power_limit(
    fake: FakeMachine, monkeypatch: pytest.MonkeyPatch, reasons: int, told: list[str]
) -> None:
    library = nvml([], [])
    library.nvmlDeviceGetCurrentClocksThrottleReasons = lambda handle: reasons * handle
    monkeypatch.setitem(sys.modules, "pynvml", library)
    on_card, on_cpu = (
        InterferenceMonitor([0, 1]).watch(WORKER, 1),
        InterferenceMonitor([0, 1]).watch(WORKER),
    )
    fake.work()
    assert (on_card.noise(), on_cpu.noise()) == (told, [])
    assert on_card.card is not None and on_card.card["mhz"] is None
    assert on_cpu.card is None


def test_nothing_readable_nothing_said(fake: FakeMachine, tmp_path: Path) -> None:
    host.ROOT = tmp_path / "empty"  # the fixture's monkeypatch sets it back
    fake.spent.clear()
    watch = InterferenceMonitor([0, 1]).watch(WORKER)
    fake.now += 1
    assert watch.noise() == []


def test_garbage_is_left_out(fake: FakeMachine) -> None:
    for path in fake.root.rglob("*"):
        if path.is_file() and path.name != "stat":
            path.write_bytes(b"\xff garbage\n\n:")
    fake.put("proc/stat", "cpu\ncpu0 1 2\ncpu1")
    watch = InterferenceMonitor([0, 1]).watch(WORKER)
    fake.now += 1
    assert watch.noise() == []


@pytest.fixture
def sleeper() -> Iterator[int]:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(command, start_new_session=True) as process:
        yield process.pid
        process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_busy_neighbour_is_seen_on_this_machine(sleeper: int) -> None:
    monitor = InterferenceMonitor(sorted(os.sched_getaffinity(0)))
    watch = monitor.watch(sleeper)
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as neighbour:
        time.sleep(0.4)
        noise = watch.noise()
        neighbour.kill()
    assert any(words.startswith("load of others: ") for words in noise)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_look_is_short(sleeper: int) -> None:
    monitor = InterferenceMonitor(sorted(os.sched_getaffinity(0)))
    took = []
    for _ in range(20):
        began = time.perf_counter()
        monitor.watch(sleeper)
        took.append(time.perf_counter() - began)
    assert min(took) < 0.001
