"""The interference monitor: what contaminated a slice, observed from outside the worker.

It looks before and after, and reports the difference; it holds nothing up and changes nothing. What
cannot be read is left out, and nothing raises. Everything but processor clocks and the GPU driver
is read under `machine.ROOT`.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.machine import host
from harness.machine.nvml import POWER_CAP, SLOWED_BY, Driver

LOAD = 0.1
"""Cores' time taken by others, or by the hypervisor: a tenth of a CPU delays a step by up to a
tenth where each waits for its slowest thread. An idle system's own services stay below 0.03."""

TICK = 0.01
"""Seconds: the kernel counts each CPU's idle time in ticks of this length (USER_HZ)."""

CERTAIN = 4.0
"""Standard deviations of that cutting off, below which nothing is said. The difference of two cut
times is off by TICK / sqrt(6), so of n CPUs' by that times sqrt(n): on 2 CPUs 0.02 s are seen."""

BESIDE = 0.5
"""The part of the CPUs not used by the worker (nor siblings of those) that others may keep busy:
they share only caches, memory and turbo."""

HALTED = 0.01
"""The part of a slice that a quota may halt a thread: it is counted exactly, and so is the harm."""

STALLED = 0.01
"""The part of the time in which some task may wait for memory."""

STALL_PERIOD = 2.0
"""Seconds: the kernel brings its sum of stalled time up to date so seldom (PSI_FREQ); what is seen
in a shorter slice may have been before it."""

CLOCK = 0.75
"""Of the highest clock seen: turbo's steps between one busy core and all of them, and those for
wide vectors, come to about a fifth; a lower clock has another cause."""


class Noise(StrEnum):
    """What may disturb a slice: the first words of its description."""

    LOAD = "load of others"
    BESIDE = "load on the other CPUs"
    STOLEN = "stolen by the hypervisor"
    HALTED = "halted by the cgroup's quota"
    SWAPPING = "swapping"
    PRESSURE = "memory pressure"
    HEAT = "throttled by heat"
    CLOCK = "clock fell"
    GPU = "another process on the GPU"
    CARD = "GPU slowed by"


class InterferenceMonitor:
    """Watches slices on these CPUs, those that the worker may use."""

    def __init__(self, cpus: Sequence[int]) -> None:
        usable = host.affinity()
        cores = [siblings(cpu) for cpu in cpus]
        # Where it is unknown which CPUs share a core, load on any CPU counts in full.
        shared = set().union(*cores) if all(cores) else usable
        self.near = frozenset(cpus) | shared
        self.beside = usable - self.near
        self.clocks = [_cpu(cpu) / "cpufreq/scaling_cur_freq" for cpu in cpus]
        self.heat = [file for file in _heat_files(cpus) if _number(file) is not None]
        self.quotas = [file for file in _quota_files() if _halted(file) is not None]
        self.driver = Driver()
        self.highest = 0.0
        """The highest clock seen at the end of a slice, in kHz; before it, CPUs may be at rest."""

    def watch(self, pid: int, card: int | None = None) -> Watch:
        """Take a first look, before a slice of the worker `pid`, whose session is its own.

        `card` is the number of the GPU that it computes on.
        """
        return Watch(self, pid, card)

    def clock(self) -> float | None:
        """Return the clock of the fastest of the worker's CPUs against the highest seen so far."""
        clocks = [kilohertz for kilohertz in map(_number, self.clocks) if kilohertz]
        if not clocks:
            return None
        self.highest = max(self.highest, *clocks)
        return max(clocks) / self.highest


@dataclass(frozen=True)
class _Look:
    """The counters at one moment, in seconds if not noted otherwise; None where one is not reported."""

    when: float
    idle: float | None
    stolen: float | None
    idle_beside: float | None
    spent: tuple[float | None, ...]
    """Processor time of the worker, of its helpers and of ourselves."""
    swapped: float | None
    """Pages."""
    stalled: float | None
    halted: tuple[float | None, ...]
    heat: tuple[float | None, ...]
    """Times."""

    @classmethod
    def take(cls, monitor: InterferenceMonitor, family: Iterable[int]) -> _Look:
        idle, stolen = _cpu_counters()
        return cls(
            time.monotonic(),
            _sum(idle, monitor.near),
            _sum(stolen, monitor.near),
            _sum(idle, monitor.beside),
            tuple(map(_processor_time, family)),
            _swapped(),
            _stalled(),
            tuple(map(_halted, monitor.quotas)),
            tuple(map(_number, monitor.heat)),
        )


class Watch:
    """A slice being watched, from its first look on.

    `card` is the state of the worker's GPU right after the slice, as `nvml.Driver` reports it: None
    for a CPU.
    """

    card: dict[str, Any] | None = None

    def __init__(self, monitor: InterferenceMonitor, pid: int, card: int | None = None) -> None:
        self._monitor, self._index = monitor, card
        self._family = _family(pid)
        self._before = _Look.take(monitor, self._family)

    def noise(self) -> list[str]:
        """Look again: what contaminated the slice, each in a few words; empty where nothing did."""
        driver = self._monitor.driver
        if self._index is not None and self._index < len(driver.handles):
            self.card = driver.state(self._index)
        look = _Look.take(self._monitor, self._family)
        disturbances = [*_loads(self._monitor, self._before, look), *_troubles(self._before, look)]
        clock = self._monitor.clock()
        if clock is not None and clock < CLOCK:
            disturbances.append(f"{Noise.CLOCK} to {clock:.0%}")
        if _others_on_the_gpu(driver, self._family):
            disturbances.append(str(Noise.GPU))
        # A card at its power limit is at work: that is recorded, and no disturbance.
        slow = [by for by in (self.card or {}).get("slowed_by") or () if by != SLOWED_BY[POWER_CAP]]
        disturbances += [f"{Noise.CARD} {by}" for by in slow]
        return disturbances


def _loads(monitor: InterferenceMonitor, before: _Look, after: _Look) -> Iterator[str]:
    """Time that the CPUs were neither idle nor ours."""
    seconds = after.when - before.when
    idle, stolen = _rise(before.idle, after.idle), _rise(before.stolen, after.stolen)
    spent = [_rise(*pair) for pair in zip(before.spent, after.spent, strict=True)]
    if idle is not None and spent[0] is not None:
        foreign = len(monitor.near) * seconds - idle - (stolen or 0) - sum(filter(None, spent))
        if foreign > _limit(len(monitor.near), seconds):
            yield f"{Noise.LOAD}: {foreign / seconds:.1f} cores"
    beside = _rise(before.idle_beside, after.idle_beside)
    if beside is not None and monitor.beside:
        busy = len(monitor.beside) * seconds - beside
        if busy > BESIDE * len(monitor.beside) * seconds + _limit(len(monitor.beside), seconds):
            yield f"{Noise.BESIDE}: {busy / seconds:.1f} cores"
    if stolen is not None and stolen > _limit(len(monitor.near), seconds):
        yield f"{Noise.STOLEN}: {stolen / seconds / len(monitor.near):.1%}"


def _limit(cpus: int, seconds: float) -> float:
    """Return the seconds on so many CPUs above which others' load is reported."""
    return max(LOAD * seconds, CERTAIN * TICK * math.sqrt(cpus / 6))


def _troubles(before: _Look, after: _Look) -> Iterator[str]:
    """What held the worker up or slowed it down besides others' load."""
    seconds = after.when - before.when
    halted = _most(before.halted, after.halted)
    if halted > HALTED * seconds:
        yield f"{Noise.HALTED}: {halted:.2f} s"
    if pages := _rise(before.swapped, after.swapped):
        yield f"{Noise.SWAPPING}: {pages:.0f} pages"
    stalled = (_rise(before.stalled, after.stalled) or 0) / max(seconds, STALL_PERIOD)
    if stalled > STALLED:
        yield f"{Noise.PRESSURE}: {stalled:.0%}"
    if times := _most(before.heat, after.heat):
        yield f"{Noise.HEAT}: {times:.0f} times"


def _rise(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else max(0.0, after - before)


def _most(before: Iterable[float | None], after: Iterable[float | None]) -> float:
    """Return the largest rise: CPUs and nested cgroups count the same event several times."""
    return max((_rise(*pair) or 0 for pair in zip(before, after, strict=True)), default=0)


def _text(path: Path) -> str:
    """Return a small system file's text, empty where it cannot be read."""
    try:
        with open(host.ROOT / path, "rb", buffering=0) as file:  # noqa: PTH123 (a look is short)
            return file.read().decode("ascii", "replace")
    except OSError:
        return ""


def _number(path: Path) -> float | None:
    word = _text(path).strip()
    return float(word) if word.isdigit() else None


def _field(text: str, name: str, separator: str = " ") -> float | None:
    """Return the number after the first `name` at the beginning of a line or word."""
    _, separator_seen, after_name = f"\n{text}".partition(f"\n{name}{separator}")
    word = after_name.split(maxsplit=1)[0] if separator_seen and after_name.strip() else ""
    return float(word) if word.isdigit() else None


def _cpu_counters() -> tuple[dict[int, float], dict[int, float]]:
    """Return each CPU's idle (waiting for a disk included) and stolen time in seconds."""
    idle, stolen = {}, {}
    for line in _text(Path("proc/stat")).splitlines():
        name, *fields = line.split(maxsplit=9)
        if not name.startswith("cpu"):
            break  # only interrupts and totals follow
        if name != "cpu" and len(fields) >= 8:
            cpu = int(name[3:])
            idle[cpu] = TICK * (int(fields[3]) + int(fields[4]))
            stolen[cpu] = TICK * int(fields[7])
    return idle, stolen


def _sum(seconds: Mapping[int, float], cpus: Iterable[int]) -> float | None:
    """Return the CPUs' sum; None where one of them is not reported."""
    try:
        return sum(seconds[cpu] for cpu in cpus)
    except KeyError:
        return None


def _processor_time(pid: int) -> float | None:
    """Return the seconds a process has computed, all its threads; None where it has ended.

    By its clock, see clock_getcpuclockid(3): /proc/<pid>/stat has the same in whole ticks.
    """
    scheduler_clock = 2  # CPUCLOCK_SCHED, from linux/posix-timers.h
    try:
        return time.clock_gettime((~pid << 3) | scheduler_clock)
    except (OSError, AttributeError, OverflowError):
        return None


def _family(pid: int) -> tuple[int, ...]:
    """Return the worker, the other processes of its session (what it has started), and ourselves."""
    helpers = [process for process in _all_processes() if _session(process) == pid]
    return tuple(dict.fromkeys((pid, *helpers, os.getpid())))


def _all_processes() -> list[int]:
    try:
        return [int(name) for name in os.listdir(host.ROOT / "proc") if name.isdigit()]  # noqa: PTH208
    except OSError:
        return []


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (OSError, AttributeError):
        return None


def _swapped() -> float | None:
    text = _text(Path("proc/vmstat"))
    ways = [_field(text, "pswpin"), _field(text, "pswpout")]
    pages = [way for way in ways if way is not None]
    return sum(pages) if pages else None


def _stalled() -> float | None:
    """Return the seconds in which some task on the machine waited for memory."""
    some_line = _text(Path("proc/pressure/memory")).partition("\n")[0]
    microseconds = _field(some_line.replace(" ", "\n"), "total", "=")
    return None if microseconds is None else microseconds / 1e6


def _quota_files() -> list[Path]:
    """Return where our cgroup, which the workers inherit, and those above it count halts."""
    folders = [*host.cgroups(""), *host.cgroups("cpu")]
    return [folder / "cpu.stat" for folder in dict.fromkeys(folders)]


def _halted(file: Path) -> float | None:
    """Return the seconds in which a cgroup was halted because its quota was spent."""
    text = _text(file)
    scales = {"throttled_usec": 1e6, "throttled_time": 1e9}  # version 2, version 1
    for name, scale in scales.items():
        if (halted := _field(text, name)) is not None:
            return halted / scale
    return None


def _heat_files(cpus: Sequence[int]) -> list[Path]:
    """Return the counters of throttling: each core's, and one of each package's."""
    packages = {
        _number(_cpu(cpu) / "topology/physical_package_id"): _cpu(cpu) for cpu in reversed(cpus)
    }
    names = [(_cpu(cpu), "core") for cpu in cpus]
    names += [(folder, "package") for folder in packages.values()]
    return [folder / f"thermal_throttle/{name}_throttle_count" for folder, name in names]


def _cpu(number: int) -> Path:
    return Path(f"sys/devices/system/cpu/cpu{number}")


def siblings(cpu: int) -> set[int]:
    """Return the CPUs on the same core, this one included; empty where that is not reported."""
    same_core: set[int] = set()
    for part in _text(_cpu(cpu) / "topology/thread_siblings_list").strip().split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            same_core.update(range(int(first), int(last or first) + 1))
    return same_core


def _others_on_the_gpu(driver: Driver, family: Sequence[int]) -> bool:
    """Say whether a process that is not the run's computes on a GPU that the worker uses.

    Where the driver does not list the worker itself, its numbers are not ours to understand (we are
    in a container), or the worker uses no GPU: then nothing is said.
    """
    shared = [processes for processes in driver.processes() if processes.keys() & set(family)]
    return any(not _ours(pid) for processes in shared for pid in processes)


def _ours(pid: int) -> bool:
    """Say whether a process is ours: we, or one in a session of our own workers."""
    leader = _session(pid)
    return pid == os.getpid() or (leader is not None and _parent(leader) == os.getpid())


def _parent(pid: int) -> int | None:
    # The name, in brackets, may have blanks and brackets of its own.
    fields = _text(Path(f"proc/{pid}/stat")).rpartition(")")[2].split()
    return int(fields[1]) if len(fields) > 1 else None
