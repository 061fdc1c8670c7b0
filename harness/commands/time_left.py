"""How long a run will still take, from the events that it has emitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FIRST_GUESS = 4.0
"""Seconds in which a cell is prepared, and in which it is trained, before any was."""

_ENDS_TRAINING = ("launched", "warmed", "cell-failed", "cell-done")
"""Events after which no cell is trained for its score."""


class _Stage:
    """A stage of bringing up: how long a cell takes on average, from its start to the next cell's."""

    def __init__(self) -> None:
        self.cells, self._seconds = 0, 0.0
        self._since: float | None = None

    def begin(self, now: float) -> None:
        """Another cell comes to the stage."""
        self.end(now)
        self.cells, self._since = self.cells + 1, now

    def end(self, now: float) -> None:
        """The last one has left it."""
        if self._since is not None:
            self._seconds, self._since = self._seconds + now - self._since, None

    def left(self, of: int, now: float) -> float:
        """Return the seconds until `of` cells have been through it."""
        completed = self.cells - (self._since is not None)
        average = self._seconds / completed if completed else _FIRST_GUESS
        begun = 0.0 if self._since is None else max(0.0, average - (now - self._since))
        return begun + max(0, of - self.cells) * average


class TimeLeft:
    """Listens to a run's events, each with the time of it in seconds; tells what is left.

    Three parts: preparing the cells that have not begun and training them, each as long as those before
    on average, and the timed launches, until the budget is spent. A workload that stops early gives its
    rest back.
    """

    def __init__(self) -> None:
        self._cells, self._budget, self._workloads = 0, 0.0, 1
        self._prepared, self._trained = _Stage(), _Stage()
        self._timing_since: float | None = None
        self._stopped, self._last_launch = set[str](), 0.0
        self._began, self._last = 0.0, 0.0

    def add(self, event: Mapping[str, Any], now: float) -> None:
        """Take up one event."""
        name = event["event"]
        if name in ("run-started", "run-resumed"):
            self._began = now
            self._cells, self._budget = event["cells"], event.get("budget") or 0.0
            self._workloads = max(1, len(event.get("workloads") or ()))
        if name == "preparing":
            self._prepared.begin(now)
            self._timing_since = None
        elif name == "cell-started":
            self._prepared.end(now)
            self._trained.begin(now)
        elif name in _ENDS_TRAINING:
            self._trained.end(now)
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

    def seconds(self, now: float) -> float:
        """Return about how many seconds are left."""
        left = sum(stage.left(self._cells, now) for stage in (self._prepared, self._trained))
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
