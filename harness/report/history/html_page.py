"""A figure over stored runs as an HTML page: a plot a cell, runs as dots over time. No markup here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis import history_series
from harness.analysis.history_series import Change, Series
from harness.report.content import Tone
from harness.report.history import content
from harness.report.history.content import History
from harness.report.html import renderer
from harness.report.html.figure import Figure, Trace, log_axis, upright
from harness.report.html.style import COLOURS, SYMBOLS, Style, text
from harness.results import identity
from harness.text import count, plain

MOST = 100
"""The runs of a series that its table has; the plot has all."""

HEADS = (
    "run",
    "date (UTC)",
    "version",
    "samestep",
    "value",
    "95% interval",
    "machine-adjusted",
    "",
)

_FAR = 4  # from this ratio on between the largest value and the least the axis is logarithmic

_ADJUSTED_AXIS = {
    "title": {"text": "machine-adjusted"},
    "domain": [0, 0.28],
    "tickformat": "+.0%",
    "nticks": 4,
}


@dataclass(frozen=True)
class Sheet:
    """The runs of a series as texts; of a change before them, its `tone` and its words."""

    title: str
    rows: list[tuple[tuple[Tone, str] | None, tuple[str, ...]]]
    left_out: str


@dataclass(frozen=True)
class Part:
    """A workload's cells: each its plot, by its key on the page, and its runs."""

    key: str
    title: str
    plots: list[tuple[str, Figure, list[Sheet]]]


@dataclass(frozen=True)
class Page:
    """The whole page; `changes` have the key of their plot."""

    title: str
    verdict: tuple[Tone, str]
    changes: list[tuple[Tone, str, str]]
    parts: list[Part]
    caption: str
    heads: tuple[str, ...]
    data: dict[str, Any]


def write(history: History, results: Path, pattern: str | None) -> Path:
    """Write the page into `results`, and return its path. Raises StoreError."""
    suffix = f"-{renderer.short(pattern)}" if pattern else ""
    path = results / renderer.REPORTS / f"history-{history.name}{suffix}.html"
    return renderer.put(render(history), path)


def render(history: History) -> str:
    """Return the page."""
    built = build(history)
    return renderer.fill("history.html", built, built.data)


def build(history: History) -> Page:
    """Return the page's contents."""
    looks = _looks(history.series)
    parts: list[Part] = []
    changes: list[tuple[Tone, str, str]] = []
    cells = groupby(history.series, key=lambda series: series.cell)
    series_by_cell = [(cell, list(cell_series)) for cell, cell_series in cells]
    for place, (workload, workload_cells) in enumerate(
        groupby(series_by_cell, key=lambda entry: entry[1][0].about["workload"])
    ):
        plots = []
        for number, (cell, cell_series) in enumerate(workload_cells):
            key = f"h{place}-{number}"
            figure = _figure(history, plain(cell), cell_series, looks)
            plots.append((key, figure, [_sheet(history, series) for series in cell_series]))
            changes += [
                (
                    content.tone(change),
                    key,
                    f"{plain(cell)}: {content.sentence(history, series, change)}",
                )
                for series in cell_series
                for change in series.changes
            ]
        parts.append(Part(f"h{place}", plain(workload), plots))
    figures = {key: figure.table() for part in parts for key, figure, _ in part.plots}
    return Page(
        title=f"History of {history.title}",
        verdict=content.verdict(history),
        changes=changes,
        parts=parts,
        caption=history.caption,
        heads=HEADS,
        data={"figures": figures},
    )


def _looks(all_series: Sequence[Series]) -> dict[object, Style]:
    """A colour and a symbol for each machine."""
    machines = dict.fromkeys(series.about["fingerprint"] for series in all_series)
    return {
        name: Style(
            f"--c{(4 + 3 * place) % COLOURS}", SYMBOLS[(2 + 2 * place) % len(SYMBOLS)], "solid"
        )
        for place, name in enumerate(machines)
    }


def _figure(
    history: History, title: str, cell_series: Sequence[Series], looks: Mapping[object, Style]
) -> Figure:
    axis, low = _axis(history, cell_series)
    traces: list[Trace] = []
    lines: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    for series in cell_series:
        look = looks[series.about["fingerprint"]]
        traces += [*_levels(history, series, look), *_dots(history, series, look, low)]
        for change in series.changes:
            line, note = _change(history, series, change)
            lines.append(line)
            notes.append(note)
    adjusted = any(series.against for series in cell_series)
    layout: dict[str, Any] = {
        "height": 400 if adjusted else 300,
        "xaxis": {"type": "date", "nticks": 5},
        "yaxis": axis | {"domain": [0.36, 0.94] if adjusted else [0, 0.93]},
        "shapes": lines,
        "annotations": notes,
    }
    if adjusted:
        layout["yaxis2"] = _ADJUSTED_AXIS
        layout["xaxis"]["anchor"] = "y2"
    keys = [
        (content.label(history, series), looks[series.about["fingerprint"]])
        for series in cell_series
    ]
    return Figure(title, f"{history.title}, run by run.", traces, layout, keys)


def _axis(history: History, cell_series: Sequence[Series]) -> tuple[dict[str, Any], float]:
    """The axis of the figure's values, and the least that lies on it."""
    columns = ["value", "low", "high"]
    bounds = pd.concat([series.points[columns] for series in cell_series]).to_numpy(float)
    bounds /= history.metric.scale
    low, high = float(np.nanmin(bounds)), float(np.nanmax(bounds))
    unit = history.metric.shown_unit
    if low > 0 and high > _FAR * low:
        return log_axis([low, high], unit), low
    return {"title": {"text": unit}, "range": _wide(low, high)}, low


def _change(
    history: History, series: Series, change: Change
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A change's dotted line, and its note above the line."""
    place = _when(series.points.iloc[change.place])
    colour = f"--{content.tone(change)}"
    line = upright(place, colour, width=1.5)
    note = {
        "x": place,
        "y": 1,
        "yref": "paper",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"color": colour, "size": 11},
        "text": text(content.brief(history, change)),
    }
    return line, note


def _levels(history: History, series: Series, look: Style) -> Iterator[Trace]:
    """A line through every level, at its median."""
    for begin, end in history_series.levels(series):
        level = series.points.iloc[begin:end]
        times = sorted(map(_when, level.to_dict("records")))
        for values, axis in (
            (level["value"] / history.metric.scale, "y"),
            (level["net"] - 1, "y2"),
        ):
            if values.notna().any():
                usual = _number(values.median())
                yield {
                    "x": [times[0], times[-1]],
                    "y": [usual, usual],
                    "mode": "lines",
                    "yaxis": axis,
                    "line": {"color": look.colour, "width": 1.5},
                    "opacity": 0.5,
                    "hoverinfo": "skip",
                    "meta": [],
                }


def _dots(history: History, series: Series, look: Style, floor: float) -> Iterator[Trace]:
    """The runs: values with their bars, the same machine-adjusted, and those that failed on the floor."""
    points, scale = series.points, history.metric.scale
    measured, adjusted = points["value"].notna(), points["net"].notna()
    hollow = "-open" if series.about["quick"] or series.about["no_parity"] else ""
    marker = {"color": look.colour, "symbol": f"{look.symbol}{hollow}", "size": 8}
    cross = {"color": "--bad", "symbol": "x-thin-open", "size": 8}
    plotted = points[measured]
    bars = {
        "type": "data",
        "symmetric": False,
        "color": look.colour,
        "thickness": 1.2,
        "width": 0,
        "array": _numbers((plotted["high"] - plotted["value"]) / scale),
        "arrayminus": _numbers((plotted["value"] - plotted["low"]) / scale),
    }
    yield _scatter(history, plotted, plotted["value"] / scale, marker) | {"error_y": bars}
    if adjusted.any():
        net = points[adjusted]
        yield _scatter(history, net, net["net"] - 1, marker | {"size": 6}) | {"yaxis": "y2"}
    if not measured.all():
        failed = points[~measured]
        yield _scatter(history, failed, pd.Series(floor, failed.index), cross)


def _scatter(
    history: History, points: pd.DataFrame, values: pd.Series, marker: dict[str, Any]
) -> Trace:
    rows = points.to_dict("records")
    return {
        "x": list(map(_when, rows)),
        "y": _numbers(values),
        "mode": "markers",
        "marker": marker,
        "hoverinfo": "text",
        "hovertext": [_hover(history, row) for row in rows],
        "meta": [],
    }


def _hover(history: History, point: Mapping[Any, Any]) -> str:
    """A run in some lines; the plot library knows no break but its own."""
    described = json.loads(point["machine"])
    words = [
        f"{point['cell']}, version {point['version'] or 'unknown'}",
        f"run {point['run']}, {_when(point)} UTC",
        f"samestep {content.made_by(point)}",
        f"{described.get('cpu') or 'a processor'} ({identity.fingerprint(described) or 'not known'})",
        " ".join([*_texts(history, point)[4:6], history.metric.shown_unit]),
        f"machine-adjusted {_texts(history, point)[6]}" if pd.notna(point["net"]) else "",
        content.fate(point),
    ]
    return "<br>".join(text(plain(word)) for word in words if word)


def _sheet(history: History, series: Series) -> Sheet:
    changes = {change.place: change for change in series.changes}
    first = max(0, len(series.points) - MOST)
    rows = []
    for place, point in list(enumerate(series.points.to_dict("records")))[first:]:
        change = changes.get(place)
        mark = (content.tone(change), content.sentence(history, series, change)) if change else None
        rows.append((mark, _texts(history, point)))
    left_out = f"{count(first, 'earlier run')}: --format csv has all" if first else ""
    return Sheet(content.label(history, series), rows, left_out)


def _texts(history: History, point: Mapping[Any, Any]) -> tuple[str, ...]:
    bounds = [history.write(point[end]) for end in ("low", "high") if pd.notna(point[end])]
    return (
        plain(point["run"]),
        _when(point),
        plain(point["version"] or "-"),
        content.made_by(point),
        history.write(point["value"]) if pd.notna(point["value"]) else "-",
        f"({' to '.join(bounds)})" if bounds else "",
        content.net(point["net"]),
        content.fate(point),
    )


def _when(point: Mapping[Any, Any] | pd.Series) -> str:
    """A run's start as the plot library reads it: 2026-11-24 06:30:12."""
    return plain(point["started"])[:19].replace("T", " ")


def _wide(low: float, high: float) -> list[float]:
    room = (high - low or abs(high) or 1.0) * 0.1
    return [low - room, high + room]


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None


def _numbers(values: pd.Series) -> list[float | None]:
    return list(map(_number, values))
