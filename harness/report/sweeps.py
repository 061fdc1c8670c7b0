"""A run's sweep in texts: throughput by cell and value, and where curves cross."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.analysis.sweep_curves import CurvePair, SweepCurves, sweep_curves
from harness.results import store
from harness.results.sweep import AXES, Axis
from harness.stats.crossings import Crossing
from harness.stats.intervals import Interval
from harness.text import Tone, amount, count, listed, plain

KINDS = {"train": "training", "predict": "inference"}

MOST = 5
"""How many crossings a note names; the table of pairs has all."""


@dataclass(frozen=True)
class SweepTable:
    """The curves of a workload: a row a cell, a column a value; notes; what became of every pair."""

    kind: str
    title: str
    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[tuple[Tone, str], ...]
    pairs: tuple[tuple[str, ...], ...]
    pair_titles: tuple[str, ...] = ("a", "b", "where they cross")


def tables(record: store.Record) -> list[SweepTable]:
    """Return what a report says of a run's sweep; nothing where it was none."""
    return [of_curves(curves) for curves in sweep_curves(record)]


def of_curves(curves: SweepCurves) -> SweepTable:
    """Return the curves of one workload as texts."""
    rows = (
        (
            plain(curve.name),
            *(
                _speed(curve.speeds[value]) if value in curve.speeds else "-"
                for value in curves.values
            ),
        )
        for curve in curves.curves
    )
    return SweepTable(
        kind=curves.kind,
        title=title(curves),
        titles=("cell", *(at(curves.over, f"{value:g}") for value in curves.values)),
        rows=tuple(rows),
        notes=tuple(_notes(curves)),
        pairs=tuple(
            (plain(pair.a), plain(pair.b), _of_pair(curves.over, pair)) for pair in curves.pairs
        ),
    )


def title(curves: SweepCurves) -> str:
    """Return what a curve shows, of what."""
    where = f"{curves.device}, {curves.dtype}"
    return plain(f"{curves.of} over {AXES[curves.over]}: {KINDS[curves.kind]} samples/s, {where}")


def at(over: Axis, value: str) -> str:
    """Return a value with its word: batch 32, width 0.5, 2 threads."""
    if over == "threads":
        return f"{value} thread" if value == "1" else f"{value} threads"
    return f"{over} {value}"


def crossing(over: Axis, pair: CurvePair, change: Crossing) -> str:
    """Return a crossing as a sentence: from batch 48 (32 to 64) on, a leads b."""
    ahead, behind = (pair.a, pair.b) if change.rising else (pair.b, pair.a)
    start, low, high = change.at, change.low, change.high
    if over != "width":  # whole numbers, and no bound is drawn in
        start, low, high = math.ceil(start), math.floor(low), math.ceil(high)
    where = at(over, f"{start:.3g}")
    return plain(f"from {where} ({low:.3g} to {high:.3g}) on, {ahead} leads {behind}")


def _speed(speed: Interval) -> str:
    bounds = f" ({amount(speed.low)} to {amount(speed.high)})"
    return amount(speed.estimate) + (bounds if math.isfinite(speed.low) else "")


def _notes(curves: SweepCurves) -> Iterator[tuple[Tone, str]]:
    """Yield who leads throughout, every crossing, and how many pairs have none or cannot be told."""
    over, pairs = curves.over, curves.pairs
    if curves.leader:
        yield "good", plain(f"{curves.leader} leads at every {AXES[over]} of the sweep")
    changes = [(change.at, pair, change) for pair in pairs for change in pair.crossings]
    for _, pair, change in sorted(changes, key=lambda change: change[0])[:MOST]:
        yield "note", crossing(over, pair, change)
    if len(changes) > MOST:
        yield "note", f"and {count(len(changes) - MOST, 'more crossing')}: see the pairs"
    if settled := [pair for pair in pairs if pair.leader]:
        yield "note", f"{_pairs(settled, pairs)}: no crossing in the range"
    if unknown := [pair for pair in pairs if not (pair.leader or pair.crossings)]:
        yield (
            "note",
            f"{_pairs(unknown, pairs)}: whether they cross cannot be told, for their order is"
            " inconclusive somewhere",
        )


def _pairs(chosen: Sequence[CurvePair], pairs: Sequence[CurvePair]) -> str:
    return f"{len(chosen):,} of {count(len(pairs), 'pair')}"


def _of_pair(over: Axis, pair: CurvePair) -> str:
    """Return what became of a pair."""
    if pair.leader:
        return plain(f"no crossing in the range: {pair.leader} leads")
    open_values = listed(at(over, f"{value:g}") for value in pair.inconclusive)
    inconclusive = f"inconclusive at {open_values}" if open_values else ""
    if not pair.crossings:
        return f"cannot be told: {inconclusive}"
    sentences = [crossing(over, pair, change) for change in pair.crossings]
    return "; ".join([*sentences, *filter(None, [inconclusive])])
