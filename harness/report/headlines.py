"""What a report claims in words: who is fastest, by how much, at what price; and where nobody is.

A claim rests on a comparison's verdict alone. Medians give the order, and claim nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness.outcomes import EQUIVALENCE, INCONCLUSIVE
from harness.report.groups import Group
from harness.results import pairwise
from harness.text import Tone, count, interval, listed, times
from harness.verdicts import EQUIVALENT

KINDS = {"train": "", "predict": " in inference"}
"""The kinds of slices, and how a sentence tells them."""

_NAMED = 3
"""How many cells in no conclusive order a sentence names."""


@dataclass(frozen=True)
class Claim:
    """A sentence for a manager, and how it stands."""

    tone: Tone
    text: str
    run: int
    kind: str = "train"


def leader(group: Group, cells: pd.DataFrame, kind: str) -> dict[str, Any] | None:
    """Return the fastest of one run's cells, by `comparisons.leader`; None where none was timed."""
    rate = f"{kind}_samples_per_s"
    order = group.as_rows(cells[cells[rate].notna()].sort_values(rate, ascending=False))
    names = {one["cell"]: one for one in order}
    ratios = {
        (a, b): known.ratio
        for one in order[:1]
        for a in names
        for b in names
        if (known := group.ratios.get((one["run"], kind, a, b)))
    }
    return names.get(str(pairwise.leader(list(names), ratios)))


def claims(group: Group) -> list[Claim]:
    """What can be said of a group: of every run a sentence on training, and one on inference."""
    said: list[Claim] = []
    for run in group.cells[~group.cells["reference"]]["run"].unique():
        cells = group.ranked[group.ranked["run"] == run]
        if cells["train_samples_per_s"].notna().any():
            said += filter(None, (_claim(group, cells, kind) for kind in KINDS))
        else:
            none = f"On {group.title} no cell"
            well = Claim("note", f"{none} was timed", run)
            said.append(well if len(cells) else Claim("bad", f"{none} can be ranked", run))
    return said


def _claim(group: Group, cells: pd.DataFrame, kind: str) -> Claim | None:
    """The sentence on one run's ranked cells; None where inference has nothing to add."""
    best = leader(group, cells, kind)
    if best is None:
        return None
    where, run = group.title + KINDS[kind], int(best["run"])
    others = cells[cells["cell"] != best["cell"]].dropna(subset=[f"{kind}_samples_per_s"])
    found = [group.ratios.get((run, kind, best["cell"], cell)) for cell in others["cell"]]
    told = [one for one in found if one is not None]
    if not len(others):
        text = f"Only {best['name']} can be ranked on {where}"
    elif not told:
        text = f"On {where} nothing is claimed or ranked: one launch proves nothing"
    elif len(told) < len(found):
        text = f"On {where} nothing is claimed: some cells were not compared in several launches"
    else:
        return _verdict(best, others.assign(told=told), where, run, kind)
    return Claim("warn" if len(others) else "note", text, run) if kind == "train" else None


def _verdict(best: Any, others: pd.DataFrame, where: str, run: int, kind: str) -> Claim:
    """Who is fastest, and how the best cell of another framework stands to it."""
    is_tied = pd.Series([one.verdict == INCONCLUSIVE for one in others["told"]], index=others.index)
    tied = list(others["name"][is_tied])
    text = f"{_names(best['name'], tied)} fastest on {where}"
    text += " (order inconclusive)" if tied else ""
    if not others["parity"].eq(EQUIVALENT).all() or best["parity"] != EQUIVALENT:
        text = f"Numerical equivalence was not checked, but {text}"
    tone: Tone = "note" if tied else "good"
    rest = others[~is_tied].sort_values(f"{kind}_samples_per_s", ascending=False)
    strangers = rest[rest["framework"] != best["framework"]]
    if not len(rest):
        return Claim(tone, text, run, kind)
    rival = (strangers if len(strangers) else rest).iloc[0]
    ratio = rival["told"]
    price = [f"{interval(ratio.ratio, ratio.low, ratio.high)} {_whose(rival['name'])} throughput"]
    if kind == "train":
        price += filter(None, [_accuracy(best, rival), _memory(best, rival)])
    joint = f"; {best['name']} has" if tied else ":"
    return Claim(tone, f"{text}{joint} {', '.join(price)}", run, kind)


def _whose(label: str) -> str:
    return f"{label}'" if label.endswith("s") else f"{label}'s"


def _names(best: str, tied: list[str]) -> str:
    if not tied:
        return f"{best} is"
    if len(tied) > _NAMED:
        return f"{best} and {count(len(tied), 'other')} are"
    return f"{listed([best, *tied])} are"


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
    return (
        "about the same memory"
        if abs(share - 1) <= EQUIVALENCE.relative
        else f"{times(share)} the memory"
    )
