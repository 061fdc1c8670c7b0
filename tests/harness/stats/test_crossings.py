"""Where two curves cross: laws, and cases that are counted by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stats.crossings import FIRST, NEITHER, SECOND, Bounded, Crossing, crossings

Points = list[tuple[float, float, float]]
"""A place, the logarithm of the ratio there, and half the width of its interval."""

points = st.lists(
    st.tuples(
        st.floats(0.1, 1e4), st.floats(-3, 3).filter(lambda log: abs(log) > 1e-3), st.floats(0, 2)
    ),
    min_size=2,
    max_size=8,
    unique_by=lambda point: round(math.log(point[0]), 3),
).map(sorted)


def side(log: float, half: float) -> int:
    return FIRST if log > half else SECOND if log < -half else NEITHER


def crossed(points: Points, widen: float = 0.0) -> list[Crossing]:
    """The crossings of these points, their intervals wider by a part; who is ahead stays."""
    halves = [half * (1 + widen) for _, _, half in points]
    ahead = [side(log, half) for _, log, half in points]
    ratios: list[Bounded] = [
        (math.exp(log - half), math.exp(log), math.exp(log + half))
        for (_, log, _), half in zip(points, halves, strict=True)
    ]
    return crossings([place for place, _, _ in points], ratios, ahead)


def test_a_crossing_halfway_is_found_on_the_logarithmic_axis() -> None:
    (crossing,) = crossed([(32, -0.5, 0.1), (128, 0.5, 0.1)])
    assert crossing.at == pytest.approx(64) and crossing.rising
    # The upper line goes from -0.4 to 0.6, so it is at 0 after 4 of 10 parts of two octaves.
    assert crossing.low == pytest.approx(32 * 4**0.4)
    assert crossing.high == pytest.approx(32 * 4**0.6)


def test_what_is_inconclusive_between_widens_the_bounds() -> None:
    (crossing,) = crossed([(4, -1, 0.1), (8, -0.1, 0.5), (16, 0.1, 0.5), (32, 1, 0.1)])
    assert crossing.at == pytest.approx(math.sqrt(128))
    assert 4 < crossing.low < 8 and 16 < crossing.high < 32


def test_what_nobody_is_ahead_in_has_no_crossing() -> None:
    assert crossed([(4, 0.5, 0.1), (8, 0.7, 0.1), (16, 0.2, 0.1)]) == []
    assert (
        crossed([(4, -0.1, 0.2), (8, 0.1, 0.2)]) == []
    )  # the estimates cross, and nothing is certain
    assert crossed([(4, 0.5, 0.1), (8, -0.1, 0.2)]) == []


def test_an_interval_that_says_nothing_leaves_the_whole_way_open() -> None:
    unknown = (math.nan, 1.0, math.nan)
    (crossing,) = crossings([4, 8, 16], [(0.4, 0.5, 0.6), unknown, (2, 3, 4)], [-1, 0, 1])
    assert (crossing.low, crossing.high) == pytest.approx((4, 16))
    assert crossings([4, 8], [unknown, unknown], [0, 0]) == []


def test_each_change_of_order_is_a_crossing() -> None:
    both = crossed([(1, -0.5, 0.1), (4, 0.5, 0.1), (16, -0.5, 0.1)])
    assert [crossing.rising for crossing in both] == [True, False]
    assert [crossing.at for crossing in both] == pytest.approx([2, 8])


@given(points)
def test_a_crossing_lies_within_its_bounds_and_those_within_the_points(points: Points) -> None:
    for crossing in crossed(points):
        eps = 1e-9
        assert crossing.low <= crossing.at * (1 + eps) and crossing.at <= crossing.high * (1 + eps)
        assert points[0][0] <= crossing.low * (1 + eps)
        assert crossing.high <= points[-1][0] * (1 + eps)


@given(points)
def test_the_other_way_round_the_same_places_cross(points: Points) -> None:
    mirrored = crossed([(place, -log, half) for place, log, half in points])
    for crossing, mirror in zip(crossed(points), mirrored, strict=True):
        assert crossing.rising != mirror.rising
        there = (mirror.at, mirror.low, mirror.high)
        assert (crossing.at, crossing.low, crossing.high) == pytest.approx(there)


@given(points, st.floats(0.1, 10))
def test_the_unit_of_the_places_does_not_matter(points: Points, unit: float) -> None:
    scaled = crossed([(place * unit, log, half) for place, log, half in points])
    for crossing, other in zip(crossed(points), scaled, strict=True):
        here = (crossing.at * unit, crossing.low * unit, crossing.high * unit)
        assert (other.at, other.low, other.high) == pytest.approx(here)


@given(points, st.floats(0, 0.9))
def test_wider_intervals_have_wider_bounds(points: Points, widen: float) -> None:
    if any(side(log, half) != side(log, half * (1 + widen)) for _, log, half in points):
        return
    for narrow, wide in zip(crossed(points), crossed(points, widen), strict=True):
        assert wide.at == pytest.approx(narrow.at)
        assert wide.low <= narrow.low * (1 + 1e-9) and narrow.high <= wide.high * (1 + 1e-9)


@given(st.floats(0.1, 3), st.floats(0.1, 3), st.floats(0, 0.09), st.floats(0, 2))
def test_who_gets_faster_takes_the_lead_sooner(
    before: float, after: float, half: float, gain: float
) -> None:
    (crossing,) = crossed([(1, -before, half), (100, after, half)])
    (sooner,) = crossed([(1, -before, half), (100, after + gain, half)])
    assert sooner.at <= crossing.at * (1 + 1e-9)
