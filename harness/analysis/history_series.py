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

from harness.outcomes import CHANGE
from harness.results import tables
from harness.results.metric import Metric
from harness.results.metrics import BY_NAME
from harness.stats import intervals
from harness.stats.changepoints import change_points

FEWEST = 4
"""Runs that a series needs before it can show a change: two before and two after."""

KEY = (
    "workload",
    "name",
    "mode",
    "device",
    "dtype",
    "ground",
    "fingerprint",
    "threads",
    "data",
    "quick",
    "no_parity",
)
"""What the runs of a series have in common."""

CELL = KEY[:5]
"""What a cell is, whatever the framework's version, the machine and the settings."""

_NEVER_BEGAN = (tables.UNAVAILABLE, tables.SKIPPED, tables.NOT_RUN)
_POLISHES = 10


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
    frameworks that it was held against, and `net` then is the value over that of its first level without
    what moved all of them. `about` is what is common to its runs, as the history's columns.
    """

    cell: str
    points: pd.DataFrame
    changes: tuple[Change, ...]
    against: tuple[str, ...]
    about: Mapping[str, object]


def series(table: pd.DataFrame, metric: Metric) -> list[Series]:
    """Return every series of a metric in the history's table; the reference's are none."""
    cells = _valued(table, metric)
    lines = [
        _series(group, cells, metric)
        for _, group in cells[~cells["reference"]].groupby(
            [*KEY, *(["steps"] if metric.quality else [])], sort=False, dropna=False
        )
        if group["value"].notna().any()
    ]
    first = {line.cell: place for place, line in reversed(list(enumerate(lines)))}
    return sorted(lines, key=lambda line: first[line.cell])


def levels(series: Series) -> Iterator[tuple[int, int]]:
    """Yield the first place and the one behind the last of every level of a series."""
    yield from pairwise([0, *(change.place for change in series.changes), len(series.points)])


def _valued(table: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Return the cells that began, with `value`, `low`, `high`, and `y`, in which steps add up."""
    cells = table[~table["status"].isin(_NEVER_BEGAN)].copy()
    ok = cells["status"] == tables.OK
    value = _floats(cells[metric.column])
    if metric.elsewhere:
        gpu_value = _floats(cells[BY_NAME[metric.elsewhere].column])
        value = value.where(cells["device"] == "cpu", gpu_value)
    cells["value"] = value.where(ok & ((value > 0) | metric.quality))
    for name, column in zip(("low", "high"), metric.interval or (), strict=False):
        cells[name] = _floats(cells[column]).where(ok)
    cells["y"] = cells["value"] if metric.quality else np.log(cells["value"])
    # A run that failed took no steps: it stands with the one before it, or the one after.
    steps = _floats(cells["steps"]).groupby([cells[name] for name in KEY], dropna=False)
    cells["steps"] = steps.transform(lambda series: series.ffill().bfill())
    return cells[~ok | cells["value"].notna()].reindex(
        columns=[*cells.columns, *({"low", "high"} - set(cells.columns))]
    )


def _floats(column: pd.Series) -> pd.Series:
    return pd.to_numeric(column, errors="coerce").astype(float)


def _series(cells: pd.DataFrame, table: pd.DataFrame, metric: Metric) -> Series:
    points = cells.iloc[_order(cells)].reset_index(drop=True)
    about = {name: points[name].iloc[-1] for name in (*KEY, "machine")}
    valued = points[points["value"].notna()]
    controls = _controls(valued, table) if metric.timed else valued[[]]
    valued = valued.loc[controls.index]
    y = valued["y"].to_numpy() - _together(controls)
    places = _places(valued, y, controls, metric) if about["fingerprint"] else []
    net = np.exp(y - np.median(y[: (*places, y.size)[0]])) if controls.shape[1] else np.nan
    return Series(
        cell="/".join(str(about[part]) for part in CELL),
        points=points.assign(net=pd.Series(net, valued.index)),
        changes=tuple(
            Change(
                place=int(valued.index[place]),
                size=size,
                word=metric.words[0] if size > 0 else metric.words[1],
                better=(size > 0) == metric.higher_is_better,
            )
            for place, size in zip(places, _sizes(y, places), strict=True)
        ),
        against=tuple(map(str, controls.columns)),
        about=about,
    )


def _order(points: pd.DataFrame) -> list[int]:
    """Return the order of the points: a version's stand together, where its first run was."""
    version = points["version"].fillna("").astype(str)
    turn = pd.Series(pd.factorize(points["run"])[0], points.index)
    first = turn.groupby(version).transform("min")
    numbers = [tuple(map(int, re.findall(r"\d+", text))) for text in version]
    keys = list(zip(first, numbers, version, turn, strict=True))
    return sorted(range(len(keys)), key=lambda place: keys[place])


def _controls(points: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return how far from its usual each other framework (a column) was, for each point that has others.

    By median polish over cells (Tukey 1977), a vote a framework: runs need not have the same cells. All
    points and no column where fewer than half of them, or than FEWEST, have others.
    """
    newest = points.iloc[0]
    rivals = table[
        table["run"].isin(points["run"])
        & (table["ground"] == newest["ground"])
        & (table["device"] == newest["device"])
        & (table["name"] != newest["name"])
        & table["y"].notna()
    ]
    compared = points[points["run"].isin(rivals["run"])]
    if len(compared) < max(FEWEST, len(points) / 2):
        return points[[]]
    wide = rivals.pivot_table(index="run", columns=["name", "cell"], values="y")
    together = pd.Series(0.0, wide.index)
    for _ in range(_POLISHES):
        usual = wide.sub(together, axis=0).median()
        controls = wide.sub(usual, axis=1).T.groupby(level="name").median().T
        together = controls.median(axis=1)
    return controls.loc[compared["run"]].set_index(compared.index)


def _together(controls: pd.DataFrame) -> NDArray[np.float64]:
    """Return how far all moved together, point by point; 0 where there is no control."""
    return controls.median(axis=1).to_numpy() if controls.shape[1] else np.zeros(len(controls))


def _places(
    points: pd.DataFrame, y: NDArray[np.float64], controls: pd.DataFrame, metric: Metric
) -> list[int]:
    """Return where `y` changes; without the changes, the smallest first, that are not worth telling."""
    places = change_points(y)
    while places:
        odd = [
            (abs(size), place)
            for size, place, part in zip(
                _sizes(y, places), places, _parts(places, y.size), strict=True
            )
            if not (_worth(points, size, part, metric) and _its_own(points, controls, size, part))
        ]
        if not odd:
            break
        places.remove(min(odd)[1])
    return places


def _parts(places: Sequence[int], count: int) -> list[tuple[slice, slice]]:
    """Return, of each change, what is before it and what is after it up to the next ones."""
    ends = [0, *places, count]
    return [(slice(a, b), slice(b, c)) for a, b, c in zip(ends, ends[1:], ends[2:], strict=False)]


def _sizes(y: NDArray[np.float64], places: Sequence[int]) -> list[float]:
    return [
        float(np.median(y[after]) - np.median(y[before]))
        for before, after in _parts(places, y.size)
    ]


def _worth(points: pd.DataFrame, size: float, part: tuple[slice, slice], metric: Metric) -> bool:
    """Say whether a change is large enough to report; of accuracy, for its number of test examples."""
    if not metric.quality:
        return abs(size) >= CHANGE.relative
    sides = [points.iloc[side] for side in part]
    shares = [(float(side["value"].mean()), int(side["examples"].min() or 0)) for side in sides]
    if abs(size) < CHANGE.points or not all(examples for _, examples in shares):
        return False
    return intervals.share_change(shares[0], shares[1])[1] < 1 - intervals.LEVEL


def _its_own(
    points: pd.DataFrame, controls: pd.DataFrame, size: float, part: tuple[slice, slice]
) -> bool:
    """Say whether a change shows against most of the others, and so is not that of one of them."""
    steps = controls.rsub(points["y"], axis=0)
    before, after = (steps.iloc[side].median() for side in part)
    seen = ((after - before).dropna() / size) >= 0.5
    return bool(seen.mean() > 0.5) if len(seen) else True
