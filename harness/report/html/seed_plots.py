"""Accuracy on the way of trainings with several seeds: the mean as a curve, its interval as a band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.report.groups import Group
from harness.report.html.figure import Figure, Trace, log_axis, plain_numbers
from harness.report.html.style import Style, short, text
from harness.results import store
from harness.results.tables import number
from harness.results.to_target import SeedCurve, seed_curves
from harness.stats import intervals

NOTE = (
    "Lines: the mean of the accuracy over seeds, up to where every seed has it. Bands: its 95% interval"
    " (Student's, over seeds). Dotted: the target."
)


@dataclass(frozen=True)
class _Band:
    """A cell's mean accuracy and its bounds, by evaluation."""

    steps: Sequence[float]
    seconds: Sequence[float]
    means: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def for_cells(records: Sequence[store.Record], cells: pd.DataFrame) -> dict[int, list[SeedCurve]]:
    """Return the trainings with several seeds of every cell that has some, by its id."""
    ids = dict(zip(zip(cells["run"], cells["cell"], strict=True), cells["id"], strict=True))
    by_cell: dict[int, list[SeedCurve]] = {}
    for run, record in enumerate(records):
        events = record.every("retrained")
        for cell in dict.fromkeys(str(event.get("cell")) for event in events):
            own_events = [event for event in events if event.get("cell") == cell]
            if trainings := seed_curves(own_events):
                by_cell[ids[run, cell]] = trainings
    return by_cell


def accuracy(
    group: Group,
    styles: Mapping[int, Style],
    trainings: Mapping[int, Sequence[SeedCurve]],
    by: str,
) -> Figure | None:
    """Return the mean accuracy of every cell, by "step" or by "time"; None where no cell has seeds."""
    traces: list[Trace] = []
    keys: list[tuple[str, Style]] = []
    for cell in group.as_rows(group.cells):
        band = _band(trainings.get(cell["id"], ()))
        if band is not None:
            style = styles[cell["id"]]
            places = band.steps if by == "step" else band.seconds
            traces = [_area(cell["id"], places, band, style), *traces]  # areas below all lines
            traces.append(_line(cell["id"], cell["label"], places, band, style))
            keys.append((cell["label"], style))
    if not traces:
        return None
    across = {"title": {"text": "step"}, "rangemode": "tozero"}
    if by == "time":
        across = log_axis((place for trace in traces for place in trace["x"]), "seconds")
    layout = {
        "height": 320,
        "xaxis": across,
        "yaxis": {"title": {"text": "accuracy"}},
        "shapes": [_target(target)]
        if (target := number(group.spec.get("target_accuracy")))
        else [],
    }
    return Figure(f"Accuracy over seeds, by {by}", NOTE, traces, layout, keys)


def _band(trainings: Sequence[SeedCurve]) -> _Band | None:
    """Return the mean of the evaluations that every training came to; None where there are none."""
    length = min((len(training.steps) for training in trainings), default=0)
    if not length:
        return None
    scores = np.array([training.accuracies[:length] for training in trainings])
    means = [intervals.interval(column) for column in scores.T]
    return _Band(
        steps=trainings[0].steps[:length],
        seconds=np.mean([training.seconds[:length] for training in trainings], axis=0).tolist(),
        means=[mean.estimate for mean in means],
        low=np.maximum([mean.low for mean in means], 0.0).tolist(),
        high=np.minimum([mean.high for mean in means], 1.0).tolist(),
    )


def _line(cell: int, label: str, places: Sequence[float], band: _Band, style: Style) -> Trace:
    return {
        "x": plain_numbers(places),
        "y": plain_numbers(band.means),
        "mode": "lines",
        "name": text(short(label)),
        "line": {"color": style.colour, "dash": style.dash, "width": 1.8},
        "meta": [cell],
    }


def _area(cell: int, places: Sequence[float], band: _Band, style: Style) -> Trace:
    """The band as one closed line: along its lower bounds, and back along its upper ones."""
    return {
        "x": plain_numbers([*places, *reversed(places)]),
        "y": plain_numbers([*band.low, *reversed(band.high)]),
        "mode": "none",
        "fill": "toself",
        "fillcolor": style.colour,
        "opacity": 0.15,
        "hoverinfo": "skip",
        "meta": [cell],
    }


def _target(target: float) -> dict[str, object]:
    return {
        "type": "line",
        "x0": 0,
        "x1": 1,
        "xref": "paper",
        "y0": target,
        "y1": target,
        "layer": "below",
        "line": {"color": "--soft", "width": 1, "dash": "dot"},
    }
