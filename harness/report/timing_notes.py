"""Notes on the timing of a workload's cells: how certain figures are, and what contaminated them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from harness.outcomes import INCONCLUSIVE
from harness.results import aggregates, pairwise, store, sweep, tables
from harness.results.tables import number
from harness.text import Tone, count, duration, listed, plain
from harness.verdicts import UNDECIDED

PAIRS = ("training: a", "b", "a over b", "95% interval", "launches", "a is")

Note = tuple[Tone, str]

_NAMED = 5
"""How many unsettled pairs a note names."""

_OUTVOTED = 0.05
"""Up to this share of contaminated slices moves no figure: a launch's value is a pseudomedian."""


def notes(record: store.Record, cells: pd.DataFrame, pairs: pd.DataFrame) -> Iterator[Note]:
    """Yield what is to be said of one workload's `cells` (with `label`) and its `pairs`."""
    names = dict(zip(cells["cell"], cells["label"], strict=True))
    trained = pairs[pairs["kind"] == "train"]
    timed = cells[(cells["train_slices"] > 0) & ~cells["reference"]]
    if (trained["launches"] > 1).any():
        yield from _floor(trained)
    yield from _open(record, names, trained)
    yield from _troubles(record, timed)
    comparable = timed[timed["parity"] != UNDECIDED]
    yield from _peak(record, comparable)
    yield from _dispatch(record, comparable)


def rows(pairs: pd.DataFrame, names: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Return the training pairs as texts for PAIRS."""
    trained = pairs[(pairs["kind"] == "train") & (pairs["launches"] > 1)]
    return [
        (
            names[p["a"]],
            names[p["b"]],
            f"{p['ratio']:.3f}",
            f"{p['low']:.3f} to {p['high']:.3f}",
            str(p["launches"]),
            str(p["verdict"]),
        )
        for p in trained.to_dict("records")
    ]


def _floor(trained: pd.DataFrame) -> Iterator[Note]:
    floor = trained["floor"].max()
    if floor > 0:
        apart = f"{math.expm1(floor):.1%}"
        yield (
            "note",
            f"A/A noise floor: {apart}; no smaller difference is claimed",
        )


def _open(record: store.Record, names: Mapping[str, str], trained: pd.DataFrame) -> Iterator[Note]:
    """Yield why the measuring ended, and what a longer run would still decide."""
    workload = next(iter(names), "").split("/")[0]
    for event in record.every("in-turn"):
        if event.get("workload") == workload:
            cells = [names.get(cell, plain(cell)) for cell in event.get("cells") or ()]
            yield "warn", f"memory did not hold all workers: {listed(cells)} were timed apart"
    for event in record.every("stopped"):
        if event.get("workload") != workload:
            continue
        precision = _precision(record)
        left = pairwise.undecided(trained, precision)
        yield "note", f"measuring ended: {plain(event.get('reason'))}"
        if len(left):
            goal = "decide" if precision is None else f"know to {100 * precision:g}%"
            wanted = _wanted(left, names, precision, _seconds_a_launch(record, workload))
            yield "note", f"a longer run would {goal}: {'; '.join(wanted)}"


def _precision(record: store.Record) -> float | None:
    return number((record.manifest.get("options") or {}).get("precision"))


def _seconds_a_launch(record: store.Record, workload: str) -> float:
    """How long the last launch of all cells took; NaN where the journal does not say."""
    took = [
        number(event.get("took"))
        for event in record.every("checkpoint")
        if event.get("workload") == workload and event.get("launch")
    ]
    return next((seconds for seconds in reversed(took) if seconds), math.nan)


def _wanted(
    left: pd.DataFrame, names: Mapping[str, str], precision: float | None, seconds_a_launch: float
) -> Iterator[str]:
    """Yield the pairs that are nearest to being settled, each with what that would take."""
    wanted = left.apply(pairwise.launches_wanted, axis=1, precision=precision)
    nearest = left.assign(wanted=wanted).sort_values("wanted").head(_NAMED)
    for _, pair in nearest.iterrows():
        estimate = "no interval yet"
        if not math.isnan(pair["low"]):
            estimate = f"{pair['low']:.2f} to {pair['high']:.2f}"
        if math.isfinite(pair["wanted"]):
            estimate += f", about {math.ceil(pair['wanted'])} launches"
            seconds = (math.ceil(pair["wanted"]) - pair["launches"]) * seconds_a_launch
            estimate += f", {duration(seconds)} more" if seconds > 0 else ""
        yield f"{names[pair['a']]} against {names[pair['b']]} ({estimate})"
    if len(left) > _NAMED:
        yield f"and {len(left) - _NAMED} more pairs"


def _troubles(record: store.Record, timed: pd.DataFrame) -> Iterator[Note]:
    """Yield which cells cannot be relied upon, and what contaminated slices."""
    threads = number(sweep.threads(record.manifest, _workload(timed)))
    unsteady = timed[timed["steady"].eq(False)]["label"]
    if len(unsteady):
        yield (
            "warn",
            f"{listed(unsteady)} did not reach steady state while warming up: throughput is unreliable",
        )
    if threads:
        greedy = timed[timed["cores_used"] > aggregates.ALLOWANCE * threads]
        for label, cores in zip(greedy["label"], greedy["cores_used"], strict=True):
            yield "bad", f"{label} exceeded its thread limit ({cores:.1f} of {threads:g} cores)"
    contaminated = int(timed["contaminated"].sum())
    if contaminated:
        slices = record.contaminated[record.contaminated["cell"].isin(timed["cell"])]
        causes = Counter(
            plain(cause).partition(":")[0]
            for noise in slices["noise"]
            for cause in noise.split("; ")
        )
        tally = listed(f"{cause} ({n})" for cause, n in causes.most_common(4))
        in_table = record.slices["cell"].isin(timed["cell"]) & ~record.slices["twin"]
        total = int((in_table & (record.slices["round"] != tables.WARM_UP)).sum())
        text = f"{contaminated:,} of {count(total, 'slice')} contaminated: {tally}"
        if contaminated <= _OUTVOTED * total:
            yield "note", text
        else:
            yield (
                "warn",
                f"{text}; ratios are taken within rounds, which share a disturbance, but absolute"
                " speeds may be low",
            )


def _peak(record: store.Record, timed: pd.DataFrame) -> Iterator[Note]:
    peaks = aggregates.limits(_limits(record, timed))
    share = timed["limit_share"].max()
    if peaks and share == share and len(timed):
        words = [f"{value / 1e9:,.0f} {unit} ({name})" for name, value, unit in _rates(peaks)]
        best = timed["label"].iloc[int(timed["limit_share"].argmax())]
        yield (
            "note",
            f"measured peak: {listed(words)}; best MFU: {best}, {share:.0%}",
        )


def _workload(cells: pd.DataFrame) -> str:
    """The workload of the cells of one; empty of none."""
    return str(next(iter(cells["workload"]), ""))


def _limits(record: store.Record, cells: pd.DataFrame) -> list[Mapping[str, Any]]:
    """The machine's limits as they were measured with as many threads as a workload's cells have."""
    return sweep.limits_of(record.manifest, record.every("limits"), _workload(cells))


def _rates(peaks: Mapping[str, float]) -> Iterator[tuple[str, float, str]]:
    for name, value in sorted(peaks.items(), key=lambda rate: rate[0] != aggregates.FLOAT32_LIMIT):
        yield name, value, "GB/s" if name.startswith("copy") else "Gflop/s"


def _dispatch(record: store.Record, timed: pd.DataFrame) -> Iterator[Note]:
    """Yield each framework's dispatch rate, and the step that takes as long as the fewest dispatches."""
    rates = aggregates.launches(_limits(record, timed))
    for device, cells in timed.dropna(subset=["step_operations"]).groupby("device", sort=False):
        frameworks = set(cells["framework"])
        words = [
            f"{plain(name)} {rate:,.0f}"
            for (name, place), rate in sorted(rates.items())
            if place == device and name in frameworks
        ]
        least = cells.iloc[int(cells["step_operations"].argmin())]
        yield (
            "note",
            f"dispatch rate on {plain(device)}, operations a second: {listed(words)}; a step of"
            f" {least['label']} takes as long as {least['step_operations']:,.0f} dispatches",
        )


def energy(record: store.Record) -> str:
    """Say by what joules were read, or why they were not."""
    meter = record.manifest.get("energy") or {}
    sources = [plain(source) for source in meter.get("sources") or ()]
    if sources:
        return f"joules a sample by {listed(sources)}, of all that the processor did meanwhile"
    return plain(meter.get("reason") or "not measured")


def measured(record: store.Record, table: pd.DataFrame) -> str:
    """Say in a sentence how speeds and their intervals came about."""
    slices = pd.to_numeric(table["train_slices"])
    if not (slices > 0).any():
        return "no slice was timed"
    most = int(table["launches"].max())
    level = tables.level(record.manifest)
    looks = "" if level == 0.95 else ", valid however often the run looked at them"
    return (
        f"slices of all cells are interleaved in rounds, in {count(most, 'launch', 'launches')}"
        " of every cell in steady state; ratios are taken within a round; intervals are 95%"
        " (Student's, over launches, their variance pooled over the pairs)"
        f"{looks}; significance is by Holm's rule ({INCONCLUSIVE} otherwise)"
    )
