"""A sweep on the page: curves of throughput with intervals, and the places where they cross."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.sweep_curves import Curve, SweepCurves, sweep_curves
from harness.report import sweeps
from harness.report.groups import Loaded, letter
from harness.report.html.figure import Figure, Trace, log_axis, plain_numbers
from harness.report.html.style import Style, short, text
from harness.report.sweeps import SweepTable
from harness.results.sweep import AXES
from harness.text import plain

NOTE = (
    "Bars: 95% intervals of the throughput. Crosses: where two curves cross for certain, read off their"
    " ratio, with the bounds of that place. At one value cells shared rounds; the values were timed one"
    " after the other."
)


@dataclass(frozen=True)
class SweepPart:
    """One workload's sweep on the page."""

    key: str
    title: str
    table: SweepTable
    figure: Figure


def parts(loaded: Loaded, styles: Mapping[int, Style]) -> list[SweepPart]:
    """Return the sweeps of all runs, in their order."""
    return [
        SweepPart(
            f"w{run}-{place}",
            (f"{letter(run)}: " if len(loaded.records) > 1 else "") + sweeps.title(curves),
            sweeps.of_curves(curves),
            figure(curves, _ids(loaded, run), styles),
        )
        for run, record in enumerate(loaded.records)
        for place, curves in enumerate(sweep_curves(record))
    ]


def _ids(loaded: Loaded, run: int) -> dict[str, int]:
    cells = loaded.cells[loaded.cells["run"] == run]
    return dict(zip(cells["cell"], cells["id"], strict=True))


def figure(curves: SweepCurves, ids: Mapping[str, int], styles: Mapping[int, Style]) -> Figure:
    """Return the curves over the values, both on logarithmic axes; `ids` are by cell."""
    traces, keys, speeds = [], [], []
    for curve in curves.curves:
        cells = [ids[curve.cells[value]] for value in curve.speeds]
        style = styles[cells[0]]
        traces.append(_line(curve, cells, style))
        keys.append((plain(curve.name), style))
        for speed in curve.speeds.values():
            speeds += [speed.low, speed.estimate, speed.high]
    traces += _crossings(curves)
    across = log_axis(curves.values, AXES[curves.over], room=1.1) | {
        "tickvals": list(curves.values),
        "ticktext": [f"{value:g}" for value in curves.values],
    }
    title = f"{sweeps.KINDS[curves.kind]} samples/s"
    layout = {"height": 380, "xaxis": across, "yaxis": log_axis(speeds, title, room=1.15)}
    return Figure(f"Throughput over {AXES[curves.over]}", NOTE, traces, layout, keys)


def _line(curve: Curve, cells: Sequence[int], style: Style) -> Trace:
    speeds = [*curve.speeds.values()]
    return {
        "x": plain_numbers(curve.speeds),
        "y": plain_numbers(speed.estimate for speed in speeds),
        "mode": "lines+markers",
        "name": text(short(plain(curve.name))),
        "line": {"color": style.colour, "dash": style.dash, "width": 1.8},
        "marker": {"color": style.colour, "symbol": style.symbol, "size": 8},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": plain_numbers(speed.high - speed.estimate for speed in speeds),
            "arrayminus": plain_numbers(speed.estimate - speed.low for speed in speeds),
            "color": style.colour,
        },
        "meta": [int(cell) for cell in cells],
    }


def _crossings(curves: SweepCurves) -> Iterator[Trace]:
    """Yield a cross for each certain change of order, on the curve that is ahead from there on."""
    by_name = {curve.name: curve for curve in curves.curves}
    for pair in curves.pairs:
        for change in pair.crossings:
            curve = by_name[pair.a if change.rising else pair.b]
            values = np.log([*curve.speeds])
            speeds = np.log([speed.estimate for speed in curve.speeds.values()])
            yield {
                "x": plain_numbers([change.at]),
                "y": plain_numbers([math.exp(np.interp(math.log(change.at), values, speeds))]),
                "mode": "markers",
                "marker": {"color": "--ink", "symbol": "x-thin-open", "size": 10},
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": plain_numbers([change.high - change.at]),
                    "arrayminus": plain_numbers([change.at - change.low]),
                    "color": "--ink",
                },
                "hovertext": [text(sweeps.crossing(curves.over, pair, change))],
                "hoverinfo": "text",
                "meta": [],
            }
