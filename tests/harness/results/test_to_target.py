"""Time to the target over seeds: means say what they are over, and missed seeds are counted."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.results.to_target import figures, seed_curves


def trained(seed: int, *accuracies: float, **fields: Any) -> dict[str, Any]:
    """A training that is scored every ten steps, which take a second."""
    places = range(1, len(accuracies) + 1)
    curve = {
        "steps": [10 * place for place in places],
        "seconds": [float(place) for place in places],
        "accuracies": list(accuracies),
    }
    return {"event": "retrained", "cell": "a", "launch": 1, "seed": seed, "curve": curve, **fields}


def test_the_first_evaluation_at_the_target_counts() -> None:
    (curve,) = seed_curves([trained(0, 0.5, 0.9, 0.8, 0.95)])
    assert curve.reached(0.9) == (20, 2.0)
    assert curve.reached(0.95) == (40, 4.0) and curve.reached(0.96) is None


def test_means_are_over_the_seeds_that_reached_it_and_the_others_are_counted() -> None:
    events = [trained(0, 0.9), trained(1, 0.5, 0.9), trained(2, 0.5, 0.5, 0.5), trained(3)]
    row = figures(events, 0.9)
    assert (row["seeds"], row["seeds_missed"]) == (4, 2)
    assert (row["steps_to_target"], row["seconds_to_target"]) == (15, 1.5)
    # Student's t of one degree of freedom, 12.7, times the standard error; never below 0.
    assert row["steps_to_target_high"] == pytest.approx(15 + 12.706 * 5, rel=1e-3)
    assert row["steps_to_target_low"] == 0


def test_where_all_missed_there_is_no_mean_and_of_one_no_interval() -> None:
    row = figures([trained(0, 0.5), trained(1, 0.5)], 0.9)
    assert row["seeds_missed"] == 2 and math.isnan(row["steps_to_target"])
    row = figures([trained(0, 0.9), trained(1, 0.5)], 0.9)
    assert row["steps_to_target"] == 10 and math.isnan(row["steps_to_target_low"])


def test_a_seed_that_was_trained_again_counts_once_and_a_check_s_trainings_do_not() -> None:
    again = [trained(0, 0.5), trained(0, 0.9)]
    assert figures(again, 0.9)["seeds"] == 1 and figures(again, 0.9)["seeds_missed"] == 0
    assert figures([{"event": "retrained", "cell": "a", "seed": 1, "accuracy": 1.0}], 0.9) == {}
    assert figures(again, None) == {}


@given(st.lists(st.lists(st.floats(0, 1), max_size=6), min_size=1, max_size=6), st.floats(0.01, 1))
def test_a_lower_target_is_reached_no_later_and_missed_no_more(
    scores: list[list[float]], target: float
) -> None:
    curves = seed_curves(trained(seed, *each) for seed, each in enumerate(scores))
    for curve in curves:
        hard, easy = curve.reached(target), curve.reached(target / 2)
        assert hard is None or (easy is not None and easy <= hard)
