"""Plots over time: learning curves, and slices by run order; the confusion matrix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.report.groups import Group
from harness.report.html.downsample import Downsampled, Points
from harness.report.html.figure import ROW, Figure, Trace, log_axis
from harness.report.html.style import GREY, Style, short, text
from harness.results import store
from harness.results.tables import number

CURVE_POINTS = 9_000
"""Points of all curves of a report; a curve has 12 to 120 of them."""

SPANS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""What half a row's height may stand for, as a part of the median."""

_HALF_ROW = 0.42
"""Half the height of what is drawn in a row, in rows."""


def curve(events: Sequence[Mapping[str, Any]], most: int) -> tuple[list, list, list]:
    """Return steps, seconds since training began and losses of a cell, from its events in order.

    Means over stretches of steps, in seconds of training; in a run that has no such curve (an older one,
    or one that broke off) its progress events, in seconds on the wall, None for the first steps.
    """
    trained = next((event for event in events if event["event"] == "trained"), {})
    if means := trained.get("curve"):
        return _downsampled(most, means["steps"], means["seconds"], means["losses"])
    first = next((i for i, event in enumerate(events) if event["event"] == "progress"), None)
    began = number(events[first - 1].get("time")) if first else None
    steps: list[Any] = []
    times: list[Any] = []
    losses: list[Any] = []
    for step, loss in enumerate(trained.get("losses") or (), start=1):
        steps.append(step)
        times.append(None)
        losses.append(loss)
    last = len(steps)
    for event in events:
        if event["event"] != "progress" or number(event.get("step")) is None:
            continue
        at, time = event["step"], number(event.get("time"))
        since = None if began is None or time is None else round(time - began, 3)
        if at > last:
            steps.append(at)
            times.append(since)
            losses.append(event.get("loss"))
        elif 0 < at <= len(times):
            times[at - 1] = since
    return _downsampled(most, steps, times, losses)


def curves(
    group: Group,
    styles: dict[int, Style],
    curves_by_cell: Mapping[int, tuple[list, list, list]],
    by: str,
) -> Figure | None:
    """The training loss of every cell over each other, by "step" or by "time"."""
    traces: list[Trace] = []
    keys: list[tuple[str, Style]] = []
    for cell in group.as_rows(group.cells):
        steps, times, losses = curves_by_cell.get(cell["id"], ([], [], []))
        trace = _curve_trace(cell, styles[cell["id"]], steps if by == "step" else times, losses)
        if trace["x"]:
            keys.append((cell["label"], styles[cell["id"]]))
            traces.append(trace)
    if not traces:
        return None
    losses = [loss for trace in traces for loss in trace["y"]]
    places = [place for trace in traces for place in trace["x"]]
    log = min(losses) > 0 and max(losses) > 20 * min(losses)
    title = "training loss"
    axis = log_axis(losses, title, room=1.1) if log else {"title": {"text": title}}
    if by == "step":
        title, across = "Learning by step", {"title": {"text": "step"}}
        note = (
            "Means over stretches of steps. Equivalent cells lie on each other until rounding drives"
            " them apart."
        )
    else:
        log = max(places) > 20 * min(places) > 0
        across = log_axis(places, "seconds") if log else {"title": {"text": "seconds"}}
        title, note = "Learning by time", "The same losses, when they were reached."
    layout = {"height": 320, "xaxis": across, "yaxis": axis}
    return Figure(title, note, traces, layout, keys)


def _curve_trace(cell: Any, style: Style, places: Sequence[Any], losses: Sequence[Any]) -> Trace:
    """A cell's losses, where they have a place and are numbers."""
    points = [
        (place, float(f"{loss:.4g}"))
        for place, value in zip(places, losses, strict=True)
        if place is not None and (loss := number(value)) is not None
    ]
    return {
        "x": [place for place, _ in points],
        "y": [loss for _, loss in points],
        "mode": "lines+markers" if len(points) < 4 else "lines",
        "name": text(short(cell["label"])),
        "line": {"color": style.colour, "dash": style.dash, "width": 1.8},
        "marker": {"symbol": style.symbol},
        "meta": [cell["id"]],
    }


def scatter(
    group: Group, styles: dict[int, Style], samples: Downsampled, kind: str
) -> Figure | None:
    """Every slice of a kind in run order, a row a cell: noise, drift and what was contaminated."""
    order = group.as_rows(group.cells.sort_values("train_samples_per_s", ascending=False))
    keys = [(cell, (cell["run"], cell["cell"], kind)) for cell in order]
    rows = [(cell, samples.points[key]) for cell, key in keys if key in samples.points]
    if not rows:
        return None
    span = fitting([points for _, points in rows])
    traces = [
        trace
        for row, (cell, points) in enumerate(rows)
        for trace in _scatter_row(cell, styles[cell["id"]], points, span, row)
    ]
    word = "training" if kind == "train" else "inference"
    drawn = sum(len(points.place) for _, points in rows)
    total = sum(samples.sizes.get(key, 0) for _, key in keys)
    shown = f"all {total:,}" if drawn == total else f"{drawn:,} of {total:,}, evenly spaced"
    note = (
        f"A row is ±{span:.0%} of the cell's median; beyond is drawn at its edge. Hollow grey:"
        f" warm-up; crosses: contaminated. Samples shown: {shown}."
    )
    layout = {
        "height": (ROW + 6) * len(rows) + 80,
        "xaxis": {"title": {"text": "slice, in the order they were timed"}},
        "yaxis": {
            "tickvals": [-row for row in range(len(rows))],
            "zeroline": False,
            "ticktext": [text(short(cell["label"])) for cell, _ in rows],
            "range": [0.4 - len(rows), 0.6],
        },
        "meta": {"span": span, "half_row": _HALF_ROW, "unit": f"% off, {word}"},
    }
    return Figure(f"Every slice of {word}", note, traces, layout)


def _scatter_row(cell: Any, style: Style, points: Points, span: float, row: int) -> Iterator[Trace]:
    """A cell's slices by what became of them: those counted, warm-ups, and those contaminated."""
    height = _HALF_ROW * np.clip(points.deviation / span, -1, 1) - row
    warm, noisy = points.warm_up, points.noisy
    for chosen, name, marker in (
        (~warm & ~noisy, "counted", {"color": style.colour, "symbol": style.symbol, "size": 6}),
        (warm, "warm-up", {"color": GREY, "symbol": "circle-open", "size": 6}),
        (noisy & ~warm, "contaminated", {"color": "--bad", "symbol": "x-thin-open", "size": 6}),
    ):
        if chosen.any():
            yield _dots(cell, name, points.place[chosen], height[chosen], marker)


def confusion(matrix: Sequence[Sequence[float]]) -> Figure:
    """The confusion matrix: rows are true labels, columns are predictions."""
    names = [str(place) for place in range(len(matrix))]
    counts = (
        [[f"{value:g}" if value else "" for value in row] for row in matrix]
        if len(matrix) <= 12
        else None
    )
    trace = {
        "type": "heatmap",
        "z": [list(row) for row in matrix],
        "x": names,
        "y": names,
        "meta": [],
        "colorscale": [[0, "--card"], [1, "--heat"]],
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        **({"text": counts, "texttemplate": "%{text}"} if counts else {}),
        "hovertemplate": "label %{y}, predicted %{x}: %{z}<extra></extra>",
    }
    layout = {
        "height": 380,
        "xaxis": {"title": {"text": "predicted"}, "type": "category"},
        "yaxis": {"title": {"text": "label"}, "type": "category", "autorange": "reversed"},
    }
    return Figure("Confusion", "Rows: true label. Columns: predicted.", [trace], layout)


def for_cells(records: Sequence[store.Record], cells: pd.DataFrame) -> dict[int, Any]:
    """The learning curve of every cell, by its id."""
    most = int(np.clip(CURVE_POINTS // max(1, len(cells)), 12, 120))
    ids = dict(zip(zip(cells["run"], cells["cell"], strict=True), cells["id"], strict=True))
    curves_by_cell: dict[int, Any] = {}
    for run, record in enumerate(records):
        events_by_cell: dict[str, list[Mapping[str, Any]]] = {}
        for event in record.events:
            if event.get("cell") is not None:
                events_by_cell.setdefault(str(event["cell"]), []).append(event)
        for cell, events in events_by_cell.items():
            curves_by_cell[ids[run, cell]] = curve(events, most)
    return curves_by_cell


def _dots(cell: Any, name: str, x: NDArray, y: NDArray, marker: dict[str, Any]) -> Trace:
    return {
        "x": x.tolist(),
        "y": y.round(2).tolist(),
        "mode": "markers",
        "marker": marker,
        "name": name,
        "hoverinfo": "skip",
        "meta": [cell["id"]],
    }


def fitting(rows: Sequence[Points]) -> float:
    """The least span that holds 98 of 100 of what counts: of all, where everything was contaminated."""
    deviation, warm_up, noisy = (
        np.concatenate([getattr(points, part) for points in rows] or [np.zeros(0)])
        for part in ("deviation", "warm_up", "noisy")
    )
    usable = np.isfinite(deviation) & (warm_up == 0)
    clean = usable & (noisy == 0)
    magnitudes = np.abs(deviation[clean if clean.any() else usable])
    most = float(np.quantile(magnitudes, 0.98)) if len(magnitudes) else 0.0
    return next((span for span in SPANS if most <= span), SPANS[-1])


def _downsampled(most: int, *columns: list) -> tuple[list, list, list]:
    """At most so many of each, the first and the last among them."""
    count = len(columns[0])
    if count <= most:
        steps, times, losses = columns
        return steps, times, losses
    indices = np.unique(np.linspace(0, count - 1, most).round().astype(int))
    steps, times, losses = ([column[place] for place in indices] for column in columns)
    return steps, times, losses
