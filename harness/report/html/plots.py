"""Plots of one group's cells, as plain tables for the plot library: what is drawn, not how it looks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd

from harness.report import headlines
from harness.report.groups import Group, Ratio, letter
from harness.report.html.figure import (
    Figure,
    Trace,
    bars,
    from_zero,
    log_axis,
    plain_numbers,
    point,
    row_layout,
    row_places,
    upright,
)
from harness.report.html.style import MUTE, Style, short, text
from harness.results.metrics import RANK
from harness.text import amount, gibibytes, mebibytes, score, seconds, times


def ranking(group: Group, styles: dict[int, Style], kind: str) -> Figure | None:
    """Every ranked cell's throughput relative to the fastest cell of its run, with its interval."""
    rate = f"{kind}_samples_per_s"
    traces: list[Trace] = []
    labels: list[str] = []
    compared = True
    for run in group.cells["run"].unique():
        cells = group.ranked[group.ranked["run"] == run].dropna(subset=[rate])
        best = headlines.leader(group, cells, kind)
        if best is None or run in group.not_alone:
            continue
        for cell in group.as_rows(cells.sort_values(rate, ascending=False)):
            ratio = group.ratios.get((run, kind, cell["cell"], best["cell"]))
            compared &= ratio is not None or cell["cell"] == best["cell"]
            span = _span(cell, best, kind, ratio)
            traces.append(_dot(cell, len(labels), *span, styles[cell["id"]], rate))
            labels.append(_ranked(cell, kind))
    if not traces:
        return None
    word = "Training" if kind == "train" else "Inference"
    note = (
        "Throughput relative to the fastest cell. Error bars: 95% interval plus A/A noise floor;"
        " a cell whose bar includes 1 is not significantly different."
        if compared
        else "Throughput relative to the fastest cell. A single launch gives no interval, so nothing"
        " is claimed."
    )
    spans = [(trace["x"][0], trace["error_x"]) for trace in traces]
    low = min(x - error["arrayminus"][0] for x, error in spans)
    high = max(x + error["array"][0] for x, error in spans)
    axis = log_axis([max(low, 1e-4), high], "", "x", room=1.6)
    layout = row_layout(labels) | {"xaxis": axis, "shapes": [upright(1.0)]}
    return Figure(f"{word} throughput", note, traces, layout)


def modes(group: Group, styles: dict[int, Style]) -> Figure | None:
    """The modes of each framework side by side, on one axis of throughput."""
    cells = group.ranked.dropna(subset=["train_samples_per_s"])
    several_runs = cells["run"].nunique() > 1
    traces: list[Trace] = []
    labels: list[str] = []
    for _, of_framework in cells.groupby(["framework", "run"], sort=False):
        if len(of_framework) < 2:
            continue
        traces += _modes_row(group.as_rows(of_framework), styles, -len(labels))
        framework, run = of_framework[["framework", "run"]].iloc[0]
        labels.append(f"{framework} ({letter(run)})" if several_runs else framework)
    if not labels:
        return None
    axis = log_axis(cells["train_samples_per_s"], "samples/s in training", room=1.6)
    note = "Ways of executing that one framework offers, dynamic and static, on the same step."
    layout = row_layout(labels, 50) | {"xaxis": axis}
    return Figure("Modes of one framework", note, traces, layout)


def _modes_row(cells: Sequence[Any], styles: dict[int, Style], row: int) -> Iterator[Trace]:
    """A framework's modes at the height `row`, and a line from the slowest to the fastest."""
    rates = [cell["train_samples_per_s"] for cell in cells]
    yield {
        "x": plain_numbers([min(rates), max(rates)]),
        "y": [row, row],
        "mode": "lines",
        "line": {"color": "--line", "width": 3},
        "hoverinfo": "skip",
        "meta": [],
    }
    name_places = cycle(("top center", "bottom center"))
    for cell, rate in zip(cells, rates, strict=True):
        hover = f"{cell['mode']}: {amount(rate)} samples/s"
        yield point(cell, styles, rate, row, hover) | {
            "text": [text(short(cell["mode"]))],
            "textposition": next(name_places),
        }


def memory(group: Group, styles: dict[int, Style]) -> Figure | None:
    """Peak memory: the imported framework, what training adds, and the lower bound from the spec."""
    cells = group.ranked.dropna(subset=["peak_memory_bytes", "import_memory_bytes"])
    if not len(cells):
        return None
    cells = cells.sort_values("peak_memory_bytes")
    imported = plain_numbers(cells["import_memory_bytes"] / 2**20)
    training = plain_numbers(
        (cells["peak_memory_bytes"] - cells["import_memory_bytes"]).clip(0) / 2**20
    )
    colours = [styles[cell].colour for cell in cells["id"]]
    peaks = [f"{mebibytes(size)} MiB" for size in cells["peak_memory_bytes"]]
    traces = [
        bars(cells, imported, [MUTE] * len(imported), "framework, imported", "MiB imported"),
        bars(cells, training, colours, "training", "MiB in training") | {"text": peaks},
    ]
    note = "Grey: the imported framework by itself. Colour: what training took on top."
    floor = cells["memory_floor_bytes"].dropna()
    if len(floor):
        least = float(floor.iloc[0]) / 2**20
        traces.append(
            {
                "x": plain_numbers(cells["import_memory_bytes"] / 2**20 + least),
                "y": row_places(cells),
                "mode": "markers",
                "marker": {"symbol": "line-ns-open", "size": 16, "color": "--ink"},
                "hoverinfo": "skip",
                "meta": [],
            }
        )
        least_text = f"{floor.iloc[0] / 2**20:,.2g} MiB"
        note += (
            f" Tick: the least that the spec needs, {least_text} of weights, gradients and outputs."
        )
    layout = row_layout(list(cells["label"])) | {
        "barmode": "stack",
        "xaxis": from_zero(cells["peak_memory_bytes"] / 2**20, "peak memory, MiB"),
    }
    return Figure("Memory", note, traces, layout)


def start_up(group: Group, styles: dict[int, Style]) -> Figure | None:
    """What passes before the first step is done: importing, building, the step itself."""
    parts = {"import_s": "import", "build_s": "build", "first_step_s": "first step"}
    cells = group.ranked.dropna(subset=["first_step_s"])
    if not len(cells):
        return None
    total = cells[list(parts)].sum(axis=1)
    cells = cells.assign(total=total).sort_values("total")
    colours = [styles[cell].colour for cell in cells["id"]]
    paint = {"import_s": [MUTE] * len(cells), "build_s": ["--line"] * len(cells)}
    traces = [
        bars(cells, plain_numbers(cells[key].fillna(0)), paint.get(key, colours), name, f"s {name}")
        for key, name in parts.items()
    ]
    traces[-1]["text"] = [f"{seconds(duration)} s" for duration in cells["total"]]
    layout = row_layout(list(cells["label"])) | {
        "barmode": "stack",
        "xaxis": from_zero(cells["total"], "seconds"),
    }
    note = "Grey: import. Pale: building. Colour: the first step, with tracing and compiling."
    return Figure("Time to the first step", note, traces, layout)


def utilisation(group: Group, styles: dict[int, Style]) -> Figure | None:
    """Each cell's MFU in training: its share of the measured peak."""
    cells = group.ranked.dropna(subset=["limit_share"]).sort_values("limit_share", ascending=False)
    if not len(cells):
        return None
    shares = cells["limit_share"].astype(float) * 100
    colours = [styles[cell].colour for cell in cells["id"]]
    trace = bars(cells, plain_numbers(shares), colours, "MFU", "% of the measured peak")
    trace["text"] = [f"{share:.3g}%" for share in shares]
    axis = from_zero(shares, "% of the measured peak")
    note = "Operations of the spec a second in training, over what a large matrix product reaches here."
    return Figure(
        "MFU of the measured peak",
        note,
        [trace],
        row_layout(list(cells["label"])) | {"xaxis": axis},
    )


def latency(group: Group, styles: dict[int, Style]) -> Figure | None:
    """Inference of a single example: half, nine in ten, 99 in a hundred are done by then."""
    keys = ["latency1_p50_ms", "latency1_p90_ms", "latency1_p99_ms"]
    cells = group.ranked.dropna(subset=keys).sort_values(keys[0])
    traces = []
    for row, cell in enumerate(group.as_rows(cells)):
        half, nine, most = (float(cell[key]) for key in keys)
        hover = f"{cell['label']}: {half:.3g}, {nine:.3g}, {most:.3g} ms"
        trace = point(cell, styles, half, -row, hover) | {"mode": "markers"}
        trace["error_x"] = {
            "type": "data",
            "array": [most - half],
            "arrayminus": [0],
            "color": styles[cell["id"]].colour,
        }
        traces.append(trace)
    if not traces:
        return None
    axis = log_axis(cells[[keys[0], keys[2]]].to_numpy().ravel(), "milliseconds, batch of 1")
    note = "Dot: the median. Bar: to the 99th percentile."
    layout = row_layout(list(cells["label"])) | {"xaxis": axis}
    return Figure("Latency of one example", note, traces, layout)


def pareto(group: Group, styles: dict[int, Style]) -> Figure | None:
    """Accuracy and memory against the time that training took; those that nothing beats stand out."""
    alone = group.ranked[~group.ranked["run"].isin(group.not_alone)]
    cells = alone.dropna(subset=["train_s", "peak_memory_bytes"])
    if not len(cells):
        return None
    scored = bool(cells["accuracy"].notna().all())
    traces: list[Trace] = []
    name_places = cycle(("top center", "bottom center"))  # neighbours' names would overlap
    cells = cells.sort_values("train_s")
    for cell, best in zip(group.as_rows(cells), front(cells), strict=True):
        size = float(cell["peak_memory_bytes"])
        hover = f"{cell['label']}: {seconds(cell['train_s'])} s, {gibibytes(size)}"
        hover += f", accuracy {score(cell['accuracy'])}" if scored else ""
        values = [(size / 2**20, "y")] + ([(cell["accuracy"], "y2")] if scored else [])
        for value, axis in values:
            trace = point(cell, styles, cell["train_s"], value, hover)
            trace |= {"yaxis": axis, "opacity": 1 if best else 0.45}
            if best and axis == "y":
                trace |= {"text": [text(short(cell["label"]))], "textposition": next(name_places)}
            else:
                trace["mode"] = "markers"
            traces.append(trace)
    note = "Named: no other cell is at least as good in time, memory and accuracy. Others are pale."
    return Figure("Accuracy, time and memory", note, traces, _pareto_layout(cells, scored))


def _pareto_layout(cells: pd.DataFrame, scored: bool) -> dict[str, Any]:
    """Memory below, and accuracy above where all cells are `scored`."""
    layout: dict[str, Any] = {
        "height": 420 if scored else 320,
        "xaxis": log_axis(cells["train_s"], "seconds of training", room=1.6),
        "yaxis": {
            "title": {"text": "peak memory, MiB"},
            "domain": [0, 0.6 if scored else 1],
            "rangemode": "tozero",
        },
    }
    if scored:
        low, high = float(cells["accuracy"].min()), float(cells["accuracy"].max())
        middle, spread = (low + high) / 2, max(0.01, high - low)
        layout["yaxis2"] = {
            "title": {"text": "accuracy"},
            "domain": [0.7, 1],
            "nticks": 4,
            "range": [middle - spread, middle + spread],
        }
    return layout


def front(cells: pd.DataFrame) -> list[bool]:
    """For each cell, whether no other is at least as good in all three and better in one."""
    accuracy = cells["accuracy"].astype(float).fillna(0)
    costs = np.column_stack(
        [cells["train_s"].astype(float), cells["peak_memory_bytes"].astype(float), -accuracy]
    )
    return [
        not any((rival <= cost).all() and (rival < cost).any() for rival in costs) for cost in costs
    ]


def _span(cell: Any, best: Any, kind: str, ratio: Ratio | None) -> tuple[float, float, float]:
    """A cell's ratio to the best with its ends; without them where nothing was compared."""
    if cell["cell"] == best["cell"]:
        return 1.0, 1.0, 1.0
    if ratio is not None:
        return ratio.low, ratio.ratio, ratio.high
    middle = float(cell[f"{kind}_samples_per_s"]) / float(best[f"{kind}_samples_per_s"])
    return middle, middle, middle


def _dot(
    cell: Any, row: int, low: float, middle: float, high: float, style: Style, rate: str
) -> Trace:
    low_to_high = f"{times(low)} to {times(high)}"
    hover = f"{cell['label']}: {times(middle)} ({low_to_high}), "
    top = high if np.isfinite(high) else middle
    return {
        "x": plain_numbers([middle]),
        "y": [-row],
        "mode": "markers+text",
        "meta": [cell["id"]],
        "marker": {"color": style.colour, "symbol": style.symbol, "size": 10},
        "text": [times(middle)],
        "textposition": "top center",
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": plain_numbers([top - middle]),
            "arrayminus": plain_numbers([middle - low]),
            "color": style.colour,
        },
        "hovertext": [text(f"{hover}{amount(cell[rate])} samples/s")],
        "hoverinfo": "text",
    }


def _ranked(cell: Any, kind: str) -> str:
    """A row's name, with the rank, or the range of ranks, that the run has for training."""
    if kind != "train" or pd.isna(cell["rank"]):
        return cell["label"]
    return f"{RANK.text(cell)}. {cell['label']}"
