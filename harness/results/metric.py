"""What a metric is: a column of the summary, and how every output shows and compares it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

from harness.text import amount, seconds, whole, yes_no

Part = Literal["estimate", "low", "high", "slices"]

_ENDS: tuple[tuple[Part, str, str], ...] = (("low", "from", "lower"), ("high", "to", "upper"))
"""Both ends of an interval: their part of a speed, and how titles and sentences call them."""


@dataclass(frozen=True)
class EventField:
    """A number in a cell's last journal event of a kind; with `less`, minus that other number of it."""

    kind: str
    key: str
    less: str | None = None

    def read(self, event: Mapping[str, Any]) -> Any:
        """The number in an event of the kind; None where it is missing."""
        value = event.get(self.key)
        if self.less is None or value is None:
            return value
        subtrahend = event.get(self.less)
        return None if subtrahend is None else value - subtrahend


@dataclass(frozen=True)
class Speed:
    """Samples a second of a kind of slices over launches; its 95% bounds, or how many slices count."""

    kind: str
    part: Part = "estimate"


@dataclass(frozen=True)
class Median:
    """The median over a cell's slices of a kind of one of their columns over another."""

    kind: str
    over: str
    under: str


@dataclass(frozen=True)
class Gate:
    """How a check compares a metric.

    `kind`: within rounds, by the speed of its slices. `events`: by launch, by their values. Its
    threshold is `allowance` times the one that is asked for: what is noisier needs more. `unit`: of the
    figures in a check, where it is not the column's.
    """

    kind: str | None = None
    events: tuple[EventField, ...] = ()
    allowance: float = 1.0
    unit: str | None = None


@dataclass(frozen=True)
class Metric:
    """A figure of a cell: a column of `summary.csv`, and how every output shows and compares it.

    name: the word in --metric, check.json, JUnit and baselines.
    title: the heading in Markdown, in HTML and in the legend; `short` is the terminal's.
    unit: of the column's values; `write` makes a text of one, in the unit that the title says.
    meaning: a sentence for docs/reference/run-folder.md.
    type: of the column's values, as JSON Schema calls it.
    source: None where `results.aggregates` or `results.tables` works it out.
    priority: in the tables of reports: 0 is never left out, on a narrow terminal the highest goes first.
        None: in no table; the HTML report shows it on a click on the cell.
    always: the column is in a table even if no cell has a value.
    quality: a score on test data, which has no meaning on synthetic data.
    elsewhere: the name of the metric that stands for it on other devices than the CPU.
    up_to: the column of the other end, of a figure that is a range; `priority` is that of both.
    """

    name: str
    column: str
    title: str
    short: str
    meaning: str
    write: Callable[[float], str] = amount
    unit: str = ""
    better: Literal["higher", "lower"] | None = None
    type: Literal["number", "integer", "boolean"] = "number"
    source: EventField | Speed | Median | None = None
    priority: int | None = None
    always: bool = False
    quality: bool = False
    elsewhere: str | None = None
    up_to: str | None = None
    gate: Gate | None = None
    history: bool = False
    bisect: bool = False
    compare: bool = False

    def text(self, cell: Mapping[Any, Any]) -> str:
        """What a table shows of a cell, a row of the summary: the figure, a range as 2-4, else "-"."""
        ends = [cell[column] for column in (self.column, self.up_to) if column]
        numbers = [float(end) for end in ends if isinstance(end, Real) and math.isfinite(end)]
        return "-".join(dict.fromkeys(map(self.write, numbers))) or "-"

    @property
    def interval(self) -> tuple[str, str] | None:
        """The columns of its 95% bounds, where it has some."""
        if not isinstance(self.source, Speed) or self.source.part != "estimate":
            return None
        return f"{self.source.kind}_low", f"{self.source.kind}_high"

    @property
    def higher_is_better(self) -> bool:
        """Whether more of it is better."""
        return self.better == "higher"

    @property
    def timed(self) -> bool:
        """Whether it is a speed or a time: the machine's state moves it."""
        return self.unit in ("samples/s", "s", "ms")

    @property
    def rule(self) -> Gate:
        """How a check compares it; of what no check compares, a rule that finds no values."""
        return self.gate or Gate()

    @property
    def gate_unit(self) -> str:
        """The unit of its values in a check and in a baseline."""
        return self.unit if self.rule.unit is None else self.rule.unit

    @property
    def shown_unit(self) -> str:
        """The unit in which people read it."""
        return "MiB" if self.unit == "bytes" else self.unit or self.name

    @property
    def scale(self) -> float:
        """What `shown_unit` is in the column's unit."""
        return 2.0**20 if self.unit == "bytes" else 1.0

    @property
    def words(self) -> tuple[str, str]:
        """What a rise is called, and what a fall."""
        if self.timed:
            return ("faster", "slower") if self.higher_is_better else ("slower", "faster")
        return ("more", "less") if self.unit == "bytes" else ("higher", "lower")


def bounds(speed: Metric, priority: int | None = None) -> tuple[Metric, ...]:
    """The rows of a speed's 95% bounds, and of how many slices it rests on."""
    kind, word = speed.column.partition("_")[0], speed.short.partition("/")[0]
    lower, upper = (
        Metric(
            f"{speed.name}-{part}",
            f"{kind}_{part}",
            f"{speed.title}, {preposition} (95%)",
            f"{word} {preposition}",
            f"the {end} end of its 95% interval over launches; empty with one launch",
            unit=speed.unit,
            source=Speed(kind, part),
            priority=priority,
        )
        for part, preposition, end in _ENDS
    )
    slices = Metric(
        f"{speed.name}-slices",
        f"{kind}_slices",
        f"{speed.title}, slices",
        f"{word} slices",
        "how many slices it rests on",
        whole,
        type="integer",
        source=Speed(kind, "slices"),
    )
    return lower, upper, slices


def latency(
    name: str, column: str, what: str, short: str, priorities: tuple[int, int, int]
) -> list[Metric]:
    """The rows of the quantiles of a latency, the median first and under the bare name."""
    return [
        Metric(
            name if part == "p50" else f"{name}-{part}",
            f"{column}_{part}_ms",
            f"latency of {what}, ms, {part}",
            f"{short} {part}",
            f"milliseconds of a prediction of {what}, in the first launch",
            unit="ms",
            better="lower",
            priority=priority,
            compare=part != "p90",
        )
        for part, priority in zip(("p50", "p90", "p99"), priorities, strict=True)
    ]


def ranks() -> tuple[Metric, Metric]:
    """The rows of the best and the worst rank that the pairs leave to a cell."""
    best = Metric(
        "rank",
        "rank",
        "rank",
        "#",
        "the place by training throughput, within workload, device and dtype: 1 and the number of"
        " significantly faster cells; empty with one launch",
        whole,
        better="lower",
        type="integer",
        priority=0,
        up_to="rank_worst",
    )
    worst = Metric(
        "rank-worst",
        "rank_worst",
        "rank, worst",
        "# worst",
        "the last place that it may have: before all significantly slower cells",
        whole,
        better="lower",
        type="integer",
    )
    return best, worst


def to_target() -> list[Metric]:
    """The rows of the target accuracy, and of training to it with several seeds (`results.to_target`)."""
    steps = _mean_to_target("steps", "tgt steps", "", amount)
    return [*_seeds(), *steps, *_mean_to_target("seconds", "tgt s", "s", seconds)]


def _seeds() -> list[Metric]:
    """The rows of whether the target was reached, and with how many seeds."""
    return [
        Metric(
            "reached-target",
            "reached_target",
            "target reached",
            "target",
            "whether the accuracy is at least the workload's target",
            yes_no,
            type="boolean",
            quality=True,
        ),
        Metric(
            "seeds",
            "seeds",
            "seeds",
            "seeds",
            "trainings to the target (`--seeds`)",
            whole,
            type="integer",
            quality=True,
        ),
        Metric(
            "seeds-missed",
            "seeds_missed",
            "seeds that missed the target",
            "missed",
            "those that did not reach it",
            whole,
            better="lower",
            type="integer",
            priority=5,
            quality=True,
        ),
    ]


def _mean_to_target(
    what: str, short: str, unit: str, write: Callable[[float], str]
) -> Iterator[Metric]:
    """The rows of a mean over seeds and of its interval; `what` was spent until the target."""
    name, column, title = f"{what}-to-target", f"{what}_to_target", f"{what} to the target"
    yield Metric(
        name,
        column,
        title,
        short,
        "the mean over the seeds that reached it; too low where some missed it",
        write,
        unit=unit,
        better="lower",
        priority=5,
        quality=True,
    )
    for part, preposition, end in _ENDS:
        yield Metric(
            f"{name}-{part}",
            f"{column}_{part}",
            f"{title}, {preposition} (95%)",
            f"{short} {preposition}",
            f"the {end} end of its 95% interval (Student's, over seeds)",
            write,
            unit=unit,
            priority=9,
            quality=True,
        )
