"""What the machine is told to be: real, limited by cgroups, unreadable."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from harness.machine import host
from harness.machine.nvml import Driver
from harness.paths import project_root


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty file system in place of / as far as `machine` looks."""
    monkeypatch.setattr(host, "ROOT", tmp_path)
    return tmp_path


def put(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n")


def test_this_machine_is_described() -> None:
    told = host.describe()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["cores_logical"] >= told["cores_usable"] > 0
    assert told["memory_total"] > 2**28
    assert (told["gpus"] == []) == bool(told["no_gpu_because"])


def test_no_host_name_is_told() -> None:
    name = socket.gethostname()
    if len(name) < 4:
        pytest.skip("the host's name is too short to look for")
    assert name not in json.dumps(host.describe())


def test_no_limit_where_nothing_can_be_read(root: Path) -> None:
    assert host.cpu_quota() is None
    assert host.memory_limit() is None
    assert host.usable_cores()


def test_a_cgroup_of_version_2(root: Path) -> None:
    put(root, "proc/self/cgroup", "0::/a/b")
    put(root, "sys/fs/cgroup/a/b/cpu.max", "150000 100000")
    put(root, "sys/fs/cgroup/a/b/memory.max", "max")
    put(root, "sys/fs/cgroup/a/memory.max", str(3 * 2**30))
    put(root, "sys/fs/cgroup/a/cpu.max", "max 100000")
    assert host.cpu_quota() == 1.5
    assert host.memory_limit() == 3 * 2**30
    assert host.usable_cores() in (1, 1.5)


def test_a_cgroup_of_version_1_seen_from_inside_a_container(root: Path) -> None:
    put(root, "proc/self/cgroup", "5:cpu,cpuacct:/docker/1f\n4:memory:/docker/1f")
    put(root, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000")
    put(root, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000")
    put(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", str(2**30))
    assert host.cpu_quota() == 0.5
    assert host.memory_limit() == 2**30


def test_version_1_without_limits(root: Path) -> None:
    put(root, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1")
    put(root, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000")
    put(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712")
    assert host.cpu_quota() is None
    assert host.memory_limit() is None


def test_what_moves_the_clock_and_the_memory(root: Path) -> None:
    for cpu, times in ((0, 3), (1, 5)):
        file = f"sys/devices/system/cpu/cpu{cpu}/thermal_throttle/core_throttle_count"
        put(root, file, str(times))
    put(root, "sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never")
    put(root, "proc/pressure/memory", "some avg10=1.25 avg60=0.00 avg300=0.00 total=9")
    told = host.describe()
    assert (told["throttled"], told["huge_pages"]) == (5, "madvise")
    assert told["memory_pressure"] == 1.25


def test_what_cannot_be_read_is_null(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise PermissionError("not for you")

    for holder, name in (
        (psutil, "virtual_memory"),
        (psutil, "cpu_count"),
        (psutil, "cpu_freq"),
        (psutil, "swap_memory"),
        (os, "getloadavg"),
        (host.shutil, "which"),
    ):
        monkeypatch.setattr(holder, name, broken, raising=False)
    monkeypatch.setattr(host, "_AFFINITY", frozenset())
    told = host.describe()
    for key in (
        "memory_total",
        "cores_physical",
        "mhz",
        "load",
        "cores_affinity",
        "governor",
        "virtualised",
        "throttled",
        "huge_pages",
        "swap_used",
        "memory_pressure",
    ):
        assert told[key] is None


def fake_nvml(**more: object) -> SimpleNamespace:
    return SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda handle: b"Toy GPU",
        nvmlSystemGetDriverVersion=lambda: "580.1",
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(total=2**34, free=2**33),
        nvmlDeviceGetCudaComputeCapability=lambda handle: (9, 0),
        nvmlDeviceGetComputeRunningProcesses=lambda handle: [
            SimpleNamespace(pid=7, usedGpuMemory=2**30),
            SimpleNamespace(pid=8, usedGpuMemory=None),
        ],
        **more,
    )


def test_a_gpu_is_described_as_far_as_its_driver_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml())
    (gpu,) = host.gpus()
    assert (gpu["name"], gpu["driver"], gpu["capability"]) == ("Toy GPU", "580.1", "9.0")
    assert (gpu["memory_total"], gpu["busy_percent"]) == (2**34, None)
    assert gpu["processes"] == 2


def test_the_memory_that_a_process_holds_on_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    library = fake_nvml()
    library.nvmlDeviceGetCount = lambda: 2
    monkeypatch.setitem(sys.modules, "pynvml", library)
    driver = Driver()
    assert driver.memory_of(7) == 2**31
    assert driver.memory_of(8) is None  # the driver does not tell
    assert driver.memory_of(9) is None  # it is not on the list: none, or hidden by a container


def test_a_driver_that_does_not_list_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    library = fake_nvml()
    del library.nvmlDeviceGetComputeRunningProcesses
    monkeypatch.setitem(sys.modules, "pynvml", library)
    assert Driver().memory_of(7) is None
    assert host.gpus()[0]["name"] == "Toy GPU"


def test_a_cards_clock_and_power_are_told_and_never_set(monkeypatch: pytest.MonkeyPatch) -> None:
    library = fake_nvml(
        nvmlDeviceGetClockInfo=lambda handle, clock: 1410 if clock == 1 else None,
        nvmlDeviceGetMaxClockInfo=lambda handle, clock: 1980,
        nvmlDeviceGetPowerUsage=lambda handle: 350_500,
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda handle: 0x4 | 0x40 | 0x1,
    )
    monkeypatch.setitem(sys.modules, "pynvml", library)
    told = {
        "mhz": 1410,
        "mhz_most": 1980,
        "watts": 350.5,
        "watts_most": None,
        "slowed_by": ["its power limit", "heat (by the hardware)"],
    }
    assert Driver().state(0) == told
    assert host.gpus()[0].items() >= told.items()
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml())
    assert set(Driver().state(0).values()) == {None}  # a driver that tells nothing of it


def test_no_driver_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise RuntimeError("NVML Shared Library Not Found")

    library = fake_nvml()
    library.nvmlInit = absent
    monkeypatch.setitem(sys.modules, "pynvml", library)
    told = host.describe()
    assert told["gpus"] == [] and "Not Found" in told["no_gpu_because"]


def test_what_a_library_does_to_this_process_s_affinity_is_no_limit() -> None:
    """GOMP_CPU_AFFINITY pins a process as soon as it loads libgomp, which scikit-learn does."""
    script = (
        "from harness.machine import host, processors\n"
        "before = host.usable_cpus()\n"
        "import sklearn.cluster\n"
        "assert host.usable_cpus() == before and len(processors.cores()) >= 1, host.usable_cpus()\n"
        "print(len(before))\n"
    )
    environment = {**os.environ, "GOMP_CPU_AFFINITY": str(host.usable_cpus()[0])}
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, cwd=project_root(), env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(len(host.usable_cpus())), done.stderr
