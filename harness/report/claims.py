"""What a report claims in words: who is fastest, by how much, at what price; and where nobody is.

A claim rests on a comparison's verdict alone. Medians give the order, and claim nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness.report.model import Tone
from harness.report.runs import Group
from harness.report.words import amount, count, listed, plain

KINDS = {"train": "throughput", "predict": "throughput in inference"}

ALIKE = 0.05
"""Peak memories closer than this (relative) are called about the same."""

_NAMED = 3
"""How many tied cells a sentence names."""


@dataclass(frozen=True)
class Ratio:
    """One cell's throughput over another's: 95% interval; "faster", "slower" or "tied"."""

    ratio: float
    low: float
    high: float
    verdict: str


@dataclass(frozen=True)
class Claim:
    """A sentence for a manager, and how it stands."""

    tone: Tone
    text: str
    kind: str = "train"


def ratio(pairs: pd.DataFrame, run: int, kind: str, a: str, b: str) -> Ratio | None:
    """Return a's throughput over b's, whichever way round it is stored.

    None: not compared, or in one launch only, which has no interval.
    """
    told = pairs[(pairs["run"] == run) & (pairs["kind"] == kind)]
    for first, second, turned in ((a, b, False), (b, a, True)):
        found = told[(told["a"] == first) & (told["b"] == second)]
        if len(found) and pd.notna(found["low"].iloc[0]):
            return _ratio(found.iloc[0], turned)
    return None


def leader(cells: pd.DataFrame, pairs: pd.DataFrame, kind: str) -> pd.Series | None:
    """Return the fastest of one run's ranked cells: nobody is proved faster, its median is highest."""
    rate = f"{kind}_samples_per_s"
    told = cells.dropna(subset=[rate])
    mine = pairs[(pairs["kind"] == kind) & pairs["run"].isin(told["run"])]
    beaten = {*mine["b"][mine["verdict"] == "faster"], *mine["a"][mine["verdict"] == "slower"]}
    best = told[~told["cell"].isin(beaten)]
    best = best if len(best) else told
    return best.sort_values(rate, ascending=False).iloc[0] if len(best) else None


def claims(group: Group) -> list[Claim]:
    """What can be said of a group, a sentence each for training and inference of every run."""
    said = []
    for run in group.cells[~group.cells["arbiter"]]["run"].unique():
        cells = group.ranked[group.ranked["run"] == run]
        if not cells["train_samples_per_s"].notna().any():
            said.append(Claim("bad", f"On {plain(group.workload)} no cell can be ranked"))
            continue
        said += filter(None, (_claim(group, cells, kind) for kind in KINDS))
    return said


def _claim(group: Group, cells: pd.DataFrame, kind: str) -> Claim | None:
    best = leader(cells, group.pairs, kind)
    if best is None:
        return None
    where, name = plain(group.workload), best["label"]
    others = cells[cells["cell"] != best["cell"]].dropna(subset=[f"{kind}_samples_per_s"])
    if not len(others):
        rate = amount(best[f"{kind}_samples_per_s"])
        said = f"Only {name} can be ranked on {where}: {rate} samples/s"
        return Claim("note", said) if kind == "train" else None
    run = int(best["run"])
    told = {cell: ratio(group.pairs, run, kind, best["cell"], cell) for cell in others["cell"]}
    if None in told.values():
        if kind != "train":
            return None
        return Claim(
            "note",
            f"On {where} nothing is claimed: its cells were not compared in several launches",
        )
    tied = others[[one is not None and one.verdict == "tied" for one in told.values()]]
    rest = others.drop(tied.index).sort_values(f"{kind}_samples_per_s", ascending=False)
    strange = rest[rest["framework"] != best["framework"]]
    rival = (strange if len(strange) else rest).iloc[0] if len(rest) else None
    inference = "" if kind == "train" else " in inference"
    if len(tied):
        text = f"{_tied(name, list(tied['label']))} fastest on {where}{inference}"
    else:
        text = f"{name} is fastest on {where}{inference}"
    if rival is None:
        return Claim("note", text, kind)
    known = told[rival["cell"]]
    assert known is not None  # noqa: S101 - no None is left above
    by = f"{times(known.ratio)} ({_bare(known.low)} to {_bare(known.high)}) {_whose(rival['label'])} throughput"
    joint = f"; {name} has " if len(tied) else ": "
    price = [by, _accuracy(best, rival), _memory(best, rival)] if kind == "train" else [by]
    return Claim(
        "note" if len(tied) else "good", text + joint + ", ".join(filter(None, price)), kind
    )


def times(value: float) -> str:
    """A ratio: 1.93×, 12×."""
    return f"{_bare(value)}×"


def _bare(value: float) -> str:
    if value < 0.1:
        return f"{value:.2g}"
    return f"{value:.0f}" if value >= 20 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _whose(label: str) -> str:
    return f"{label}'" if label.endswith("s") else f"{label}'s"


def _tied(name: str, tied: list[str]) -> str:
    if len(tied) > _NAMED:
        return f"{name} and {count(len(tied), 'other')} are tied"
    return f"{listed([name, *tied])} are tied"


def _accuracy(best: Any, rival: Any) -> str:
    """Accuracies side by side; alike where chance alone would part them so far."""
    mine, other, n = best["accuracy"], rival["accuracy"], best["examples"]
    if pd.isna(mine) or pd.isna(other):
        return ""
    if round(mine, 3) == round(other, 3):
        return "same accuracy"
    spread = np.sqrt((mine * (1 - mine) + other * (1 - other)) / float(n)) if pd.notna(n) else 0.0
    if abs(mine - other) <= 2 * spread:
        return f"accuracy alike within chance ({mine:.3f} and {other:.3f})"
    return f"accuracy {mine:.3f} against {other:.3f}"


def _memory(best: Any, rival: Any) -> str:
    mine, other = best["peak_memory_bytes"], rival["peak_memory_bytes"]
    if pd.isna(mine) or pd.isna(other) or not other:
        return ""
    share = float(mine) / float(other)
    return "about the same memory" if abs(share - 1) <= ALIKE else f"{times(share)} the memory"


def _ratio(row: Any, turned: bool) -> Ratio:
    low, middle, high = float(row["low"]), float(row["ratio"]), float(row["high"])
    verdict = str(row["verdict"])
    if turned:
        low, middle, high = 1 / high, 1 / middle, 1 / low if low > 0 else float("inf")
        verdict = {"faster": "slower", "slower": "faster"}.get(verdict, verdict)
    return Ratio(middle, low, high, verdict)
