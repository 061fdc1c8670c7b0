"""A figure over stored runs on a terminal: a line a run, drawn on a common scale, a rule at a change."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np
import pandas as pd
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from harness.analysis import history_series
from harness.analysis.history_series import Series
from harness.report import printing
from harness.report.history import content
from harness.report.history.content import History
from harness.results.tables import OK
from harness.text import Tone, count, plain
from harness.verdicts import UNDECIDED

MOST = 40
"""The runs of a series that are shown; changes before them are shown too."""

_VERSION = 14  # letters of a version
_PLOT = 16  # letters that a plot has before columns go
_GAP = "  "


def show(history: History, console: Console) -> None:
    """Print every series: a line a run, with its dot and interval, and a rule at every change."""
    for cell, cell_series in groupby(history.series, key=lambda series: series.cell):
        console.print(Text(f"\n{plain(cell)}", "bold"), Text(history.title, "dim"), overflow="fold")
        for series in cell_series:
            printing.say(console, "off", content.label(history, series))
            for line in _Drawing(history, series, console).lines():
                console.print(line, overflow="fold", highlight=False)
    console.print()
    printing.say(console, *content.verdict(history))
    for series in history.series:
        for change in series.changes:
            text = f"{plain(series.cell)}: {content.sentence(history, series, change)}"
            printing.say(console, content.tone(change), text)
    printing.say(console, "note", history.caption)


class _Drawing:
    """A series as lines: words and the value to the left, the plot in what room there is."""

    def __init__(self, history: History, series: Series, console: Console) -> None:
        self._history, self._series, self._width = history, series, console.width
        utf = printing.has_all_letters(console)
        self._dot, self._bar, self._left, self._right, self._tick = "●─├┤┊" if utf else "o-||:"
        table: list[tuple[str, ...]] = [
            ("date", "version", "commit", history.metric.shown_unit, "adjusted")
        ]
        table += [self._texts(point) for _, point in series.points.iterrows()]
        widths = [max(map(cell_len, column)) for column in zip(*table, strict=True)]
        shown = [0, 1, 2, 3, 4] if series.against else [0, 1, 2, 3]
        for goes in (2, 1, 0, 4):
            if self._room(widths, shown) < _PLOT and goes in shown:
                shown.remove(goes)
        self._plot = max(3, self._room(widths, shown))
        self._words = [
            "".join(_set(row[at], widths[at], align_right=at > 2) + _GAP for at in shown)
            for row in table
        ]
        bounds = series.points[["value", "low", "high"]].to_numpy(float)
        self._low, self._high = float(np.nanmin(bounds)), float(np.nanmax(bounds))

    def lines(self) -> Iterator[Text]:
        """Yield the head with the scale's ends, then the runs, the last MOST of them."""
        points, most = self._series.points, self._history.write(self._high)
        ends = _set(self._history.write(self._low), self._plot - cell_len(most)) + most
        yield Text.assemble((self._words[0], "dim"), (ends, "dim"))
        first = max(0, len(points) - MOST)
        if first:
            yield Text(f"({count(first, 'earlier run')}: --format csv has all)", "dim")
        for begin, end in history_series.levels(self._series):
            yield from self._rules(begin)
            usual = float(points["value"].iloc[begin:end].median())
            for at in range(max(begin, first), end):
                yield Text(self._words[at + 1]).append_text(self._drawn(points.iloc[at], usual))

    def _texts(self, point: pd.Series) -> tuple[str, ...]:
        value = self._history.write(point["value"]) if point["status"] == OK else "-"
        date, version = plain(point["started"])[:10], plain(point["version"] or "")
        return date, version[:_VERSION], content.commit(point), value, content.net(point["net"])

    def _room(self, widths: list[int], shown: list[int]) -> int:
        return self._width - sum(widths[at] + len(_GAP) for at in shown)

    def _rules(self, place: int) -> Iterator[Text]:
        """The rule of the change at that place, where there is one."""
        bar = self._bar
        for change in self._series.changes:
            if change.place == place:
                words = content.sentence(self._history, self._series, change)
                rule = Text(f"{bar * 2} {words} ", printing.STYLES[content.tone(change)])
                yield rule.append(bar * max(2, self._width - rule.cell_len))

    def _drawn(self, point: pd.Series, usual: float) -> Text:
        """A run's dot and interval; the level that it belongs to as a tick."""
        if point["status"] != OK:
            tone: Tone = "warn" if point["status"] == UNDECIDED else "bad"
            return Text(content.fate(point), printing.STYLES[tone])
        letters = [" "] * self._plot
        letters[self._place(usual)] = self._tick
        if pd.notna(point["low"]) and pd.notna(point["high"]):
            start, stop = self._place(point["low"]), self._place(point["high"])
            letters[start : stop + 1] = self._bar * (stop + 1 - start)
            letters[start], letters[stop] = self._left, self._right
        letters[self._place(point["value"])] = self._dot
        return Text("".join(letters))

    def _place(self, value: float) -> int:
        span = self._high - self._low
        share = (value - self._low) / span if span else 0.5
        return round(share * (self._plot - 1))


def _set(text: str, width: int, align_right: bool = False) -> str:
    """The text in so many letters, to the left or to the right."""
    return " " * (width - cell_len(text)) + text if align_right else set_cell_size(text, width)
