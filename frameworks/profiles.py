"""What a framework's own profiler records: a trace for a viewer, and its operators summed.

Standard library only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Operator:
    """One kind of operator: how often it ran and how long, in microseconds.

    `self_us` leaves out what ran inside it as an operator of its own.
    """

    name: str
    calls: int
    total_us: float
    self_us: float


@dataclass(frozen=True)
class Profile:
    """What `Adapter.profile` hands back. `trace` is Chrome trace JSON: Perfetto opens it too."""

    trace: Path
    operators: list[Operator]


def operators(events: Iterable[Event], name_of: Callable[[Event], str | None]) -> list[Operator]:
    """Sum a Chrome trace's complete events by operator, for a profiler that does not.

    `name_of` gives an event's operator, or None for an event that is none: its time counts as that
    of the operator around it.
    """
    threads: dict[Any, list[tuple[float, float, str]]] = defaultdict(list)
    for event in events:
        name = name_of(event) if event.get("ph") == "X" else None
        if name is not None:
            start, duration = float(event["ts"]), float(event.get("dur", 0))
            threads[event.get("pid"), event.get("tid")].append((start, -duration, name))
    calls: dict[str, int] = defaultdict(int)
    total: dict[str, float] = defaultdict(float)
    self_time: dict[str, float] = defaultdict(float)
    for spans in threads.values():
        around: list[tuple[float, str]] = []  # the ends and names of those that are still open
        # Of those that start at once, the longest comes first.
        for start, negative, name in sorted(spans):
            while around and around[-1][0] <= start:
                around.pop()
            if around:
                self_time[around[-1][1]] += negative
            self_time[name] -= negative
            if name not in (
                outer for _, outer in around
            ):  # else it is the same call, recorded twice
                calls[name] += 1
                total[name] -= negative
            around.append((start - negative, name))
    return [Operator(name, calls[name], total[name], self_time[name]) for name in total]
