"""What a report claims in words: who is fastest, by how much, at what price; and where no cell is.

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
"""The kinds of slices, and how a sentence names them."""

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
    """Return the fastest of one run's cells, by `pairwise.leader`; None where none was timed."""
    rate = f"{kind}_samples_per_s"
    order = group.as_rows(cells[cells[rate].notna()].sort_values(rate, ascending=False))
    names = {row["cell"]: row for row in order}
    ratios = {
        (a, b): ratio.ratio
        for row in order[:1]
        for a in names
        for b in names
        if (ratio := group.ratios.get((row["run"], kind, a, b)))
    }
    return names.get(str(pairwise.leader(list(names), ratios)))


def claims(group: Group) -> list[Claim]:
    """What can be said of a group: of every run a sentence on training, and one on inference."""
    sentences: list[Claim] = []
    for run in group.cells[~group.cells["reference"]]["run"].unique():
        cells = group.ranked[group.ranked["run"] == run]
        if cells["train_samples_per_s"].notna().any():
            sentences += filter(None, (_claim(group, cells, kind) for kind in KINDS))
        else:
            subject = f"On {group.title} no cell"
            claim = Claim("note", f"{subject} was timed", run)
            sentences.append(claim if len(cells) else Claim("bad", f"{subject} can be ranked", run))
    return sentences


def _claim(group: Group, cells: pd.DataFrame, kind: str) -> Claim | None:
    """The sentence on one run's ranked cells; None where inference has nothing to add."""
    best = leader(group, cells, kind)
    if best is None:
        return None
    where, run = group.title + KINDS[kind], int(best["run"])
    rivals = cells[cells["cell"] != best["cell"]].dropna(subset=[f"{kind}_samples_per_s"])
    ratios = [group.ratios.get((run, kind, best["cell"], cell)) for cell in rivals["cell"]]
    compared = [ratio for ratio in ratios if ratio is not None]
    if not len(rivals):
        text = f"Only {best['name']} can be ranked on {where}"
    elif run in group.not_alone:
        text = f"On {where} nothing is claimed or ranked: the unit was not alone on its node"
    elif not compared:
        text = f"On {where} nothing is claimed or ranked: at least 2 launches are needed"
    elif len(compared) < len(ratios):
        text = f"On {where} nothing is claimed: some cells were not compared in several launches"
    else:
        return _verdict(best, rivals.assign(ratio=compared), where, run, kind)
    return Claim("warn" if len(rivals) else "note", text, run) if kind == "train" else None


def _verdict(best: Any, rivals: pd.DataFrame, where: str, run: int, kind: str) -> Claim:
    """Who is fastest, and how the best cell of another framework stands to it."""
    is_tied = pd.Series(
        [ratio.verdict == INCONCLUSIVE for ratio in rivals["ratio"]], index=rivals.index
    )
    tied = list(rivals["name"][is_tied])
    if len(tied) == len(rivals):
        text = f"no cell leads on {where} (order inconclusive)"
    else:
        text = f"{_names(best['name'], tied)} fastest on {where}"
        text += " (order inconclusive)" if tied else ""
    if not rivals["parity"].eq(EQUIVALENT).all() or best["parity"] != EQUIVALENT:
        text = f"Numerical equivalence was not checked, but {text}"
    tone: Tone = "note" if tied else "good"
    slower = rivals[~is_tied].sort_values(f"{kind}_samples_per_s", ascending=False)
    strangers = slower[slower["framework"] != best["framework"]]
    if not len(slower):
        return Claim(tone, text, run, kind)
    rival = (strangers if len(strangers) else slower).iloc[0]
    ratio = rival["ratio"]
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
    best_accuracy, rival_accuracy, n = best["accuracy"], rival["accuracy"], best["examples"]
    if pd.isna(best_accuracy) or pd.isna(rival_accuracy):
        return ""
    if round(best_accuracy, 3) == round(rival_accuracy, 3):
        return "same accuracy"
    spread = (
        np.sqrt(
            (best_accuracy * (1 - best_accuracy) + rival_accuracy * (1 - rival_accuracy)) / float(n)
        )
        if pd.notna(n)
        else 0.0
    )
    if abs(best_accuracy - rival_accuracy) <= 2 * spread:
        return f"accuracy alike within chance ({best_accuracy:.3f} and {rival_accuracy:.3f})"
    return f"accuracy {best_accuracy:.3f} against {rival_accuracy:.3f}"


def _memory(best: Any, rival: Any) -> str:
    best_bytes, rival_bytes = best["peak_memory_bytes"], rival["peak_memory_bytes"]
    if pd.isna(best_bytes) or pd.isna(rival_bytes) or not rival_bytes:
        return ""
    share = float(best_bytes) / float(rival_bytes)
    return (
        "about the same memory"
        if abs(share - 1) <= EQUIVALENCE.relative
        else f"{times(share)} the memory"
    )
