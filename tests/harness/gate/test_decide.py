"""From measurements to findings: the laws that verdicts keep, and each way to come to one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.gate.decide import CEILING, AccuracyChange, Comparison, accuracy_change, judge
from harness.gate.evaluate import LEVEL
from harness.gate.findings import IMPROVED, INCONCLUSIVE, NOT_MEASURABLE, REGRESSED, SAME, Finding
from harness.results.metric import Metric
from harness.results.metrics import FIRST_STEP, LATENCY, THROUGHPUT
from harness.stats import intervals
from harness.stats.intervals import Interval, Ratio

lawful = settings(deadline=None, derandomize=True, max_examples=150)

means = st.floats(-0.6, 0.6)
spreads = st.floats(0.0005, 0.15)
launches = st.integers(2, 20)
thresholds = st.floats(0.005, 0.3)
floors = st.floats(0, 0.1)
seeds = st.integers(0, 10_000)


def logs(mean: float, spread: float, count: int, seed: int) -> NDArray[np.float64]:
    """Launches whose mean and whose standard deviation are exactly those."""
    draw = np.random.default_rng(seed).normal(size=count)
    draw = (draw - draw.mean()) / draw.std(ddof=1)
    return mean + spread * draw


def compare(
    found: NDArray[np.float64], metric: Metric = THROUGHPUT, floor: float = 0.0, name: str = "a"
) -> Comparison:
    ratio = intervals.ratio(found, level=LEVEL)
    return Comparison(metric, name, "base", ratio, floor, None, None)


def verdict(one: Comparison, threshold: float = 0.03) -> str:
    return judge([one], [], threshold, 0.005, LEVEL)[0].verdict


# Laws.


@lawful
@given(means, spreads, launches, seeds, thresholds, floors)
def test_before_and_after_exchanged_turn_worse_into_better(
    mean: float, spread: float, count: int, seed: int, threshold: float, floor: float
) -> None:
    assume(min(abs(abs(mean) - each) for each in (math.log1p(threshold), floor)) > 1e-9)  # rounding
    found = logs(mean, spread, count, seed)
    one, other = (verdict(compare(each, floor=floor), threshold) for each in (found, -found))
    turned = {REGRESSED: IMPROVED, IMPROVED: REGRESSED, NOT_MEASURABLE: NOT_MEASURABLE}
    assert turned.get(one, other) == other
    assert turned.get(other, one) == one


@lawful
@given(means, spreads, launches, seeds, thresholds, thresholds)
def test_a_larger_threshold_makes_no_regression_of_what_was_told_to_be_none(
    mean: float, spread: float, count: int, seed: int, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    found = compare(logs(mean, spread, count, seed))
    assume(verdict(found, low) not in (REGRESSED, NOT_MEASURABLE))
    assert verdict(found, high) not in (REGRESSED, NOT_MEASURABLE)


@lawful
@given(means, spreads, launches, seeds, st.floats(1, 20), thresholds)
def test_more_noise_calls_nothing_the_same_and_nothing_worse(
    mean: float, spread: float, count: int, seed: int, more: float, threshold: float
) -> None:
    quiet = verdict(compare(logs(mean, spread, count, seed)), threshold)
    noisy = verdict(compare(logs(mean, more * spread, count, seed)), threshold)
    known = {
        REGRESSED: {REGRESSED},
        IMPROVED: {IMPROVED},
        SAME: {SAME},
        INCONCLUSIVE: set(),
        NOT_MEASURABLE: set(),
    }[quiet]
    assert noisy in known | {INCONCLUSIVE, NOT_MEASURABLE}


@lawful
@given(means, st.floats(0, 0.5), spreads, launches, seeds, thresholds)
def test_what_has_got_even_worse_is_no_less_a_regression(
    mean: float, further: float, spread: float, count: int, seed: int, threshold: float
) -> None:
    assume(verdict(compare(logs(mean, spread, count, seed)), threshold) == REGRESSED)
    worse = verdict(compare(logs(mean - further, spread, count, seed)), threshold)
    assert worse == REGRESSED


@lawful
@given(means, spreads, launches, seeds, thresholds, floors)
def test_a_time_is_judged_as_a_speed_is_and_told_the_other_way_around(
    mean: float, spread: float, count: int, seed: int, threshold: float, floor: float
) -> None:
    found = logs(mean, spread, count, seed)
    (speed,) = judge([compare(found, THROUGHPUT, floor)], [], threshold, 0.005, LEVEL)
    time = replace(LATENCY, gate=replace(LATENCY.rule, allowance=1.0))
    (slow,) = judge([compare(found, time, floor)], [], threshold, 0.005, LEVEL)
    assert (slow.verdict, slow.threshold) == (speed.verdict, speed.threshold)
    assert slow.change is not None and speed.change is not None
    assert (1 + slow.change) * (1 + speed.change) == pytest.approx(1)
    for one in (slow, speed):
        assert one.low is None or one.high is None or one.low <= one.change <= one.high  # type: ignore[operator]


@lawful
@given(st.lists(st.tuples(means, spreads, seeds), min_size=1, max_size=6), st.randoms())
def test_what_else_is_checked_makes_nothing_certain_and_its_order_makes_nothing(
    drawn: list[tuple[float, float, int]], random: object
) -> None:
    every = [
        compare(logs(mean, spread, 6, seed), name=str(place))
        for place, (mean, spread, seed) in enumerate(drawn)
    ]
    together = {one.cell: one.verdict for one in judge(every, [], 0.03, 0.005, LEVEL)}
    shuffled = list(every)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    again = {one.cell: one.verdict for one in judge(shuffled, [], 0.03, 0.005, LEVEL)}
    assert again == together
    for one in every:
        if together[one.cell] in (REGRESSED, IMPROVED):
            assert verdict(one) == together[one.cell]


@lawful
@given(means, spreads, launches, seeds, floors)
def test_nothing_within_what_identical_cells_show_is_worse(
    mean: float, spread: float, count: int, seed: int, floor: float
) -> None:
    assume(abs(mean) < floor)
    assert verdict(compare(logs(mean, spread, count, seed), floor=floor), 0.005) in (
        SAME,
        INCONCLUSIVE,
        NOT_MEASURABLE,
    )


# Every way to a verdict on a ratio: its logarithm, half of its interval, its p.


def made(mean: float, half: float, p: float, launches: int = 8) -> Comparison:
    bounds = (math.exp(mean), math.exp(mean - half), math.exp(mean + half))
    return Comparison(THROUGHPUT, "a", "b", Ratio(*bounds, launches, p), 0.0, 100.0, 90.0)


def judged(one: Comparison, seconds: float | None = None) -> Finding:
    return judge([one], [], 0.03, 0.005, LEVEL, seconds)[0]


@pytest.mark.parametrize(
    ("mean", "half", "p", "expected"),
    [
        (-0.05, 0.02, 1e-6, REGRESSED),
        (0.05, 0.02, 1e-6, IMPROVED),
        (-0.05, 0.04, 0.02, INCONCLUSIVE),  # worse by more, but not for certain
        (-0.02, 0.005, 1e-6, SAME),  # for certain worse, by less than is tolerated
        (-0.02, 0.02, 0.1, INCONCLUSIVE),  # perhaps worse by more
        (0.02, 0.04, 0.1, SAME),  # perhaps better by more, and not worse
        (0.05, 0.06, 0.1, INCONCLUSIVE),
        (0.05, 0.3, 0.1, NOT_MEASURABLE),
        (-0.9, 0.3, 1e-6, NOT_MEASURABLE),  # so noisy a machine is no judge, whatever it says
    ],
)
def test_every_verdict_on_a_ratio(mean: float, half: float, p: float, expected: str) -> None:
    found = judged(made(mean, half, p))
    assert found.verdict == expected
    assert (found.before, found.after, found.launches) == (100.0, 90.0, 8)
    assert found.threshold == pytest.approx(0.03)
    assert found.change == pytest.approx(math.expm1(mean))
    assert bool(found.note) == (expected in (INCONCLUSIVE, NOT_MEASURABLE))


def test_what_is_noisier_by_nature_is_allowed_more() -> None:
    found = compare(logs(-0.1, 0.001, 8, 0), FIRST_STEP)
    assert verdict(found) == SAME
    assert judge([found], [], 0.03, 0.005, LEVEL)[0].threshold == pytest.approx(0.15)
    assert verdict(compare(logs(-0.1, 0.001, 8, 0), LATENCY)) == REGRESSED


def test_a_floor_above_the_threshold_is_the_threshold() -> None:
    found = compare(logs(-0.06, 0.001, 8, 0), floor=0.08)
    assert verdict(found) == SAME
    assert judge([found], [], 0.03, 0.005, LEVEL)[0].threshold == pytest.approx(math.expm1(0.08))


def test_a_loose_threshold_may_be_judged_on_a_noisy_machine() -> None:
    one = made(0.0, 1.2 * CEILING, 0.5)
    assert judge([one], [], 0.03, 0.005, LEVEL)[0].verdict == NOT_MEASURABLE
    assert judge([one], [], 0.5, 0.005, LEVEL)[0].verdict == SAME


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([], "every launch was contaminated"),
        ([0.1], "at least 2 launches are needed for an interval"),
        ([math.nan, -0.1], "at least 2 launches"),
        ([2.0, -2.0, 1.0], "the interval is wider than ±28% after 3 launches"),
    ],
)
def test_too_little_is_not_measurable_and_says_what_to_do(values: list[float], says: str) -> None:
    found = judged(compare(np.asarray(values)))
    assert found.verdict == NOT_MEASURABLE
    assert found.note.startswith(says)
    assert "quiet the machine" in found.note and "--budget" in found.note
    assert found.low is None or len(values) == 3


@pytest.mark.parametrize(
    ("mean", "half", "seconds", "says"),
    [
        (-0.02, 0.02, None, "about 28 more launches would decide: give it more --budget"),
        (-0.02, 0.02, 30.0, "about 28 more launches, 14 minutes, would decide: "),
        (-0.02, 0.02, 1.0, "about 28 more launches would decide: "),
        (-0.02, 0.0101, None, "about 1 more launch would decide: "),
        (
            -math.log1p(0.03),
            0.02,
            None,
            "too close to the threshold of 3.0%: give another --threshold",
        ),
        (-0.029, 0.02, None, "too close"),
    ],
)
def test_what_is_open_says_what_would_decide(
    mean: float, half: float, seconds: float | None, says: str
) -> None:
    found = judged(made(mean, half, 0.5), seconds)
    assert found.verdict == INCONCLUSIVE
    assert found.note.startswith(says)


# Accuracy.


def right(count: int, *wrong: int) -> NDArray[np.bool_]:
    found = np.ones(count, dtype=bool)
    found[list(wrong)] = False
    return found


def changed(
    before: list[NDArray[np.bool_]], after: list[NDArray[np.bool_]], level: float = 0.95
) -> AccuracyChange:
    return accuracy_change("a", "b", before, after, level)


def test_accuracy_is_mcnemar_s_by_hand() -> None:
    # Of 100 examples 12 are lost and 2 gained: -10 points, of sqrt(14) coins.
    before, after = right(100, 0, 1), right(100, *range(2, 14))
    found = changed([before], [after])
    assert found.change.estimate == pytest.approx(-0.10)
    assert (found.before, found.after, found.change.launches) == (0.98, 0.88, 1)
    error = math.sqrt(14) / 100
    assert found.change.high - found.change.estimate == pytest.approx(1.959964 * error)
    assert found.p == pytest.approx(0.007526, abs=1e-5)  # of z = 10 / sqrt(14) = 2.6726


def test_trainings_that_agree_on_every_example_are_the_same_for_certain() -> None:
    found = changed([right(50, 3)], [right(50, 3)])
    assert (found.p, found.change) == (1.0, Interval(0.0, 0.0, 0.0, 1))
    assert judge([], [found], 0.03, 0.005, LEVEL)[0].verdict == SAME


def test_what_trainings_differ_by_as_wholes_widens() -> None:
    # Four points less each time, or eight and none: as many examples, another spread.
    before = [right(100), right(100)]
    even = changed(before, [right(100, 0, 1, 2, 3)] * 2)
    odd = changed(before, [right(100, *range(8)), right(100)])
    assert even.change.estimate == odd.change.estimate == pytest.approx(-0.04)
    assert odd.change.high - odd.change.low > even.change.high - even.change.low
    assert odd.p > even.p
    # By the seeds' own: a variance of 0.08 ** 2 / 2 over two of them.
    assert odd.change.high - odd.change.estimate == pytest.approx(1.959964 * 0.04)


shares = st.lists(
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=30, max_size=30),
    min_size=1,
    max_size=4,
)


@lawful
@given(shares, st.permutations(range(30)))
def test_an_accuracy_s_change_turns_with_its_sides_and_knows_no_order(
    drawn: list[list[tuple[bool, bool]]], order: list[int]
) -> None:
    before, after = ([np.asarray([pair[side] for pair in one]) for one in drawn] for side in (0, 1))
    one, other = changed(before, after), changed(after, before)
    assert one.change.estimate == pytest.approx(-other.change.estimate)
    assert one.p == pytest.approx(other.p)
    assert one.change.low == pytest.approx(-other.change.high)
    again = changed([side[order] for side in before], [side[order] for side in after])
    assert again.p == pytest.approx(one.p)
    assert one.change.estimate == pytest.approx(one.after - one.before)
    turned = {REGRESSED: IMPROVED, IMPROVED: REGRESSED}
    told = [judge([], [each], 0.03, 0.005, LEVEL)[0].verdict for each in (one, other)]
    assert turned.get(told[0], told[1]) == told[1]


@pytest.mark.parametrize(
    ("change", "half", "p", "expected"),
    [
        (-0.02, 0.01, 1e-6, REGRESSED),
        (0.02, 0.01, 1e-6, IMPROVED),
        (-0.004, 0.0005, 1e-6, SAME),
        (-0.004, 0.002, 0.3, INCONCLUSIVE),
        (-0.02, 0.03, 0.3, INCONCLUSIVE),
        (0.02, 0.03, 0.3, INCONCLUSIVE),
        (0.004, 0.008, 0.3, SAME),
    ],
)
def test_every_verdict_on_an_accuracy(change: float, half: float, p: float, expected: str) -> None:
    interval = Interval(change, change - half, change + half, 8)
    one = AccuracyChange("a", "b", interval, p, 0.97, 0.97 + change)
    (found,) = judge([], [one], 0.03, 0.005, LEVEL)
    assert found.verdict == expected
    assert (found.change, found.threshold, found.before) == (change, 0.005, 0.97)
    assert bool(found.note) == (expected == INCONCLUSIVE)
    assert not found.note or "--margin" in found.note


def test_certainty_is_shared_between_all_that_is_checked() -> None:
    # Of 20 figures each is let through that would be certain by itself.
    level = 0.95
    alone = made(-0.05, 0.02, 0.04)
    assert judge([alone], [], 0.03, 0.005, level)[0].verdict == REGRESSED
    many = [alone, *(replace(made(0, 0.01, 0.9), cell=str(place)) for place in range(19))]
    assert judge(many, [], 0.03, 0.005, level)[0].verdict == INCONCLUSIVE
