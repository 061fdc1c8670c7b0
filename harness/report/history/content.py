"""What is said of a figure over stored runs, whatever the format; and as JSON and as CSV."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import pandas as pd

from harness.analysis import history_series
from harness.analysis.history_series import Change, Series
from harness.report import formats, provenance
from harness.report.content import Tone
from harness.results import serialise, store
from harness.results.metric import Metric
from harness.results.metrics import IN_HISTORY
from harness.results.tables import OK, number
from harness.text import count, listed, percent, plain
from harness.verdicts import UNDECIDED

SCHEMA = 3
"""Raised when a reader of the last schema would misread the JSON (schema/history.schema.json)."""

POINT = (
    "run",
    "started",
    "version",
    "samestep",
    "git_commit",
    "status",
    "reason",
    "value",
    "low",
    "high",
    "net",
)
"""The fields of a run of a series in JSON and CSV."""

COLUMNS = ("cell", *history_series.KEY[5:], *POINT, "change")
"""The columns of the CSV."""

HOW = (
    "A dot is a run, a bar its 95% interval, which knows nothing of how the machine drifts from run to"
    " run. Changes are found in how the runs scatter. Machines that are not alike are never joined."
)

NET = (
    "Machine-adjusted: without the change that the run's other frameworks have in common, which is the"
    " machine's; relative to the first level. Changes are looked for there."
)

ALONE = "Runs of a single framework cannot distinguish its changes from the machine's."

_LASTING = ("cpu", "cores_usable", "cores_logical", "memory_total", "memory_limit", "os", "gpus")


@dataclass(frozen=True)
class History:
    """Series to show, by `title`; those of a cell stand together."""

    name: str
    metric: Metric
    title: str
    series: tuple[Series, ...]

    @property
    def caption(self) -> str:
        """How to read it."""
        beside = {bool(series.against) for series in self.series if self.metric.timed}
        return " ".join(
            [HOW, *([NET] if True in beside else []), *([ALONE] if False in beside else [])]
        )

    def write(self, value: float) -> str:
        """A value as a text."""
        return self.metric.write(value)


def build(table: pd.DataFrame, name: str, pattern: str | None) -> History:
    """Return a metric's series of the cells whose name has `pattern` in it (with *, ? as in a shell).

    Raises StoreError where there are none.
    """
    metric = IN_HISTORY[name]
    all_series = history_series.series(table, metric)
    if not all_series:
        raise store.StoreError(f"no stored run has {metric.title}")
    chosen = [series for series in all_series if pattern is None or _matches(series, pattern)]
    if not chosen:
        cells = list(dict.fromkeys(series.cell for series in all_series))
        raise store.StoreError(f'no cell has "{pattern}" in its name; there are {listed(cells)}')
    return History(name, metric, metric.title, tuple(chosen))


def _matches(series: Series, pattern: str) -> bool:
    return any(fnmatchcase(cell, f"*{pattern}*") for cell in (series.cell, *series.points["cell"]))


def label(history: History, series: Series) -> str:
    """What distinguishes a series from others of its cell: the machine, and how it was used."""
    about = series.about
    described = json.loads(str(about["machine"]))
    machine = provenance.machine({key: described.get(key) for key in _LASTING})
    alike = [sibling.about["ground"] for sibling in history.series if sibling.cell == series.cell]
    words = [
        machine,
        f"threads {about['threads']:g}" if number(about["threads"]) else "",
        "synthetic data" if about["data"] == "synthetic" else "",
        "quick runs" if about["quick"] else "",
        "numerical equivalence was not checked" if about["no_parity"] else "",
        f"computation {about['ground']}" if len(set(alike)) > 1 else "",
        "" if about["fingerprint"] else "machine not identified: no change-point analysis",
    ]
    return plain(", ".join(filter(None, words)))


def brief(history: History, change: Change) -> str:
    """A change in three words: slower by 12%."""
    if history.metric.quality:
        return f"{change.word} by {abs(change.size):.4f}"
    return f"{change.word} by {percent(abs(math.expm1(change.size)))}"


def sentence(history: History, series: Series, change: Change) -> str:
    """A change in words: slower by 12% since 2.13.0 (run 20261124T063012Z-1f3a)."""
    before, after = (series.points.iloc[place] for place in (change.place - 1, change.place))
    since = f"run {after['run']}"
    if after["version"] and after["version"] != before["version"]:
        since = f"{after['version']} ({since})"
    beside = f" against {series.against[0]} alone" if len(series.against) == 1 else ""
    maybe = " (or the machine changed)" if history.metric.timed and not series.against else ""
    return plain(f"{brief(history, change)}{beside} since {since}{maybe}")


def fate(point: Mapping[Any, Any] | pd.Series) -> str:
    """Why a run has no value: its cell's status, or what is undecided; nothing where it is ok."""
    if point["status"] == OK:
        return ""
    return plain(point["reason"] if point["status"] == UNDECIDED else point["status"])


def made_by(point: Mapping[Any, Any] | pd.Series) -> str:
    """The version and the commit of the samestep that made a run: 0.1.0 3f1c9a7."""
    return plain(f"{point['samestep'] or ''} {commit(point)}")


def commit(point: Mapping[Any, Any] | pd.Series) -> str:
    """A run's commit in short; a "+" says that files differed from it."""
    revision = plain(point["git_commit"] or "")
    return revision[:7] + "+" * revision.endswith("+")


def net(value: float) -> str:
    """A machine-adjusted value relative to the first level's: -9.4%."""
    return f"{value - 1:+.1%}" if pd.notna(value) else "-"


def tone(change: Change) -> Tone:
    """How a change stands."""
    return "good" if change.better else "bad"


def verdict(history: History) -> tuple[Tone, str]:
    """What was found altogether."""
    changes = [change for series in history.series for change in series.changes]
    long = [
        series
        for series in history.series
        if series.points["value"].notna().sum() >= history_series.FEWEST
    ]
    if not long:
        return "off", f"no series has the {history_series.FEWEST} runs that a change takes"
    worse = sum(not change.better for change in changes)
    summary = f"{count(len(changes), 'change')} in {count(len(long), 'series', 'series')}"
    few = len(history.series) - len(long)
    summary += f" (and {few} of fewer than {history_series.FEWEST} runs)" if few else ""
    return ("bad" if worse else "good"), summary


def document(history: History) -> str:
    """Return the series as JSON."""
    fields = {
        "schema": SCHEMA,
        "metric": history.name,
        "figure": history.metric.column,
        "series": [
            {
                "cell": series.cell,
                **{key: series.about[key] for key in history_series.KEY},
                "against": series.against,
                "points": series.points[list(POINT)].to_dict("records"),
                "changes": [_change_fields(history, series, change) for change in series.changes],
            }
            for series in history.series
        ],
    }
    return json.dumps(serialise.strict(fields), indent=2, allow_nan=False) + "\n"


def _change_fields(history: History, series: Series, change: Change) -> dict[str, Any]:
    point = series.points.iloc[change.place]
    return {
        "run": point["run"],
        "version": point["version"],
        "change": _size(history, change),
        "word": change.word,
        "better": change.better,
    }


def _size(history: History, change: Change) -> float:
    """New over old, of accuracy new minus old."""
    return change.size if history.metric.quality else math.exp(change.size)


def csv(history: History) -> str:
    """Return the series as CSV, a row a run."""
    tables = []
    for series in history.series:
        sizes = {change.place: _size(history, change) for change in series.changes}
        table = series.points.assign(cell=series.cell, change=pd.Series(sizes, dtype=float))
        tables.append(table[list(COLUMNS)])
    return formats.csv(tables)
