"""Plots of what went on over time: learning curves, and every sample in its turn; the confusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.report.groups import Group
from harness.report.html.downsample import Lane, Strips
from harness.report.html.figure import ROW, Figure, Trace, log_axis
from harness.report.html.style import GREY, Style, short, text
from harness.results import store
from harness.results.tables import number

CURVE_POINTS = 9_000
"""Points of all curves of a report; a curve has 12 to 120 of them."""

SPANS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""What a lane's half height may stand for, as a part of the median."""

_LANE = 0.42
"""A lane's half height, in lanes."""


def curve(events: Sequence[Mapping[str, Any]], most: int) -> tuple[list, list, list]:
    """Return steps, seconds since training began and losses of a cell, from its events in order.

    Means over stretches of steps, in seconds of training; in a run that has no such curve (an older one,
    or one that broke off) what it told on its way, in seconds on the wall, None for the first steps.
    """
    trained = next((event for event in events if event["event"] == "trained"), {})
    if means := trained.get("curve"):
        return _thinned(most, means["steps"], means["seconds"], means["losses"])
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
    return _thinned(most, steps, times, losses)


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
        places = steps if by == "step" else times
        points = [
            (place, float(f"{loss:.4g}"))
            for place, value in zip(places, losses, strict=True)
            if place is not None and (loss := number(value)) is not None
        ]
        if not points:
            continue
        style = styles[cell["id"]]
        keys.append((cell["label"], style))
        traces.append(
            {
                "x": [place for place, _ in points],
                "y": [loss for _, loss in points],
                "mode": "lines+markers" if len(points) < 4 else "lines",
                "name": text(short(cell["label"])),
                "line": {"color": style.colour, "dash": style.dash, "width": 1.8},
                "marker": {"symbol": style.symbol},
                "meta": [cell["id"]],
            }
        )
    if not traces:
        return None
    values = [value for trace in traces for value in trace["y"]]
    log = min(values) > 0 and max(values) > 20 * min(values)
    title = "training loss"
    axis = log_axis(values, title, room=1.1) if log else {"title": {"text": title}}
    if by == "step":
        title, note, x = (
            "Learning by step",
            "Means over stretches of steps. Equivalent cells lie on each other until rounding drives them"
            " apart.",
            "step",
        )
    else:
        title, note, x = "Learning by time", "The same losses, when they were reached.", "seconds"
    places = [place for trace in traces for place in trace["x"]]
    across = {"title": {"text": x}}
    if by == "time" and max(places) > 20 * min(places) > 0:
        across = log_axis(places, "seconds")
    layout = {"height": 320, "xaxis": across, "yaxis": axis}
    return Figure(title, note, traces, layout, keys)


def strip(group: Group, styles: dict[int, Style], samples: Strips, kind: str) -> Figure | None:
    """Every sample of a kind in its turn, a lane a cell: noise, drift and what was disturbed."""
    order = group.as_rows(group.cells.sort_values("train_samples_per_s", ascending=False))
    named = [(cell, (cell["run"], cell["cell"], kind)) for cell in order]
    lanes = [(cell, samples.lanes[key]) for cell, key in named if key in samples.lanes]
    if not lanes:
        return None
    span = fitting([lane for _, lane in lanes])
    traces: list[Trace] = []
    labels: list[str] = []
    for cell, lane in lanes:
        height = _LANE * np.clip(lane.deviation / span, -1, 1) - len(labels)
        style = styles[cell["id"]]
        warm, noisy = lane.warm_up, lane.noisy
        for chosen, name, marker in (
            (~warm & ~noisy, "counted", {"color": style.colour, "symbol": style.symbol, "size": 6}),
            (warm, "warm-up", {"color": GREY, "symbol": "circle-open", "size": 6}),
            (noisy & ~warm, "disturbed", {"color": "--bad", "symbol": "x-thin-open", "size": 6}),
        ):
            if chosen.any():
                traces.append(_dots(cell, name, lane.place[chosen], height[chosen], marker))
        labels.append(cell["label"])
    word = "training" if kind == "train" else "inference"
    few = sum(len(lane.place) for _, lane in lanes)
    total = sum(samples.sizes.get(key, 0) for _, key in named)
    shown = f"all {total:,}" if few == total else f"{few:,} of {total:,}, evenly spaced"
    note = (
        f"A lane is ±{span:.0%} of the cell's median; beyond is drawn at its edge. Hollow grey:"
        f" warm-up; crosses: disturbed. Samples shown: {shown}."
    )
    layout = {
        "height": (ROW + 6) * len(labels) + 80,
        "xaxis": {"title": {"text": "slice, in the order they were timed"}},
        "yaxis": {
            "tickvals": [-row for row in range(len(labels))],
            "zeroline": False,
            "ticktext": [text(short(label)) for label in labels],
            "range": [0.4 - len(labels), 0.6],
        },
        "meta": {"span": span, "lane": _LANE, "unit": f"% off, {word}"},
    }
    return Figure(f"Every slice of {word}", note, traces, layout)


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


def fitting(lanes: Sequence[Lane]) -> float:
    """The least span that holds 98 of 100 of what counts: of all, where everything was disturbed."""
    deviation, warm_up, noisy = (
        np.concatenate([getattr(lane, part) for lane in lanes] or [np.zeros(0)])
        for part in ("deviation", "warm_up", "noisy")
    )
    usable = np.isfinite(deviation) & (warm_up == 0)
    clean = usable & (noisy == 0)
    magnitudes = np.abs(deviation[clean if clean.any() else usable])
    most = float(np.quantile(magnitudes, 0.98)) if len(magnitudes) else 0.0
    return next((span for span in SPANS if most <= span), SPANS[-1])


def _thinned(most: int, *columns: list) -> tuple[list, list, list]:
    """At most so many of each, the first and the last among them."""
    count = len(columns[0])
    if count <= most:
        steps, times, losses = columns
        return steps, times, losses
    indices = np.unique(np.linspace(0, count - 1, most).round().astype(int))
    steps, times, losses = ([column[place] for place in indices] for column in columns)
    return steps, times, losses
