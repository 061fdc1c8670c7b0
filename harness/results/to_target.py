"""How soon a cell reaches its workload's target accuracy, over the seeds that a run trained it with.

Pure functions from the journal's events. A seed that missed the target is censored: only that it takes
more than the workload's steps is known of it. Means are over the others, and come with how many missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.stats import intervals

Event = Mapping[str, Any]


@dataclass(frozen=True)
class SeedCurve:
    """The accuracies of a training with a seed, at the steps and seconds of its evaluations."""

    seed: int
    steps: Sequence[float]
    seconds: Sequence[float]
    accuracies: Sequence[float]

    def reached(self, target: float) -> tuple[float, float] | None:
        """Return the steps and seconds at the first evaluation that is at the target; None without."""
        places = zip(self.steps, self.seconds, self.accuracies, strict=True)
        return next(((step, time) for step, time, score in places if score >= target), None)


def seed_curves(events: Iterable[Event]) -> list[SeedCurve]:
    """Return the trainings of a cell with several seeds, each seed once: the last, if a run went on."""
    curves = {}
    for event in events:
        if event["event"] == "retrained" and (curve := event.get("curve")):
            seed = int(event.get("seed") or 0)
            columns = (curve.get(key) or () for key in ("steps", "seconds", "accuracies"))
            points = [point for point in zip(*columns, strict=False) if None not in point]
            curves[seed] = SeedCurve(seed, *([point[i] for point in points] for i in range(3)))
    return [*curves.values()]


def figures(events: Iterable[Event], target: float | None) -> dict[str, Any]:
    """Return the figures of a cell that was trained to its target; none where it was not.

    Steps and seconds are means over the seeds that reached it, with Student's interval over these.
    """
    curves = seed_curves(events)
    if not curves or not target:
        return {}
    reached = [place for curve in curves if (place := curve.reached(target)) is not None]
    values: dict[str, Any] = {"seeds": len(curves), "seeds_missed": len(curves) - len(reached)}
    for number, column in enumerate(("steps_to_target", "seconds_to_target")):
        mean = intervals.interval([place[number] for place in reached])
        low = float(np.maximum(mean.low, 0.0))  # of few seeds Student's interval may go beyond
        values |= {column: mean.estimate, f"{column}_low": low, f"{column}_high": mean.high}
    return values
