"""The laws that ratios, intervals and ranks keep."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from harness.stats import intervals
from harness.stats.intervals import LEVEL, LOOKS

ROUNDING = 1e-12  # of float64 sums of numbers up to 2
lawful = settings(deadline=None, derandomize=True, max_examples=60)

numbers = st.floats(-100, 100)
# Nothing measured is as small as 1e-150, whose square is 0 in floating point.
logs = st.lists(st.floats(-2, 2).map(lambda log: round(log, 12)), min_size=2, max_size=12)
floors = st.floats(0, 0.2)
rates = arrays(float, (4, 5), elements=st.floats(0.1, 1000))
gaps = arrays(bool, (4, 5))
names = "abcdefg"


def holes(speeds: np.ndarray, where: np.ndarray) -> np.ndarray:
    return np.where(where, np.nan, speeds)


# The pseudomedian.


@lawful
@given(st.lists(numbers, min_size=1, max_size=20))
def test_a_pseudomedian_lies_between_the_extremes(values: list[float]) -> None:
    assert min(values) <= intervals.pseudomedian(values) <= max(values)


@lawful
@given(st.lists(numbers, min_size=1, max_size=20), numbers, numbers)
def test_a_pseudomedian_moves_with_its_values(
    values: list[float], scale: float, shift: float
) -> None:
    moved = [value * scale + shift for value in values]
    wanted = intervals.pseudomedian(values) * scale + shift
    assert intervals.pseudomedian(moved) == pytest.approx(wanted, abs=1e-9)
    assert intervals.pseudomedian(values[::-1]) == intervals.pseudomedian(values)


@lawful
@given(st.lists(numbers | st.sampled_from([math.nan, math.inf, -math.inf]), max_size=12))
def test_a_pseudomedian_is_of_what_is_finite(values: list[float]) -> None:
    known = [value for value in values if math.isfinite(value)]
    got = intervals.pseudomedian(values)
    if known:
        pairs = [(a + b) / 2 for n, a in enumerate(known) for b in known[n:]]
        assert got == pytest.approx(np.median(pairs))
    else:
        assert math.isnan(got)


def test_an_outlier_moves_a_pseudomedian_little() -> None:
    assert intervals.pseudomedian([1.0, 1.1, 0.9, 1.0, 1e6]) < 1.2


# Intervals.


@lawful
@given(logs)
def test_more_launches_and_lower_levels_narrow_an_interval(values: list[float]) -> None:
    few, many = intervals.interval(values), intervals.interval(values * 4)
    # Equal values have an interval of no width, but for the rounding of their mean.
    assert many.high - many.low <= few.high - few.low + ROUNDING
    loose = intervals.interval(values, 0.5)
    assert few.low - ROUNDING <= loose.low <= loose.estimate + ROUNDING
    assert loose.estimate - ROUNDING <= loose.high <= few.high + ROUNDING


def test_an_interval_is_student_s() -> None:
    got = intervals.interval([1.0, 2.0, 3.0, math.nan])
    assert (got.estimate, got.launches) == (2, 3)
    half = pytest.approx(4.302653 / math.sqrt(3))
    assert (got.high - 2, 2 - got.low) == (half, half)


def test_without_launches_there_are_no_bounds() -> None:
    none, one = intervals.interval([math.nan]), intervals.interval([5.0])
    assert math.isnan(none.estimate) and none.launches == 0
    assert one.estimate == 5 and math.isnan(one.low)
    assert math.isnan(intervals.speed([]).estimate)
    assert math.isnan(intervals.speed([[math.nan, 0.0, -1.0]]).estimate)


@lawful
@given(rates, gaps, st.floats(0.01, 100))
def test_a_speed_scales_and_knows_no_order_of_its_rounds(
    speeds: np.ndarray, where: np.ndarray, factor: float
) -> None:
    known = holes(speeds, where)
    one, other = intervals.speed(known), intervals.speed(known[::-1, ::-1] * factor)
    wanted = [one.estimate * factor, one.low * factor, one.high * factor, one.launches]
    got = [other.estimate, other.low, other.high, other.launches]
    assert got == pytest.approx(wanted, nan_ok=True)


def test_levels_at_looks_hold_together() -> None:
    levels = [intervals.level_at_looks(looks) for looks in range(20)]
    assert levels == sorted(levels) and levels[0] == levels[1] == LEVEL
    for looks in range(1, 20):
        assert looks * (1 - levels[looks]) == pytest.approx(1 - LEVEL)
    assert sorted(set(LOOKS)) == list(LOOKS)


# Ratios.


@lawful
@given(rates, rates, gaps, gaps, floors)
def test_a_ratio_is_the_inverse_of_its_inverse(
    a: np.ndarray, b: np.ndarray, lost: np.ndarray, gone: np.ndarray, floor: float
) -> None:
    a, b = holes(a, lost), holes(b, gone)
    there = intervals.ratio(intervals.launch_ratios(a, b), floor)
    back = intervals.ratio(intervals.launch_ratios(b, a), floor)
    wanted = [1 / there.estimate, 1 / (there.high or math.nan), 1 / (there.low or math.nan)]
    assert [back.estimate, back.low, back.high] == pytest.approx(wanted, rel=1e-6, nan_ok=True)
    assert back.p == pytest.approx(there.p, abs=1e-9) and back.launches == there.launches


@lawful
@given(rates, rates, gaps, st.floats(0.001, 1000))
def test_units_leave_ratios_alone(
    a: np.ndarray, b: np.ndarray, lost: np.ndarray, factor: float
) -> None:
    a = holes(a, lost)
    scaled = intervals.launch_ratios(a * factor, b * factor)
    assert scaled == pytest.approx(intervals.launch_ratios(a, b), abs=1e-9, nan_ok=True)


@lawful
@given(rates, rates, rates)
def test_drift_common_to_a_round_cancels(a: np.ndarray, b: np.ndarray, drift: np.ndarray) -> None:
    drifted = intervals.launch_ratios(a * drift, b * drift)
    assert drifted == pytest.approx(intervals.launch_ratios(a, b), abs=1e-9)


def test_rounds_are_paired_and_without_any_launches_are() -> None:
    a = [[2.0, 20.0, math.nan], [2.0, math.nan, math.nan], [math.nan] * 3]
    b = [[1.0, 10.0, 100.0], [math.nan, 1.0, 1.0], [1.0] * 3]
    got = np.exp(intervals.launch_ratios(a, b))
    assert got == pytest.approx([2, 2, math.nan], nan_ok=True)


@lawful
@given(logs, floors, st.floats(0.5, 0.999))
def test_a_ratio_is_significant_where_its_interval_leaves_1_out(
    values: list[float], floor: float, level: float
) -> None:
    got = intervals.ratio(values, floor, level)
    assert 0 <= got.p <= 1 and got.low <= got.estimate <= got.high
    if abs(got.p - (1 - level)) > 1e-9:
        assert (got.p < 1 - level) == (not got.low <= 1 <= got.high)


@lawful
@given(logs, floors, floors)
def test_a_floor_widens_and_makes_less_sure(values: list[float], floor: float, more: float) -> None:
    narrow, wide = intervals.ratio(values, floor), intervals.ratio(values, floor + more)
    assert wide.low <= narrow.low and narrow.high <= wide.high and wide.p >= narrow.p
    assert wide.estimate == narrow.estimate


@pytest.mark.parametrize(("values", "launches"), [([], 0), ([math.nan], 0), ([0.7, math.nan], 1)])
def test_a_single_launch_proves_nothing(values: list[float], launches: int) -> None:
    got = intervals.ratio(values)
    assert (got.p, got.launches) == (1, launches)
    assert math.isnan(got.low) and math.isnan(got.high)
    assert got.estimate == pytest.approx(math.exp(0.7) if launches else math.nan, nan_ok=True)


def test_launches_that_agree_wholly_are_certain() -> None:
    assert intervals.ratio([0.5, 0.5]).p == 0 and intervals.ratio([0.5, 0.5], 0.6).p == 1


def test_bounds_too_large_for_a_number_are_infinite() -> None:
    got = intervals.ratio([0.0, 20.0], level=intervals.level_at_looks(8))
    assert (got.low, got.high) == (0, math.inf)


@lawful
@given(st.lists(st.floats(-1, 1) | st.just(math.nan), max_size=12))
def test_the_noise_floor_is_at_most_the_mean(replicates: list[float]) -> None:
    finite = [value for value in replicates if math.isfinite(value)]
    got = intervals.noise_floor(replicates)
    assert 0 <= got <= abs(np.mean(finite)) if finite else got == 0
    assert intervals.noise_floor([-value for value in replicates]) == got


def test_the_noise_floor_is_what_launches_do_not_average_out() -> None:
    assert intervals.noise_floor([0.1]) == intervals.noise_floor([0.1] * 9) == pytest.approx(0.1)
    assert intervals.noise_floor([0.1, -0.1, 0.1, -0.1]) == 0
    # A mean of 0.05 whose variance is 0.01 / 4 x 4 / 3 / 4.
    assert intervals.noise_floor([0.1, 0.1, 0.0, 0.0]) == pytest.approx(
        math.sqrt(0.05**2 - 0.0025 * 4 / 3 / 4)
    )


def test_the_noise_floor_s_square_is_that_of_a_bias_on_average() -> None:
    launches = np.random.default_rng(0).normal(0.03, 0.02, (4000, 5))
    squares = [intervals.noise_floor(run) ** 2 for run in launches]
    assert np.mean(squares) == pytest.approx(0.03**2, rel=0.03)
    assert np.mean(launches.mean(axis=1) ** 2) > 1.07 * 0.03**2


# Several tests at once.


@lawful
@given(st.dictionaries(st.sampled_from(names), st.floats(0, 0.2)), st.floats(0.001, 0.5))
def test_holm_lies_between_bonferroni_and_no_correction(p: dict[str, float], alpha: float) -> None:
    found = intervals.holm(p, alpha)
    assert {name for name in p if p[name] <= alpha / len(p)} <= found
    assert found <= {name for name in p if p[name] <= alpha}
    assert all(p[name] <= p[other] for name in found for other in set(p) - found)


def test_holm_steps_down() -> None:
    p = {"a": 0.01, "b": 0.02, "c": 0.05, "d": 0.9}
    assert intervals.holm(p, 0.05) == {"a"}  # 0.02 > 0.05 / 3
    assert intervals.holm(p | {"b": 0.016, "c": 0.024}, 0.05) == {"a", "b", "c"}


# Ranks.

PAIRS = list(combinations(names, 2))


@lawful
@given(st.permutations(names), st.sets(st.sampled_from(PAIRS)))
def test_a_range_of_ranks_follows_from_the_pairs(order: list[str], decided: set) -> None:
    ranges = intervals.rank_ranges(order, decided)
    assert set(ranges) == set(names)
    assert ranges == intervals.rank_ranges(names, [*decided, *decided])
    for fast, slow in decided:
        before, after = ranges[fast], ranges[slow]
        # Speeds in the order of the names: who is faster than a cell is faster than all that it beats,
        # so no range turns a significant pair around, whatever else is open.
        assert before[0] < len(names) and after[1] > 1
        assert before[1] < len(names) and after[0] > 1
    for low, high in ranges.values():
        assert 1 <= low <= high <= len(names)
    # An order of speeds that agrees with all pairs gives each cell a rank within its range.
    for rank, name in enumerate(names, 1):
        low, high = ranges[name]
        assert low <= rank <= high


@pytest.mark.parametrize(
    ("decided", "wanted"),
    [
        ("", [(1, 3), (1, 3), (1, 3)]),
        ("ab ac bc", [(1, 1), (2, 2), (3, 3)]),
        ("ac bc", [(1, 2), (1, 2), (3, 3)]),
        ("ab ac", [(1, 1), (2, 3), (2, 3)]),
        ("ac", [(1, 2), (1, 3), (2, 3)]),  # b may be either's equal: a is before c all the same
    ],
)
def test_what_is_not_significant_widens_a_range_of_ranks(decided: str, wanted: list) -> None:
    got = intervals.rank_ranges("abc", [(pair[0], pair[1]) for pair in decided.split()])
    assert [got[name] for name in "abc"] == wanted


# Changes between runs.


@lawful
@given(before=logs, after=logs)
def test_a_change_between_runs_is_welchs_t(before: list[float], after: list[float]) -> None:
    assume(np.ptp(before) > 1e-3 and np.ptp(after) > 1e-3)
    found = intervals.change(before, after)
    welch = stats.ttest_ind(after, before, equal_var=False)
    bounds = welch.confidence_interval(0.95)
    assert found.p == pytest.approx(welch.pvalue, rel=1e-6, abs=1e-12)
    assert np.log([found.low, found.high]) == pytest.approx([bounds.low, bounds.high], abs=1e-9)
    assert found.launches == min(len(before), len(after))


def test_a_change_is_widened_by_the_floor_and_needs_two_launches_of_each() -> None:
    plain, wide = (intervals.change([0.0, 0.1], [0.3, 0.4], floor) for floor in (0.0, 0.05))
    assert math.log(wide.high / plain.high) == pytest.approx(0.05) and wide.p > plain.p
    one = intervals.change([0.0, math.nan], [0.3, 0.4])
    assert (one.launches, one.p) == (1, 1.0) and math.isnan(one.low)
    assert one.estimate == pytest.approx(math.exp(0.35))
    exact = intervals.change([0.0, 0.0], [0.0, 0.0])
    assert (exact.low, exact.high, exact.p) == (1, 1, 1)
    assert intervals.change([], [1.0]).launches == 0


def test_a_change_of_shares_is_newcombes() -> None:
    # Statistics in Medicine 17 (1998), table II, method 10: 56/70 - 48/80.
    found, p = intervals.share_change((48 / 80, 80), (56 / 70, 70))
    assert (found.estimate, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert 0.005 < p < 0.01
    none, p = intervals.share_change((1.0, 10), (1.0, 10))
    assert none.low == pytest.approx(-none.high) and none.high == pytest.approx(0.2775, abs=5e-4)
    assert p == 1


@lawful
@given(sides=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 10_000)), min_size=2, max_size=2))
def test_a_change_of_shares_holds_itself_and_no_more_than_there_is(
    sides: list[tuple[float, int]],
) -> None:
    found, p = intervals.share_change(*sides)
    assert -1 - 1e-9 <= found.low <= found.estimate + 1e-9
    assert found.estimate - 1e-9 <= found.high <= 1 + 1e-9
    assert 0 <= p <= 1


@given(
    st.lists(st.floats(-0.05, 0.05), min_size=10, max_size=30),
    st.floats(0.1, 5.0),
    st.sampled_from([-1, 1]),
)
def test_a_trimmed_ratio_is_not_moved_by_launches_that_go_astray(
    logs: list[float], far: float, sign: int
) -> None:
    astray = [sign * far, *logs[1:]]
    found = intervals.ratio(astray, trim=0.2)
    assert min(logs[1:]) <= math.log(found.estimate) + 1e-12
    assert math.log(found.estimate) <= max(logs[1:]) + 1e-12
    assert found.launches == len(logs)


@given(st.lists(st.floats(-0.1, 0.1), min_size=2, max_size=4))
def test_few_launches_are_not_trimmed(logs: list[float]) -> None:
    assert intervals.ratio(logs, trim=0.2) == intervals.ratio(logs)


def test_a_trimmed_ratio_by_hand() -> None:
    """Yuen's t of ten values, by the winsorized variance."""
    logs = np.array([-9.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 9.0])
    winsorized = np.array([0.2, 0.2, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.7, 0.7])
    error = math.sqrt(9 * winsorized.var(ddof=1) / (6 * 5))
    found = intervals.ratio(logs, trim=0.2)
    assert math.log(found.estimate) == pytest.approx(0.45)
    assert math.log(found.high) == pytest.approx(0.45 + stats.t.ppf(0.975, 5) * error)


def test_a_trimmed_change_still_holds_what_is_there() -> None:
    """One launch in eight goes astray on either side; 95% intervals hold the truth as often."""
    draw = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        sides = [draw.normal(mean, 0.02, 12) for mean in (0.0, 0.05)]
        for side in sides:
            side += draw.choice([0.0, 0.4, -0.4], size=12, p=[0.88, 0.06, 0.06])
        found = intervals.change(*sides, trim=0.2)
        held += found.low <= math.exp(0.05) <= found.high
    assert 0.92 <= held / 400 <= 0.995


def test_the_inverse_of_a_ratio_turns_its_bounds_and_what_is_unknown_is_not_a_number() -> None:
    turned = intervals.Ratio(2.0, 1.6, 2.5, 5, 0.01).inverse()
    assert turned == intervals.Ratio(0.5, 0.4, 0.625, 5, 0.01)
    assert math.isnan(intervals.Ratio(2.0, 0.0, 2.5, 5, 0.01).inverse().high)
