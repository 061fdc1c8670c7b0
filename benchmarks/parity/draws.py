"""Strategies for single numbers and words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")


def weighted(weights: Mapping[T, int]) -> SearchStrategy[T]:
    """Draw a key as often as its weight says. Shrinks towards the first."""
    return st.sampled_from([value for value, weight in weights.items() for _ in range(weight)])


def log_uniform(low: float, high: float) -> SearchStrategy[float]:
    """Draw a number of two digits from `low` to `high`, each order of magnitude as often."""
    return st.integers(0, 99).map(lambda part: float(f"{low * (high / low) ** (part / 99):.2g}"))
