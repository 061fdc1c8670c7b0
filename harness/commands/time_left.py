"""How long a run will still take, from the events that it has emitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FIRST_GUESS = 8.0
"""Seconds to bring a cell up, before any was."""

_ENDS_BRINGING_UP = ("launched", "warmed", "cell-failed", "cell-done")
"""Events after which a cell is no longer being brought up."""


class TimeLeft:
    """Listens to a run's events, each with the time of it in seconds; tells what is left.

    Two parts: bringing up the cells that have not begun, each as long as those before on average, and the
    timed launches, until the budget is spent. A workload that stops early gives its rest back.
    """

    def __init__(self) -> None:
        self._cells, self._budget, self._workloads = 0, 0.0, 1
        self._brought: dict[str, float] = {}
        self._current: tuple[str, float] | None = None
        self._timing_since: float | None = None
        self._stopped, self._last_launch = set[str](), 0.0
        self._began, self._last = 0.0, 0.0

    def add(self, event: Mapping[str, Any], now: float) -> None:
        """Take up one event."""
        name, cell = event["event"], event.get("cell")
        if name in ("run-started", "run-resumed"):
            self._began = now
            self._cells, self._budget = event["cells"], event.get("budget") or 0.0
            self._workloads = max(1, len(event.get("workloads") or ()))
        if name == "cell-started":
            self._end_bringing_up(now)
            self._current, self._timing_since = (str(cell), now), None
        elif name in _ENDS_BRINGING_UP:
            self._end_bringing_up(now)
        if name == "warmed" and self._timing_since is None:
            self._timing_since = now
        if name == "retrained" and "curve" in event and self._timing_since is not None:
            # On --seeds: it takes nothing of the budget.
            self._timing_since += now - self._last
        if name == "checkpoint" and event.get("launch"):
            self._last_launch = event["took"]
        if name in ("stopped", "workload-skipped", "workload-refused"):
            self._stopped.add(event["workload"])
            self._timing_since = None
        self._last = now

    def _end_bringing_up(self, now: float) -> None:
        if self._current is not None:
            cell, since = self._current
            self._brought[cell] = now - since
            self._current = None

    def seconds(self, now: float) -> float:
        """Return about how many seconds are left."""
        done = [*self._brought.values()]
        average = sum(done) / len(done) if done else _FIRST_GUESS
        waiting = self._cells - len(done) - (self._current is not None)
        left = max(0, waiting) * average
        if self._current is not None:
            left += max(0.0, average - (now - self._current[1]))
        share = self._budget / self._workloads
        timed = (self._workloads - len(self._stopped)) * share
        if self._timing_since is not None:
            # A launch that does not fit any more is not begun: on average half of one is not spent.
            timed -= min(share, now - self._timing_since + self._last_launch / 2)
        return left + max(0.0, timed)

    def share_done(self, now: float) -> float:
        """Return the part of the whole that is done, from 0 to 1."""
        elapsed = now - self._began
        return elapsed / max(elapsed + self.seconds(now), 1e-9)
