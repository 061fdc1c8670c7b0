"""Numbers and foreign texts as words that are safe to print."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

Tone = Literal["good", "warn", "bad", "off", "note"]
"""How a sentence stands: each format has a colour for it."""

SYMBOLS: dict[Tone, str] = {"good": "✓", "warn": "!", "bad": "✗", "off": "·", "note": "•"}
"""A tone without colour."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?")


def plain(text: object) -> str:
    """One line without terminal codes, control characters or half letters, whatever came."""
    bare = _ESCAPES.sub("", str(text))
    return "".join(
        letter if letter.isprintable() else " " if letter.isspace() else "?" for letter in bare
    ).strip()


def score(value: float) -> str:
    """A metric from 0 to 1: 0.9722."""
    return f"{value:.4f}"


def amount(value: float) -> str:
    """A rate, to three digits at least: 1.23, 45.6, 7,890."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def whole(value: float) -> str:
    """A whole number: 3."""
    return f"{value:.0f}"


def yes_no(value: float) -> str:
    """A flag as a word: yes, no."""
    return "yes" if value else "no"


def percent(value: float) -> str:
    """A part of one: 34%, 1.2%."""
    return f"{value:.0%}" if value >= 0.1 else f"{value:.1%}"


def times(ratio: float) -> str:
    """A ratio: 1.93x, 12.1x, 0.051x."""
    return f"{_ratio(ratio)}x"


def interval(ratio: float, low: float, high: float) -> str:
    """A ratio with its bounds: 1.93x (1.85 to 2.01)."""
    return f"{times(ratio)} ({_ratio(low)} to {_ratio(high)})"


def _ratio(value: float) -> str:
    if value < 0.1:
        return f"{value:.2g}"
    return f"{value:.0f}" if value >= 20 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def seconds(value: float) -> str:
    """A time in seconds: 0.012, 1.23, 23.4, 1,234."""
    return f"{value:.3f}" if value < 1 else amount(value)


def duration(value: float) -> str:
    """How long something takes, from seconds: 40 s, 5 min, 1.5 h."""
    if value < 90:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 5400 else f"{value / 3600:.1f} h"


def mebibytes(value: float) -> str:
    """A number of bytes in MiB: 1,234, and 0.26 where fewer than ten."""
    size = value / 2**20
    return f"{size:,.0f}" if size == 0 or size >= 9.95 else f"{size:.2g}"


def gibibytes(value: float) -> str:
    """A number of bytes in GiB, with the unit: 7.8 GiB."""
    return f"{value / 2**30:.1f} GiB"


def count(number: int, thing: str, many: str | None = None) -> str:
    """A number with its noun: 1 cell, 2 cells, 1,437 cells; `many` is a plural of its own."""
    return f"{number:,} {thing if number == 1 else many or thing + 's'}"


def listed(things: Iterable[object]) -> str:
    """Some things in a sentence: a, b and c."""
    *front, last = [*map(str, things)] or [""]
    return f"{', '.join(front)} and {last}" if front else last


def with_reason(status: str, reason: str, between: str = ": ") -> str:
    """Return a status and its reason; the status once, where the reason begins with it."""
    return reason if reason.startswith(f"{status}: ") else f"{status}{between}{reason}"
