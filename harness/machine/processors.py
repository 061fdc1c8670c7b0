"""The processors that workers may use: how many within the quota, and one of each core first."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import zip_longest

from harness.machine import host
from harness.machine.interference import siblings

FEW = 8
"""Of up to so many processors one is spared."""

Core = tuple[int, ...]
"""The processors of one core, its hyperthreads."""


def most_threads() -> int:
    """Return how many threads can compute at once: the usable processors, within the quota."""
    processors, quota = len(host.usable_cpus()), host.cpu_quota()
    return processors if quota is None else max(1, min(processors, math.floor(quota)))


def usual_threads() -> int:
    """Return the threads of a worker where none are asked for; few processors are not all taken.

    Threads that wait for each other come to a halt where one of them shares its processor with the rest
    of the machine, so one processor is spared for that where it costs more than sparing it does.
    """
    most = most_threads()
    return most - 1 if 1 < most <= FEW else most


def cores() -> list[Core]:
    """Return the usable processors by core; each by itself where siblings are not known."""
    usable = {*host.usable_cpus()}
    return sorted({tuple(sorted({cpu, *siblings(cpu)} & usable)) for cpu in usable})


def spread(free: Iterable[Core], threads: int) -> list[int]:
    """Return so many processors of these cores: one of each core before a second one of any."""
    by_rank = zip_longest(*free)
    ranked = [cpu for rank in by_rank for cpu in rank if cpu is not None]
    return sorted(ranked[:threads])


def among(cpus: Iterable[int], threads: int) -> list[int]:
    """Return so many of these processors, as `spread` takes them from their cores."""
    usable = {*cpus}
    parts = (tuple(cpu for cpu in core if cpu in usable) for core in cores())
    return spread(filter(None, parts), threads)


def in_words(processors: Iterable[int]) -> str:
    """Return numbers as the system lists them: ``0-3,8``."""
    runs: list[list[int]] = []
    for number in sorted(processors):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
