"""What plots are made of: a figure with rows and axes, and the marks that are drawn in it.

Colours are names of CSS variables, resolved when a plot is drawn, so that a page can turn dark.
Every trace has the ids of its cells as `meta`, so that a click finds the cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness.report.html.style import Style, short, text
from harness.text import amount

_TICKS = 6  # on a phone there is no room for more

ROW = 30
"""Height of a row in pixels."""

Trace = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """A plot with its title, a sentence on how to read it, and what its lines stand for."""

    title: str
    note: str
    traces: list[Trace]
    layout: dict[str, Any]
    keys: Sequence[tuple[str, Style]] = ()

    def table(self) -> dict[str, Any]:
        """The plot as it is handed to the page's script."""
        return {"data": self.traces, "layout": self.layout}


def row_layout(labels: Sequence[str], height: int = ROW) -> dict[str, Any]:
    """A layout with a row a label of `height` pixels, the first on top."""
    places = [-row for row in range(len(labels))]
    names = [text(short(label)) for label in labels]
    return {
        "height": height * len(labels) + 90,
        "yaxis": {
            "tickvals": places,
            "ticktext": names,
            "range": [0.5 - len(labels), 0.8],
            "showgrid": False,
            "zeroline": False,
        },
    }


def row_places(cells: pd.DataFrame) -> list[int]:
    """The y of each cell's row in a `row_layout`, the first on top."""
    return [-row for row in range(len(cells))]


def log_axis(
    values: Iterable[Any], title: str, unit: str = "", room: float = 1.3
) -> dict[str, Any]:
    """An axis on which equal steps are equal factors, around positive values; `room` at its ends."""
    positive = [value for value in map(float, values) if np.isfinite(value) and value > 0] or [1.0]
    low, high = min(positive) / room, max(positive) * room
    powers = range(int(np.floor(np.log10(low))), int(np.floor(np.log10(high))) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        steps = [digit * 10.0**power for power in powers for digit in digits]
        shown = [step for step in steps if low <= step <= high]
        if len(shown) <= _TICKS:
            break
    names = [f"{_compact(step)}{unit}" for step in shown]
    ends = [float(np.log10(low)), float(np.log10(high))]
    return {
        "type": "log",
        "tickvals": shown,
        "ticktext": names,
        "range": ends,
        "title": {"text": title},
    }


def from_zero(values: pd.Series, title: str) -> dict[str, Any]:
    """An axis of bars, with room for the numbers at their ends."""
    return {"title": {"text": title}, "range": [0, float(values.max()) * 1.25 or 1.0]}


def _compact(value: float) -> str:
    """A tick in few letters: 0.02, 500, 20k, 1M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def upright(x: Any, colour: str = "--soft", width: float = 1) -> dict[str, Any]:
    """A dotted line at `x` from the bottom to the top, below the marks."""
    return {
        "type": "line",
        "x0": x,
        "x1": x,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "layer": "below",
        "line": {"color": colour, "width": width, "dash": "dot"},
    }


def point(cell: Any, styles: dict[int, Style], x: Any, y: Any, hover: str) -> Trace:
    """One mark in its cell's style at `x`, `y`; a click finds `cell`, `hover` is shown over it."""
    style = styles[cell["id"]]
    return {
        "x": plain_numbers([x]),
        "y": plain_numbers([y]),
        "mode": "markers+text",
        "meta": [cell["id"]],
        "marker": {"color": style.colour, "symbol": style.symbol, "size": 11},
        "hovertext": [text(hover)],
        "hoverinfo": "text",
    }


def bars(
    cells: pd.DataFrame, values: list[float | None], colours: Sequence[str], name: str, unit: str
) -> Trace:
    """A bar a cell: its row of `cells`, its value and its colour; `unit` follows the value on hover."""
    hovers = [
        text(f"{label}: {amount(value or 0)} {unit}")
        for label, value in zip(cells["label"], values, strict=True)
    ]
    return {
        "type": "bar",
        "orientation": "h",
        "x": values,
        "y": row_places(cells),
        "name": name,
        "marker": {"color": list(colours)},
        "hovertext": hovers,
        "hoverinfo": "text",
        "textposition": "outside",
        "cliponaxis": False,
        "meta": [int(cell) for cell in cells["id"]],
    }


def plain_numbers(values: Iterable[Any]) -> list[float | None]:
    """Plain numbers of five digits, None where there is none."""
    return [
        None if pd.isna(value) or not np.isfinite(value) else float(f"{float(value):.5g}")
        for value in values
    ]
