"""The parity check as tables: a row a cell; a row a tensor of those that are not found equivalent."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from harness.results import store, tables
from harness.results.tables import number
from harness.text import Tone, count, plain
from harness.verdicts import (
    EQUIVALENT,
    NOT_CHECKED,
    NOT_EQUIVALENT,
    REPLAYED,
    UNDECIDED,
    by_cell,
    parity_verdict,
    undecided_reason,
)

Event = Mapping[str, Any]

TITLES = ("workload", "cell", "verdict", "nearest its bound", "of it", "slices", "s")
"""Slices: how many were replayed and checked, as they are timed."""

TENSORS = ("tensor", "when", "relative error", "its bound", "largest element's", "its bound")
"""Errors and bounds are parts of the effect; where there is none, they are absolute, and say so."""

_SIZES = (
    ("error", "effect"),
    ("bound", "effect"),
    ("largest", "largest_effect"),
    ("largest_bound", "largest_effect"),
)
"""The norms of a check that TENSORS has, and of what they are parts."""

_SHOWN = 12
"""How many tensors of a cell are shown; the journal has all."""

_TONES: dict[str, Tone] = {EQUIVALENT: "good", UNDECIDED: "warn", NOT_EQUIVALENT: "bad"}


def rows(record: store.Record) -> Iterator[tuple[str, ...]]:
    """Every cell that was checked, as texts for TITLES; what is nearest its bound is over all checks."""
    for cell, checks in by_cell(record.events).items():
        parts = tables.split(cell)
        place = "" if parts["device"] == "cpu" else f" {parts['device']}"
        nearest = tables.nearest_bound(checks)
        yield (
            plain(parts["workload"]),
            plain(f"{parts['framework']} {parts['mode']}{place}"),
            parity_verdict(checks),
            plain(nearest.get("worst_tensor")),
            size(nearest.get("worst_share")),
            str(len(replayed(checks))),
            f"{sum(number(event.get('seconds')) or 0 for event in checks):.1f}",
        )


def replayed(checks: Sequence[Event]) -> list[Event]:
    """Those parity events that are of slices as they are timed."""
    return [event for event in checks if event.get("when") == REPLAYED]


def unsettled(record: store.Record) -> Iterator[tuple[Tone, str, list[tuple[str, ...]]]]:
    """Every cell that was checked and not found equivalent: a sentence, and its tensors for TENSORS."""
    for cell, checks in by_cell(record.events).items():
        verdict = parity_verdict(checks)
        if verdict != EQUIVALENT:
            decisive = [event for event in checks if parity_verdict([event]) == verdict]
            yield _TONES[verdict], f"{plain(cell)}: {sentence(decisive)}", tensors(decisive[0])


def sentence(checks: Sequence[Event]) -> str:
    """What parity events of one verdict say: the first one's words and hint, or what is undecided."""
    if parity_verdict(checks) == UNDECIDED:
        return plain(undecided_reason(checks))
    texts = [checks[0].get("sentence"), checks[0].get("hint")]
    return "; ".join(plain(text) for text in texts if text)


def tensors(event: Event, most: int = _SHOWN) -> list[tuple[str, ...]]:
    """The tensors of a parity event that are undecided, or else nearest their bounds, for TENSORS."""
    names, checks = set(event.get("undecided") or ()), event.get("checks") or []
    undecided = [check for check in checks if f"{check.get('tensor')} {check.get('when')}" in names]
    return [
        _tensor(check) for check in sorted(undecided or checks, key=_share, reverse=True)[:most]
    ]


def _share(check: Event) -> float:
    """A check's error over its bound; null stands for what is not finite."""
    share = number(check.get("share"))
    return math.inf if share is None else share


def summary(cells: pd.DataFrame) -> tuple[Tone, str] | None:
    """Say in a line what the parity check found of cells (with `label`); None where none was checked."""
    checked = cells[cells["parity"] != NOT_CHECKED]
    if not len(checked):
        return None
    tally = checked["parity"].value_counts()
    tone = next(tone for verdict, tone in reversed(_TONES.items()) if verdict in tally)
    exceptions = [
        f"{tally[verdict]} {verdict}" for verdict in (NOT_EQUIVALENT, UNDECIDED) if verdict in tally
    ]
    equivalent = checked[checked["parity"] == EQUIVALENT]
    words = [f"{count(len(equivalent), 'cell')} equivalent to the reference", *exceptions]
    return tone, f"parity check: {', '.join(words)}{_largest(equivalent)}"


def _largest(equivalent: pd.DataFrame) -> str:
    """The error of all equivalent cells that is nearest its bound, as the end of a sentence."""
    if not len(equivalent):
        return ""
    shares = pd.to_numeric(equivalent["parity_share"])
    if shares.isna().all():
        return ""
    worst = equivalent.iloc[int(shares.argmax())]
    name = f"{worst['label']}: {plain(worst['parity_worst'])}"
    return f"; the error nearest its bound is {worst['parity_share']:.2f} of it ({name})"


def size(value: Any) -> str:
    """An error or a share; what the journal holds as null was not finite."""
    finite = number(value)
    return "not finite" if finite is None else f"{finite:.2g}"


def _tensor(check: Event) -> tuple[str, ...]:
    sizes = (_relative(check.get(part), check.get(effect)) for part, effect in _SIZES)
    return (plain(check.get("tensor")), plain(check.get("when")), *sizes)


def _relative(value: Any, effect: Any) -> str:
    """A norm as a part of the effect's; the norm itself where there is no effect."""
    norm, effect_norm = number(value), number(effect)
    if norm is None:
        return size(value)
    return size(norm / effect_norm) if effect_norm else f"{size(norm)} (absolute)"
