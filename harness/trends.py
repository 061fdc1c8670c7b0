"""How a figure went over runs and versions, and where it changed. Pure functions on the history's table.

A series is one cell on machines that are alike, computing the same thing with the same settings:
nothing else is ever joined. Machines drift from day to day, and that is in no run's interval. So a speed
is looked at beside those of the run's other frameworks: what moves all of them is the machine's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness import statistics, summaries
from harness.levels import change_points

FEWEST = 4
"""Runs that a series needs before it can show a change: two before and two after."""

WORTH, POINTS = 0.01, 0.01
"""The least change that is told: this part of the figure, or these of accuracy."""

KEY = (
    "workload", "name", "mode", "device", "dtype", "ground", "fingerprint", "threads", "data", "quick",
    "unproved",
)  # fmt: skip
"""What the runs of a series have in common."""

CELL = KEY[:5]
"""What a cell is, whatever the framework's version, the machine and the settings."""

_NEVER_BEGAN = (summaries.UNAVAILABLE, summaries.SKIPPED, summaries.NOT_RUN)
_POLISHES = 10


@dataclass(frozen=True)
class Metric:
    """A figure of the summary, by its columns; `rises` and `falls` are what its changes are called.

    `shared`: a slow machine moves those of all cells. `share`: a part of one, compared by differences
    where others are by ratios.
    """

    column: str
    rises: str
    falls: str
    more_is_better: bool
    bounds: tuple[str, str] | None = None
    shared: bool = False
    share: bool = False
    elsewhere: str | None = None  # the column for other devices than the CPU, if it is another one


METRICS: Mapping[str, Metric] = {
    "throughput": Metric(
        "train_samples_per_s", "faster", "slower", True, ("train_low", "train_high"), shared=True
    ),
    "predict": Metric(
        "predict_samples_per_s", "faster", "slower", True, ("predict_low", "predict_high"), shared=True
    ),
    "memory": Metric("peak_memory_bytes", "more", "less", False, elsewhere="device_peak_bytes"),
    "accuracy": Metric("accuracy", "higher", "lower", True, share=True),
    "latency": Metric("latency1_p50_ms", "slower", "faster", False, shared=True),
    "first-step": Metric("first_step_s", "slower", "faster", False, shared=True),
}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """A new level, from the point at `place` on.

    `size` is the logarithm of new over old, of accuracy new minus old; against the other frameworks
    where the series has some.
    """

    place: int
    size: float
    word: str
    better: bool


@dataclass(frozen=True)
class Series:
    """A cell's figure over runs: `points` has a row a run, those that failed too (without `value`).

    They are in the order of the versions' first runs, and within a version of time. `against` are the
    frameworks that it was held against; `about` what is common to its runs, as the history's columns.
    """

    cell: str
    points: pd.DataFrame
    changes: tuple[Change, ...]
    against: tuple[str, ...]
    about: Mapping[str, object]


def series(table: pd.DataFrame, metric: Metric) -> list[Series]:
    """Return every series of a metric in the history's table; the arbiter's are none."""
    told = _valued(table, metric)
    found = [_series(own, told, metric) for _, own in told[~told["arbiter"]].groupby(
        [*KEY, *(["steps"] if metric.share else [])], sort=False, dropna=False
    ) if own["value"].notna().any()]  # fmt: skip
    first = {one.cell: place for place, one in reversed(list(enumerate(found)))}
    return sorted(found, key=lambda one: first[one.cell])


def levels(one: Series) -> Iterator[tuple[int, int]]:
    """Yield the first place and the one behind the last of every level of a series."""
    yield from pairwise([0, *(change.place for change in one.changes), len(one.points)])


def _valued(table: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Return the cells that began, with `value`, `low`, `high`, and `y`, in which steps add up."""
    told = table[~table["status"].isin(_NEVER_BEGAN)].copy()
    ok = told["status"] == summaries.OK
    value = _floats(told[metric.column])
    if metric.elsewhere:
        value = value.where(told["device"] == "cpu", _floats(told[metric.elsewhere]))
    told["value"] = value.where(ok & ((value > 0) | metric.share))
    for name, column in zip(("low", "high"), metric.bounds or (), strict=False):
        told[name] = _floats(told[column]).where(ok)
    told["y"] = told["value"] if metric.share else np.log(told["value"])
    told["steps"] = told.groupby(list(KEY), dropna=False)["steps"].transform(
        lambda steps: (
            steps.ffill().bfill()
        )  # of a run that failed: none; it stands with the last one
    )
    return told[~ok | told["value"].notna()].reindex(
        columns=[*told.columns, *({"low", "high"} - set(told.columns))]
    )


def _floats(column: pd.Series) -> pd.Series:
    return pd.to_numeric(column, errors="coerce").astype(float)


def _series(own: pd.DataFrame, told: pd.DataFrame, metric: Metric) -> Series:
    points = own.iloc[_order(own)].reset_index(drop=True)
    about = {name: points[name].iloc[-1] for name in (*KEY, "machine")}
    known = points[points["value"].notna()]
    votes = pd.DataFrame(index=known["run"].unique())
    if metric.shared:
        votes = _votes(known, told)
    changes = _changes(known, votes, metric) if about["fingerprint"] else []
    return Series(
        cell="/".join(str(about[part]) for part in CELL),
        points=points,
        changes=tuple(changes),
        against=tuple(map(str, votes.columns)),
        about=about,
    )


def _order(points: pd.DataFrame) -> list[int]:
    """Return the order of the points: a version's stand together, where its first run was."""
    version = points["version"].fillna("").astype(str)
    turn = pd.Series(pd.factorize(points["run"])[0], points.index)
    first = turn.groupby(version).transform("min")
    numbers = [tuple(map(int, re.findall(r"\d+", one))) for one in version]
    keys = list(zip(first, numbers, version, turn, strict=True))
    return sorted(range(len(keys)), key=lambda place: keys[place])


def _votes(known: pd.DataFrame, told: pd.DataFrame) -> pd.DataFrame:
    """Return how far from its usual each other framework (a column) was in each run (a row).

    By median polish over cells (Tukey 1977), a vote a framework: runs need not have the same cells. No
    columns where fewer than half of the runs, or than FEWEST, have others.
    """
    mine = known.iloc[0]
    others = told[
        told["run"].isin(known["run"])
        & (told["ground"] == mine["ground"])
        & (told["device"] == mine["device"])
        & (told["name"] != mine["name"])
        & told["y"].notna()
    ]
    runs = known["run"].unique()
    wide = others.pivot_table(index="run", columns=["name", "cell"], values="y").reindex(runs)
    if wide.notna().any(axis=1).sum() < max(FEWEST, len(runs) / 2):
        return pd.DataFrame(index=runs)
    moved = pd.Series(0.0, wide.index)
    for _ in range(_POLISHES):
        usual = wide.sub(moved, axis=0).median()
        votes = wide.sub(usual, axis=1).T.groupby(level="name").median().T
        moved = votes.median(axis=1)
    return votes


def _changes(known: pd.DataFrame, votes: pd.DataFrame, metric: Metric) -> list[Change]:
    """Return the changes of a series' known points; `place` is among all of them."""
    beside = votes.reindex(known["run"]).to_numpy()
    y, heard = known["y"].to_numpy(), np.arange(len(known))
    if beside.shape[1]:
        heard = heard[np.isfinite(beside).any(axis=1)]
        y, beside = y[heard], beside[heard]
    own = y - _middle(beside)
    places = change_points(own)
    while places:
        sizes = [_size(own, part) for part in _parts(places, len(own))]
        worth = [
            _worth(known.iloc[heard], size, part, metric) and _its_own(y, beside, size, part)
            for size, part in zip(sizes, _parts(places, len(own)), strict=True)
        ]
        if all(worth):
            break
        drop = min((abs(size), at) for at, size in enumerate(sizes) if not worth[at])[1]
        del places[drop]
    return [
        Change(
            place=int(known.index[heard[place]]),
            size=size,
            word=metric.rises if size > 0 else metric.falls,
            better=(size > 0) == metric.more_is_better,
        )
        for place, size in zip(places, sizes if places else [], strict=True)
    ]


Part = tuple[slice, slice]
"""The values before a change and those after it, up to the next ones."""


def _parts(places: Sequence[int], count: int) -> list[Part]:
    ends = [0, *places, count]
    return [(slice(a, b), slice(b, c)) for a, b, c in zip(ends, ends[1:], ends[2:], strict=False)]


def _size(values: NDArray[np.float64], part: Part) -> float:
    before, after = part
    return float(values[after].mean() - values[before].mean())


def _middle(votes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far all moved together, run by run; 0 where nobody votes."""
    if not votes.shape[1]:
        return np.zeros(len(votes))
    return np.asarray(np.nanmedian(votes, axis=1))


def _worth(points: pd.DataFrame, size: float, part: Part, metric: Metric) -> bool:
    """Say whether a change is large enough to tell; of accuracy, on that many test examples too."""
    if not metric.share:
        return abs(size) >= WORTH
    sides = [points.iloc[side] for side in part]
    shares = [(float(one["value"].mean()), int(one["examples"].min() or 0)) for one in sides]
    if abs(size) < POINTS or not all(examples for _, examples in shares):
        return False
    return statistics.share_change(shares[0], shares[1])[1] < 1 - statistics.LEVEL


def _its_own(y: NDArray[np.float64], votes: NDArray[np.float64], size: float, part: Part) -> bool:
    """Say whether a change shows against most of the others, and is not that of one of them."""
    steps = [
        float(np.nanmean(theirs[part[1]]) - np.nanmean(theirs[part[0]]))
        for theirs in (y[:, None] - votes).T
        if all(np.isfinite(theirs[side]).any() for side in part)
    ]
    return 2 * sum(step / size >= 0.5 for step in steps) > len(steps) or not steps
