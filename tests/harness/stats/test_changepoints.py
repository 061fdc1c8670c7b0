"""Where a series changes its level: laws, false alarms on noise, and planted steps that are found."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.stats.changepoints import LASTING, change_point, change_points, steady_from

lawful = settings(deadline=None, derandomize=True, max_examples=60)

seeds = st.integers(0, 10**6)
series = st.lists(st.floats(-100, 100).map(lambda value: round(value, 3)), max_size=30)


@lawful
@given(series, st.floats(1e-4, 0.9))
def test_levels_are_not_shorter_than_they_may_be(values: list[float], alpha: float) -> None:
    places = change_points(values, alpha)
    assert places == sorted(set(places))
    ends = [0, *places, len(values)]
    assert not places or min(b - a for a, b in pairwise(ends)) >= 2


@lawful
@given(seeds, st.integers(4, 40), st.floats(-50, 50), st.sampled_from([-3.0, 0.01, 400.0]))
def test_units_and_the_direction_of_time_change_nothing(
    seed: int, count: int, shift: float, scale: float
) -> None:
    values = stepped(np.random.default_rng(seed), count, count // 2, 6)
    places = change_points(values)
    assert change_points(values * scale + shift) == places
    assert change_points(values[::-1]) == [count - place for place in reversed(places)]


@pytest.mark.parametrize(
    "values", [[], [1.0], [1.0, 9.0, 9.0], [2.0] * 40, [0.1 + 1e-12 * n for n in range(30)]]
)
def test_nothing_changes_where_there_is_too_little_or_nothing(values: list[float]) -> None:
    assert change_points(values) == []


def test_exact_levels_are_found_and_so_is_one_that_came_and_went() -> None:
    assert change_points([1.0, 1.0, 2.0, 2.0]) == [2]
    assert change_points([5.0] * 10 + [6.0] * LASTING + [5.0] * 10) == [10, 10 + LASTING]
    assert change_points([5.0] * 8 + [6.0] * 8 + [7.0] * 8) == [8, 16]  # each hides the other
    assert change_points([5.0] * 10 + [6.0] * 9 + [4.0] * 8 + [6.0] * 7) == [10, 19, 27]


@lawful
@given(seeds, st.integers(12, 30), st.integers(2, 30))
def test_a_planted_step_is_found_even_at_the_very_end(seed: int, before: int, after: int) -> None:
    values = stepped(np.random.default_rng(seed), before + after, before, 20)
    assert before in change_points(values)


@lawful
@given(seeds, st.integers(8, 50), st.data())
def test_one_odd_run_is_no_level(seed: int, count: int, data: st.DataObject) -> None:
    values = np.random.default_rng(seed).normal(size=count)
    quiet = change_points(values)
    odd = values.copy()
    odd[data.draw(st.integers(0, count - 1))] += 500
    assert len(change_points(odd)) <= len(quiet)


def stepped(random: np.random.Generator, count: int, place: int, size: float) -> NDArray:
    """Normal noise of standard deviation 1, and a step."""
    return random.normal(size=count) + size * (np.arange(count) >= place)


def drifting(random: np.random.Generator, count: int) -> NDArray:
    """Noise each value of which keeps half of the one before it."""
    values = random.normal(size=count)
    for place in range(1, count):
        values[place] = 0.5 * values[place - 1] + math.sqrt(0.75) * values[place]
    return values


NOISES = {
    "normal": (lambda random, count: random.normal(size=count), 0.02),
    "heavy": (lambda random, count: random.standard_t(3, count), 0.05),
    "odd runs": (
        lambda random, count: (
            random.normal(size=count) * np.where(random.random(count) < 0.05, 10, 1)
        ),
        0.05,
    ),
    "skewed": (lambda random, count: random.exponential(size=count), 0.05),
    "rounded": (lambda random, count: np.round(random.normal(size=count) / 2), 0.05),
    "drifting": (drifting, 0.10),
}


@pytest.mark.parametrize("noise", NOISES)
def test_noise_has_few_change_points(noise: str) -> None:
    draw, most = NOISES[noise]
    random = np.random.default_rng(7)
    for count in (5, 8, 20, 40):
        alarms = sum(bool(change_points(draw(random, count))) for _ in range(200))
        assert alarms <= most * 200, count


@pytest.mark.parametrize(
    ("before", "after", "size", "least"),
    [
        (3, 2, 10, 0.6),
        (4, 2, 10, 0.85),
        (4, 4, 5, 0.6),
        (10, 2, 5, 0.6),
        (18, 2, 5, 0.7),
        (10, 10, 3, 0.7),
        (15, 15, 5, 0.9),
    ],
)
def test_steps_are_found_where_they_are(before: int, after: int, size: float, least: float) -> None:
    random = np.random.default_rng(11)
    draws = [stepped(random, before + after, before, size) for _ in range(200)]
    assert sum(change_points(values) == [before] for values in draws) >= least * 200


def test_an_odd_run_hides_no_step() -> None:
    random = np.random.default_rng(13)
    draws = [stepped(random, 20, 12, 8) for _ in range(100)]
    for values in draws:
        values[5] += 40
    assert sum(change_points(values) == [12] for values in draws) >= 80


def test_a_stricter_alpha_finds_no_more() -> None:
    random = np.random.default_rng(17)
    for _ in range(50):
        values = stepped(random, 14, 7, 3)
        assert len(change_points(values, 1e-4)) <= len(change_points(values, 0.05))


# The largest change, and steady states.


@lawful
@given(st.integers(0, 10**6), st.integers(12, 60), st.integers(12, 60))
def test_a_planted_step_is_found(seed: int, before: int, after: int) -> None:
    noise = np.random.default_rng(seed).standard_t(3, before + after)
    noise[before:] += 30
    place = change_point(noise)
    assert place is not None and abs(place - before) <= 3
    assert change_point(-5 * noise) == place


def test_noise_has_no_change_point() -> None:
    random = np.random.default_rng(0)
    for size in (8, 20, 80):
        found = [change_point(random.standard_t(3, size)) for _ in range(1500)]
        assert sum(place is not None for place in found) < 0.02 * len(found)


@lawful
@given(st.lists(st.integers(0, 5), min_size=4, max_size=30), st.floats(0.001, 0.9))
def test_a_change_point_is_pettitt_s(values: list[int], alpha: float) -> None:
    x = np.array(values, dtype=float)
    signs = np.sign(x[:, None] - x[None, :])
    sums = [abs(signs[:place, place:].sum()) for place in range(1, len(x))]
    chance = 2 * math.exp(-6 * max(sums) ** 2 / (len(x) ** 3 + len(x) ** 2))
    place = change_point(x, alpha)
    assert (place is None) == (chance >= alpha)
    if place is not None:
        spread = [math.sqrt(n * (len(x) - n)) for n in range(1, len(x))]
        standard = [one / by for one, by in zip(sums, spread, strict=True)]
        assert standard[place - 1] == pytest.approx(max(standard))


@pytest.mark.parametrize("values", [[], [1.0, 9.0, 9.0], [2.0] * 40, [math.nan] * 10])
def test_too_little_changes_nothing(values: list[float]) -> None:
    assert change_point(values) is None


@lawful
@given(st.integers(0, 10**6), st.integers(10, 25), st.floats(1.3, 5))
def test_a_warm_up_is_left_behind(seed: int, ramp: int, slow: float) -> None:
    random = np.random.default_rng(seed)
    times = np.concatenate((np.linspace(slow, 1.1, ramp), np.ones(40)))
    start = steady_from(times * np.exp(random.normal(0, 0.005, ramp + 40)))
    assert start is not None and ramp - 3 <= start <= ramp + 8


def test_what_is_steady_from_the_first_is_so() -> None:
    times = np.exp(np.random.default_rng(0).normal(0, 0.02, 30))
    assert steady_from(times) == 0
    small = np.where(np.arange(30) < 15, 1.015, 1)  # a change of less than 2%
    assert change_point(small) == 15 and steady_from(small) == 0
    assert steady_from(times[:7]) is None and steady_from([]) is None


def test_a_warm_up_in_steps_is_left_behind() -> None:
    assert steady_from([4.0] * 20 + [2.0] * 20 + [1.0] * 10) == 40


def test_what_still_changes_is_not_steady() -> None:
    assert steady_from([1.0] * 20 + [2.0] * 7) is None
    assert steady_from([1.0] * 20 + [2.0] * 8) == 20
