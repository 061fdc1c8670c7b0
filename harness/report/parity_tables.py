"""The proof as tables: a row a cell, and for a cell that failed a row a tensor."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from harness import store, summaries
from harness.report.words import count, plain
from harness.summaries import number

TITLES = ("workload", "cell", "verdict", "nearest its bound", "of it", "s")
TENSORS = ("tensor", "when", "error", "bound", "largest element", "its bound")

_SHOWN = 12
"""How many tensors of a failed cell are shown; the journal has all."""


def rows(record: store.Record) -> Iterator[tuple[str, ...]]:
    """Every proof that was tried, as texts for TITLES."""
    for event in record.every("parity"):
        parts = summaries.split(event["cell"])
        place = "" if parts["device"] == "cpu" else f" {parts['device']}"
        yield (
            plain(parts["workload"]),
            plain(f"{parts['framework']} {parts['mode']}{place}"),
            "same maths" if event.get("ok") else "not the same maths",
            plain(event.get("worst_tensor")),
            size(event.get("worst_share")),
            f"{number(event.get('seconds')) or 0:.1f}",
        )


def failed(record: store.Record) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Every failed proof: its sentence with the hint, and its worst tensors for TENSORS."""
    for event in record.every("parity"):
        if event.get("ok"):
            continue
        words = f"{plain(event['cell'])}: {plain(event.get('sentence'))}"
        if event.get("hint"):
            words += f"; {plain(event['hint'])}"
        yield words, tensors(event)


def tensors(event: Mapping[str, Any], most: int = _SHOWN) -> list[tuple[str, ...]]:
    """The tensors of a `parity` event that came nearest their bounds, as texts for TENSORS."""
    return [_tensor(check) for check in _worst(event.get("checks") or [])[:most]]


def seal(cells: pd.DataFrame) -> tuple[bool, str] | None:
    """Say in a line what was proved of a workload's cells, and whether it was of all; None: nothing."""
    tried = cells[cells["proof"] != "not proved"]
    if not len(tried):
        return None
    proved = tried[tried["proof"] == "proved"]
    if not len(proved):
        return False, "no cell takes the reference's step"
    worst = proved.iloc[int(pd.to_numeric(proved["proof_share"]).argmax())]
    rest = len(tried) - len(proved)
    return not rest, (
        f"same maths: proved for {count(len(proved), 'cell')}"
        + (f", refuted for {rest}" if rest else "")
        + f"; the error nearest its bound is {worst['proof_share']:.2f} of it"
        f" ({worst['label']}: {plain(worst['proof_worst'])})"
    )


def size(value: Any) -> str:
    """A relative error or a share; what the journal holds as null was not finite."""
    known = number(value)
    return "not finite" if known is None else f"{known:.2g}"


def _worst(checks: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    def share(check: Mapping[str, Any]) -> float:
        pairs = (("error", "bound"), ("largest", "largest_bound"))
        found = [(number(check.get(a)), number(check.get(b))) for a, b in pairs]
        return max(math.inf if a is None or not b else a / b for a, b in found)

    return sorted(checks, key=share, reverse=True)[:_SHOWN]


def _tensor(check: Mapping[str, Any]) -> tuple[str, ...]:
    sizes = (check.get(key) for key in ("error", "bound", "largest", "largest_bound"))
    return (plain(check.get("tensor")), plain(check.get("when")), *map(size, sizes))
