"""Pooling what launches vary by over the pairs of many cells."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.stats import intervals, pooling
from harness.stats.intervals import Ratio

Rates = NDArray[np.float64]


def drawn(
    seed: int, cells: int, launches: int = 3, by_launch: float = 0.005, by_slice: float = 0.05
) -> dict[str, Rates]:
    """Each cell's rates, (launches, 20): truly equal."""
    random = np.random.default_rng(seed)
    logs = random.normal(0, by_launch, (cells, launches, 1))
    logs = logs + random.normal(0, by_slice, (cells, launches, 20))
    return dict(zip("abcdefghi", np.exp(logs), strict=False))


def ratios(rates: dict[str, Rates], floor: float = 0.0) -> dict[tuple[str, str], Ratio]:
    pairs = list(combinations(rates, 2))
    return pooling.ratios(
        {(a, b): intervals.launch_ratios(rates[a], rates[b]) for a, b in pairs},
        {(a, b): pooling.scatter(rates[a], rates[b]) for a, b in pairs},
        floor,
    )


def alone(rates: dict[str, Rates], a: str, b: str) -> Ratio:
    return intervals.ratio(intervals.launch_ratios(rates[a], rates[b]))


def width(ratio: Ratio) -> float:
    return float(np.log(ratio.high / ratio.low))


def test_two_cells_have_nothing_to_pool() -> None:
    rates = drawn(0, 2)
    assert ratios(rates) == {("a", "b"): alone(rates, "a", "b")}


def test_of_three_launches_the_intervals_are_narrower_and_the_estimates_the_same() -> None:
    narrower = []
    for seed in range(10):
        rates = drawn(seed, 9)
        pooled = ratios(rates)
        student = {pair: alone(rates, *pair) for pair in pooled}
        widths = [np.median([width(r) for r in of.values()]) for of in (pooled, student)]
        narrower.append(widths[0] / widths[1])
        for pair, ratio in pooled.items():
            assert ratio.estimate == pytest.approx(student[pair].estimate)
    assert np.mean(narrower) < 0.85


def test_a_pair_that_varies_more_than_the_others_keeps_its_own_interval() -> None:
    rates = drawn(2, 9)
    rates["a"] = rates["a"] * np.exp([[0.3], [-0.2], [0.1]])
    pooled = ratios(rates)
    assert all(pooled["a", other] == alone(rates, "a", other) for other in "bcdefghi")
    assert width(pooled["b", "c"]) < 0.1


def test_no_pooled_interval_is_narrower_than_the_scatter_of_the_slices() -> None:
    rates = drawn(3, 9, by_launch=0.0)
    rates = {cell: np.tile(values[:1], (3, 1)) for cell, values in rates.items()}
    for (a, b), ratio in ratios(rates).items():
        least = np.sqrt(pooling.scatter(rates[a], rates[b]).mean() / 3)
        assert ratio.error == pytest.approx(least)


def test_few_rounds_say_nothing_of_the_scatter() -> None:
    few = np.full((2, 20), np.nan)
    few[:, : pooling.FEWEST_ROUNDS - 1] = 1.0
    assert np.isnan(pooling.scatter(few, np.ones((2, 20)))).all()
    rates = {cell: values[:, :3] for cell, values in drawn(4, 9).items()}
    assert ratios(rates)["a", "b"] == alone(rates, "a", "b")


def test_one_launch_has_no_interval() -> None:
    ratio = ratios(drawn(5, 9, launches=1))["a", "b"]
    assert np.isnan(ratio.low) and np.isnan(ratio.high) and ratio.p == 1


@given(st.integers(0, 2**16), st.floats(0.1, 10))
def test_units_and_the_order_of_a_pair_change_nothing(seed: int, factor: float) -> None:
    rates = drawn(seed, 4)
    pooled = ratios(rates)
    turned = ratios({cell: factor * rates[cell] for cell in reversed(rates)})
    for (a, b), ratio in pooled.items():
        inverse = turned[b, a].inverse()
        assert (inverse.low, inverse.estimate, inverse.high) == pytest.approx(
            (ratio.low, ratio.estimate, ratio.high)
        )


@pytest.mark.parametrize("by_launch", [0.002, 0.03])
def test_the_intervals_hold_the_truth(by_launch: float) -> None:
    held = [
        ratio.low <= 1 <= ratio.high
        for seed in range(60)
        for ratio in ratios(drawn(seed, 9, by_launch=by_launch)).values()
    ]
    assert np.mean(held) > 0.94
