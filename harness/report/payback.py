"""After how many steps a mode that starts slowly has paid for it, against its framework's quickest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from harness.report.timing_notes import Note
from harness.results import pairwise
from harness.results.tables import number
from harness.text import count, listed, seconds


def payback(
    extra: float, seconds_a_step: float, ratios: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Return the steps after which `extra` seconds at the start are made up for, and their bounds.

    `seconds_a_step`: of the mode that starts quickly; `ratios`: the other one's speed over it, and its
    bounds. A step gains ``seconds_a_step * (1 - 1 / ratio)``. Infinite where it gains nothing.
    """
    estimate, low, high = (
        extra / (seconds_a_step * (1 - 1 / ratio)) if ratio > 1 else math.inf for ratio in ratios
    )
    return estimate, high, low  # the faster it is, the sooner


def notes(cells: pd.DataFrame, pairs: pd.DataFrame, spec: Mapping[str, Any]) -> Iterator[Note]:
    """Yield what the modes that gain by a longer first step take, of one workload's `cells`."""
    batch = number((spec.get("data") or {}).get("batch"))
    trained = pairs[(pairs["kind"] == "train") & pairs["low"].notna()]
    bounds = {
        (pair["a"], pair["b"]): (pair["ratio"], pair["low"], pair["high"])
        for pair in pairwise.both_ways(trained).to_dict("records")
    }
    words = []
    timed = cells.dropna(subset=["first_step_s", "train_samples_per_s"])
    for _, modes in timed.groupby(["framework", "device", "dtype"], sort=False) if batch else ():
        quickest, *slower = modes.sort_values("first_step_s").to_dict("records")
        step = batch / quickest["train_samples_per_s"]
        for mode in slower:
            ratios = bounds.get((mode["cell"], quickest["cell"]))
            extra = mode["first_step_s"] - quickest["first_step_s"]
            if ratios and ratios[1] > 1:
                steps = payback(extra, step, ratios)
                words.append(_sentence(mode, quickest["label"], steps))
    if words:
        yield "note", f"a longer first step is paid back: {'; '.join(words)}"


def _sentence(mode: Mapping[Any, Any], quickest: str, steps: tuple[float, float, float]) -> str:
    first = [f"{seconds(mode['first_step_s'])} s"]
    if (warm := number(mode["first_step_warm_s"])) is not None:
        first.append(f"{seconds(warm)} s with a warm cache")
    estimate, low, high = map(math.ceil, steps)
    return (
        f"{mode['label']} ({listed(first)}) after {count(estimate, 'step')} ({low:,} to {high:,})"
        f" against {quickest}"
    )
