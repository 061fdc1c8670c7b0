"""What this machine is, how much of it we may use, and how busy it is. Bytes, MHz, cores.

Nothing here raises: what cannot be read is None. The host's name is not recorded: results are shared.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil

from harness.machine.nvml import Driver

T = TypeVar("T")

ROOT = Path("/")
"""Where `/proc` and `/sys` are; tests put another in its place."""

BUSY = 0.5
"""A load average above this part of the usable cores disturbs what is measured."""

_UNLIMITED = 2**60
"""A cgroup's memory limit above this is none (version 1 writes a huge number instead)."""


def describe() -> dict[str, Any]:
    """Return what a result's reader must know of the machine, as plain values for JSON."""
    memory = _try(psutil.virtual_memory)
    physical = _try(lambda: psutil.cpu_count(logical=False))
    limit, (cards, no_gpu_because) = memory_limit(), _gpus()
    return {
        "os": _try(_os_name),
        "kernel": _try(platform.release),
        "architecture": _try(platform.machine),
        "cpu": _try(_cpu_model) or _try(platform.processor) or None,
        "cores_logical": _try(os.cpu_count),
        "cores_physical": physical,
        "cores_affinity": len(affinity()) or None,
        "cores_quota": cpu_quota(),
        "cores_usable": usable_cores(),
        "memory_total": memory.total if memory else None,
        "memory_available": memory.available if memory else None,
        "memory_limit": limit,
        "load": _try(lambda: [round(value, 2) for value in os.getloadavg()]),
        "virtualised": _try(_virtualised),
        "governor": _read("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "throttled": _throttled(),
        "huge_pages": _chosen(_read("sys/kernel/mm/transparent_hugepage/enabled")),
        "swap_used": _try(lambda: psutil.swap_memory().used),
        "memory_pressure": _memory_pressure(),
        "mhz": _try(lambda: round(psutil.cpu_freq().current)),
        "mhz_most": _try(lambda: round(psutil.cpu_freq().max) or None),
        "gpus": cards,
        "no_gpu_because": no_gpu_because,
    }


def gpus() -> list[dict[str, Any]]:
    """Return the NVIDIA GPUs that a driver shows: name, memory in bytes, driver, capability."""
    return _gpus()[0]


def usable_cores() -> float | None:
    """Return how many cores this process may keep busy: by affinity and by its cgroup's quota."""
    limits = [
        value for value in (len(affinity()) or None, _try(os.cpu_count), cpu_quota()) if value
    ]
    return min(limits) if limits else None


def affinity() -> frozenset[int]:
    """Return the CPUs that this process may use; none where the system does not report them."""
    return _AFFINITY


def usable_cpus() -> list[int]:
    """Return the numbers of the processors that this process may use."""
    return sorted(affinity()) or list(range(os.cpu_count() or 1))


def cpu_quota() -> float | None:
    """Return the cgroup's limit in cores, the smallest on the way up; None where there is none."""
    quotas = [_quota_v2(folder) for folder in cgroups("")]
    quotas += [_quota_v1(folder) for folder in cgroups("cpu")]
    return min((quota for quota in quotas if quota), default=None)


def memory_limit() -> int | None:
    """Return the cgroup's limit in bytes, the smallest on the way up; None where there is none."""
    words = [_read(folder / "memory.max") for folder in cgroups("")]
    words += [_read(folder / "memory.limit_in_bytes") for folder in cgroups("memory")]
    limits = [int(word) for word in words if word and word.isdigit()]
    return min((limit for limit in limits if limit < _UNLIMITED), default=None)


def memory_there() -> int | None:
    """Return the bytes of memory that a process may have at most, by the machine and by the cgroup."""
    sizes = _try(lambda: psutil.virtual_memory().total), memory_limit()
    return min((size for size in sizes if size is not None), default=None)


def memory_free() -> int | None:
    """Return the bytes that may still be taken, by the machine and by the cgroup; None: unknown."""
    memory, limit = _try(lambda: psutil.virtual_memory().available), memory_limit()
    used = _try(lambda: psutil.Process().memory_info().rss)
    inside = None if limit is None else limit - (_cgroup_memory_used() or used or 0)
    return min((size for size in (memory, inside) if size is not None), default=None)


def _cgroup_memory_used() -> int | None:
    """Return what this process's cgroup uses, without the pages of files that it could give back."""
    for controller, current, cache in (
        ("", "memory.current", "inactive_file"),
        ("memory", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        for folder in cgroups(controller):
            used = _read(folder / current)
            if used and used.isdigit():
                lines = (_read(folder / "memory.stat") or "").splitlines()
                files = dict(line.split() for line in lines if len(line.split()) == 2)
                return int(used) - int(files.get(cache, 0))
    return None


def _try(read: Callable[[], T]) -> T | None:
    """Return what `read` returns, or None whatever goes wrong: a description must not fail."""
    try:
        return read()
    except Exception:  # any platform, any driver
        return None


_AFFINITY = frozenset(_try(lambda: os.sched_getaffinity(0)) or ())
"""As this process began: a library that it loads may pin it (libgomp does, by GOMP_CPU_AFFINITY)."""


def _read(path: str | Path) -> str | None:
    """Return a small system file's text, or None."""
    return _try(lambda: (ROOT / path).read_text(encoding="utf-8", errors="replace").strip()) or None


def cgroups(controller: str) -> list[Path]:
    """Return the folders, relative to ROOT, of this process's cgroup and of those above it.

    For one controller; an empty `controller` means version 2. Inside a container the path that the
    kernel names may lie outside what is mounted: the mounted root is always among the folders.
    """
    mount = Path("sys/fs/cgroup") / controller
    for line in (_read("proc/self/cgroup") or "").splitlines():
        _, names, path = [*line.split(":", 2), "", ""][:3]
        if controller in names.split(","):
            inner = Path(path.lstrip("/"))
            return [mount / inner, *(mount / up for up in inner.parents), mount]
    return [mount]


def _quota_v2(folder: Path) -> float | None:
    quota, _, period = (_read(folder / "cpu.max") or "").partition(" ")
    return _try(lambda: int(quota) / int(period))


def _quota_v1(folder: Path) -> float | None:
    quota, period = (_read(folder / f"cpu.cfs_{word}_us") for word in ("quota", "period"))
    cores = _try(lambda: int(quota or "") / int(period or ""))
    return cores if cores and cores > 0 else None


def _os_name() -> str:
    if platform.system() != "Linux":
        return f"{platform.system()} {platform.mac_ver()[0] or platform.release()}"
    return _try(lambda: platform.freedesktop_os_release()["PRETTY_NAME"]) or "Linux"


def _cpu_model() -> str | None:
    for line in (_read("proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return " ".join(value.split())
    return _output("sysctl", "-n", "machdep.cpu.brand_string")


def _throttled() -> int | None:
    """Return how often heat has throttled a core or a package since the start, the most for one."""
    cpus = ROOT / "sys/devices/system/cpu"
    files = _try(lambda: list(cpus.glob("cpu[0-9]*/thermal_throttle/*_throttle_count"))) or []
    counts = [int(word) for word in map(_read, files) if word and word.isdigit()]
    return max(counts, default=None)


def _chosen(setting: str | None) -> str | None:
    """Return the word that the kernel puts in brackets, of those one may choose from."""
    _, _, after_bracket = (setting or "").partition("[")
    return after_bracket.partition("]")[0] or None


def _memory_pressure() -> float | None:
    """Return the percentage of the last 10 s in which some task waited for memory."""
    percentage = (_read("proc/pressure/memory") or "").partition("avg10=")[2]
    return _try(lambda: float(percentage.split()[0]))


def _virtualised() -> str | None:
    """Return the kind of virtual machine or container, "yes" where only that is known, or None."""
    kind = _output("systemd-detect-virt")
    if kind:
        return None if kind == "none" else kind
    if (ROOT / ".dockerenv").exists():
        return "container"
    return "yes" if " hypervisor" in (_read("proc/cpuinfo") or "") else None


def _output(*command: str) -> str | None:
    """Return what a program prints, or None where there is no such program."""
    program = shutil.which(command[0])
    if program is None:
        return None
    completed = subprocess.run(
        [program, *command[1:]],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=5,
        check=False,
    )
    return completed.stdout.strip() or None


def _gpus() -> tuple[list[dict[str, Any]], str | None]:
    """Return the GPUs, or none and the reason."""
    driver = Driver()
    held = driver.processes()
    return [
        _gpu(driver.library, handle) | {"processes": len(held[index]), **driver.state(index)}
        for index, handle in enumerate(driver.handles)
    ], driver.reason


def _gpu(nvml: Any, handle: Any) -> dict[str, Any]:
    memory = _try(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    load = _try(lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
    capability = _try(lambda: nvml.nvmlDeviceGetCudaComputeCapability(handle))
    return {
        "name": _text(_try(lambda: nvml.nvmlDeviceGetName(handle))),
        "memory_total": int(memory.total) if memory else None,
        "memory_free": int(memory.free) if memory else None,
        "driver": _text(_try(nvml.nvmlSystemGetDriverVersion)),
        "cuda": _try(lambda: nvml.nvmlSystemGetCudaDriverVersion_v2() / 1000),
        "capability": ".".join(map(str, capability)) if capability else None,
        "busy_percent": int(load.gpu) if load else None,
    }


def _text(value: Any) -> str | None:
    """Return a text; older drivers' bindings hand out bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
