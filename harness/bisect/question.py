"""What is asked of a release, and how a measurement answers it: which side is it nearer to?

Statistics are the gate's: values by launch, Student's interval, widened by what identical cells came
out apart by, at a level that holds for repeated looks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.gate.decide import accuracy_change
from harness.gate.evaluate import LEVEL
from harness.machine import devices
from harness.outcomes import CHANGE, INCONCLUSIVE
from harness.results import store
from harness.results.launches import Measures
from harness.results.metric import Metric
from harness.results.metrics import ACCURACY, BY_NAME, IN_BISECT
from harness.runner import plan
from harness.stats import intervals
from harness.text import percent

GOOD, BAD = "good", "bad"
"""What a release in the middle is nearer to; inconclusive where neither is sure."""

CHANGED, UNCHANGED = "changed", "unchanged"
"""What came of two releases side by side; inconclusive where neither is sure."""


@dataclass(frozen=True)
class Question:
    """What was asked; a log answers one question. Releases are as the index writes them."""

    framework: str
    good: str
    bad: str
    metric: str
    workload: str
    mode: str
    device: str
    threads: int
    budget: float

    @property
    def measured(self) -> Metric:
        """The metric, or the one that stands for it on the device."""
        metric, on_card = IN_BISECT[self.metric], devices.kind(self.device) != devices.CPU
        return BY_NAME[metric.elsewhere] if metric.elsewhere and on_card else metric

    def cell(self, release: str) -> str:
        """The id of a release's cell."""
        label = f"{self.framework}@{release}"
        return plan.Cell(self.workload, label, self.mode, self.device, "float32").id


@dataclass(frozen=True)
class Difference:
    """By how much a release is better than another: a logarithm, or a difference of accuracies.

    The interval is NaN below two launches. `count` is of launches, or of trainings.
    """

    mean: float
    low: float
    high: float
    count: int

    @property
    def sign(self) -> int:
        """1 for certainly better, -1 for certainly worse, else 0."""
        return int(self.low > 0) - int(self.high < 0)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {k: v if math.isfinite(v) else None for k, v in asdict(self).items()}

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Difference:
        """From JSON."""
        mean, low, high = (
            math.nan if fields[key] is None else float(fields[key])
            for key in ("mean", "low", "high")
        )
        return cls(mean, low, high, fields["count"])


def better(
    records: Sequence[store.Record], question: Question, release: str, *bases: str
) -> Difference:
    """Return by how much a release was better than others, in the mean of these."""
    metric, runs = question.measured, [Measures(record) for record in records]
    head, base_cells = question.cell(release), [question.cell(base) for base in bases]
    if metric is ACCURACY:
        return _more_accurate(runs[-1], head, base_cells)
    logs = np.concatenate(
        [np.mean([run.pair(metric, head, base) for base in base_cells], axis=0) for run in runs]
    )
    floor = max(run.floor(metric, head) for run in runs)
    ratio = intervals.ratio(logs, floor, LEVEL)
    mean, low, high = (
        math.log(value) if value > 0 else math.nan
        for value in (ratio.estimate, ratio.low, ratio.high)
    )
    return Difference(mean, low, high, ratio.launches)


def side(
    records: Sequence[store.Record],
    question: Question,
    release: str,
    ends: tuple[str, str],
    change: Difference,
) -> tuple[str, Difference]:
    """Say which of two ends, the good and the bad one, a release is nearer to; with the evidence.

    `change` is by how much the bad end is better, whose sign alone matters. The evidence is how the
    release stands to the middle of both. Where that is not sure, but the release is surely apart from
    both, a part of the change came on either side of it: then the nearer one by what is known will do.
    """
    good, bad = ends
    up = 1 if change.mean > 0 else -1
    lean = better(records, question, release, good, bad)
    apart = better(records, question, release, good), better(records, question, bad, release)
    if not lean.sign and any(difference.sign != up for difference in apart):
        return INCONCLUSIVE, lean
    return (BAD if lean.mean * up > 0 else GOOD), lean


def moved(change: Difference) -> str:
    """Say whether two releases differ."""
    least = CHANGE.relative  # as a logarithm; a point of accuracy is as much
    if change.sign and abs(change.mean) > least:
        return CHANGED
    return UNCHANGED if max(-change.low, change.high) < least else INCONCLUSIVE


def in_words(question: Question, change: Difference) -> str:
    """Say how the metric moved: throughput fell by 11% (9.0% to 13%)."""
    metric, name = question.measured, question.metric.replace("-", " ")
    values = [change.mean, change.low, change.high]
    if metric is not ACCURACY:
        values = [math.expm1(value if metric.higher_is_better else -value) for value in values]
    way = "fell" if values[0] < 0 else "rose"
    size, *bounds = (abs(values[0]), *sorted(v if way == "rose" else -v for v in values[1:]))
    write = "{:.4f}".format if metric is ACCURACY else _percent
    has_interval = all(map(math.isfinite, bounds))
    return f"{name} {way} by {write(size)}" + (
        f" ({write(bounds[0])} to {write(bounds[1])})"
        if has_interval
        else " (one launch, no interval)"
    )


def _percent(value: float) -> str:
    return percent(value) if value >= 0 else f"-{percent(-value)}"


def _more_accurate(seen: Measures, head: str, bases: Sequence[str]) -> Difference:
    """Over the test examples of every training; the releases trained with the same seeds."""
    rights = [seen.cells[cell].correct for cell in (head, *bases)]
    seeds = sorted(set[int].intersection(*map(set, rights)))
    if not seeds:
        return Difference(math.nan, math.nan, math.nan, 0)
    of_head, *of_bases = [
        [np.asarray(by_seed[seed], dtype=float) for seed in seeds] for by_seed in rights
    ]
    before: list[NDArray] = [np.mean(both, axis=0) for both in zip(*of_bases, strict=True)]
    change = accuracy_change(head, bases[0], before, of_head, LEVEL).change
    return Difference(change.estimate, change.low, change.high, change.launches)
