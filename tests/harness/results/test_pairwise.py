"""From slices to verdicts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.outcomes import FASTER, INCONCLUSIVE, SLOWER
from harness.results import pairwise
from harness.results.pairwise import COLUMNS
from harness.stats import intervals

lawful = settings(deadline=None, derandomize=True, max_examples=15)

GROUP = {"workload": "toy", "device": "cpu", "dtype": "float32"}


def table(cells: dict[str, np.ndarray], kind: str = "train", **more: Any) -> pd.DataFrame:
    """Slices of each cell, from its samples a second by (launch, round); NaN: there is none."""
    rows = [
        GROUP
        | {
            "cell": cell,
            "kind": kind,
            "turn": 1,
            "launch": launch,
            "round": number,
            "samples_per_s": rate,
            "noise": "",
        }
        | more
        for cell, rates in cells.items()
        for (launch, number), rate in np.ndenumerate(rates)
        if not np.isnan(rate)
    ]
    columns = [*GROUP, "cell", "kind", "turn", "launch", "round", "samples_per_s", "noise"]
    return pd.DataFrame(rows, columns=columns)


def table_of(rates: np.ndarray, cell: str) -> pd.DataFrame:
    return table({cell: rates})


def noisy(seed: int, *speeds: float, launches: int = 6, sd: float = 0.01) -> list[np.ndarray]:
    """The rates of a cell for each of `speeds`, with a drift that is common to all."""
    random = np.random.default_rng(seed)
    drift = np.exp(random.normal(0, 0.3, (launches, 4)))
    return [speed * drift * np.exp(random.normal(0, sd, (launches, 4))) for speed in speeds]


def compared(*rates: np.ndarray, twins: pd.DataFrame | None = None) -> pd.DataFrame:
    cells = dict(zip("abcdefg", rates, strict=False))
    return pairwise.pairs(table(cells), table({}) if twins is None else twins)


def slice_of(rate: float, noise: str = "", number: int = 1, launch: int = 1) -> pd.DataFrame:
    rates = np.full((launch + 1, number + 1), np.nan)
    rates[launch, number] = rate
    return table({"a": rates}, noise=noise)


# Which slices count.


def test_the_last_attempt_counts() -> None:
    kept = pairwise.counted(pd.concat([slice_of(1, "load"), slice_of(2, "load"), slice_of(3)]))
    assert kept["samples_per_s"].tolist() == [3]


def test_disturbed_slices_count() -> None:
    slices = [slice_of(1, "load", 1), slice_of(2, "", 2), slice_of(3, "heat", 1, launch=2)]
    assert pairwise.counted(pd.concat(slices))["samples_per_s"].tolist() == [1, 2, 3]


def test_what_disturbs_all_of_a_round_or_a_few_slices_moves_no_ratio() -> None:
    a, b = noisy(3, 100, 100, sd=1e-6)
    a[:, 1] *= 0.5
    b[:, 1] *= 0.5
    a[2, 0] *= 0.3
    got = compared(a, b)
    assert got["ratio"].item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan])
def test_what_is_no_speed_does_not_count(rate: float) -> None:
    bad = slice_of(7).assign(samples_per_s=rate)
    assert pairwise.counted(bad).empty
    assert pairwise.counted(pd.concat([slice_of(7), bad]))["samples_per_s"].tolist() == [7]


def test_the_speed_of_a_cell_is_that_of_its_launches() -> None:
    (rates,) = noisy(0, 100)
    slices = [table({"a": rates}), table({"a": 2 * rates}, "predict"), table({"b": rates}, turn=2)]
    got = pairwise.speeds(pd.concat(slices))
    assert got == {
        ("a", "train"): intervals.speed(rates),
        ("a", "predict"): intervals.speed(2 * rates),
        ("b", "train"): intervals.speed(rates),
    }
    assert got["a", "train"].launches == 6 and pairwise.speeds(table({})) == {}


# Pairs.


def test_pairs_are_of_a_group_and_a_kind() -> None:
    a, b, c = noisy(0, 100, 200, 300)
    slices = [
        table({"a": a, "b": b}),
        table({"a": a, "b": b}, "predict"),
        table({"c": c, "d": b}, workload="other"),
        table({"e": c}, dtype="bfloat16"),
    ]
    got = pairwise.pairs(pd.concat(slices), table({}))
    assert list(got.columns) == list(COLUMNS)
    keys = got[["workload", "kind", "a", "b"]].values.tolist()
    assert keys == [
        ["toy", "train", "a", "b"],
        ["toy", "predict", "a", "b"],
        ["other", "train", "c", "d"],
    ]
    assert pairwise.pairs(table({}), table({})).columns.tolist() == list(COLUMNS)


@lawful
@given(st.integers(0, 10**6))
def test_a_pair_is_the_ratio_of_its_launches(seed: int) -> None:
    a, b, twin = noisy(seed, 100, 103, 100)
    b[0] = np.nan  # a launch that one of them lacks
    twin[2:] = np.nan
    (got,) = compared(a, b, twins=table({"a": twin})).itertuples()
    floor = intervals.noise_floor(intervals.launch_ratios(a, twin))
    wanted = intervals.ratio(intervals.launch_ratios(a, b), floor)
    assert got.floor == pytest.approx(floor) and got.launches == 5
    assert (got.ratio, got.low, got.high, got.p) == pytest.approx(
        (wanted.estimate, wanted.low, wanted.high, wanted.p)
    )


@lawful
@given(st.integers(0, 10**6), st.permutations("abc"))
def test_the_order_of_the_cells_turns_a_pair_and_no_more(seed: int, order: list[str]) -> None:
    cells = dict(zip("abc", noisy(seed, 100, 101, 120), strict=True))
    forth = pairwise.pairs(table(cells), table({}))
    back = pairwise.pairs(table({name: cells[name] for name in order}), table({}))
    mirror = {FASTER: SLOWER, SLOWER: FASTER, INCONCLUSIVE: INCONCLUSIVE}
    found = {(one.a, one.b): one for one in back.itertuples()}
    for one in forth.itertuples():
        if (one.a, one.b) in found:
            other = found[one.a, one.b]
            assert (other.ratio, other.verdict) == (pytest.approx(one.ratio), one.verdict)
        else:
            other = found[one.b, one.a]
            assert (1 / other.ratio, mirror[other.verdict]) == (
                pytest.approx(one.ratio),
                one.verdict,
            )


def test_verdicts_say_who_is_faster() -> None:
    got = compared(*noisy(1, 100, 200, 100.1))
    assert got["verdict"].tolist() == [SLOWER, INCONCLUSIVE, FASTER]
    assert pairwise.ranks(got, ["a", "b", "c"]) == {"b": (1, 1), "a": (2, 3), "c": (2, 3)}
    assert (got["floor"] == 0).all()


def test_a_rank_goes_by_the_pairs_where_speeds_were_taken_at_other_times() -> None:
    a, b = noisy(1, 100, 110)
    rates = np.vstack((a, np.full_like(a, np.nan))), np.vstack((b, b / 2))  # only b ran on, slowed
    cells = dict(zip("ab", map(table_of, rates, "ab"), strict=True))
    speeds = {name: pairwise.speeds(cell)[name, "train"].estimate for name, cell in cells.items()}
    assert speeds["a"] > speeds["b"]
    assert pairwise.ranks(compared(*rates), ["a", "b"]) == {"b": (1, 1), "a": (2, 2)}


def test_cells_that_differ_no_more_than_twins_are_tied() -> None:
    a, b = noisy(2, 100, 110, sd=0.001)
    twin = a * 1.2
    assert compared(a, b)["verdict"].tolist() == [SLOWER]
    got = compared(a, b, twins=table({"a": twin}))
    assert got["verdict"].tolist() == [INCONCLUSIVE]
    assert got["floor"].item() == pytest.approx(math.log(1.2))


def test_a_twin_is_compared_within_its_launches_and_kind() -> None:
    a, b = noisy(3, 100, 110)
    twin = np.where(np.arange(6)[:, None] == 4, 1.1 * a, np.nan)
    assert compared(a, b, twins=table({"a": twin}))["floor"].item() == pytest.approx(math.log(1.1))
    assert compared(a, b, twins=table({"a": twin}, "predict"))["floor"].item() == 0
    assert compared(a, b, twins=table({"other": twin}))["floor"].item() == 0


def test_verdicts_are_corrected_for_their_number() -> None:
    sharp = compared(*noisy(5, *[100.0] * 7, sd=0.02))
    assert set(sharp["verdict"][sharp["p"] > 0.05 / 21]) == {INCONCLUSIVE}
    assert (sharp["p"] < 0.05).any()  # alone, it would have passed


def test_a_run_that_looks_often_tells_less_apart() -> None:
    cells = dict(zip("ab", noisy(0, 100, 101.2), strict=True))
    often = pairwise.level(True)
    strict = pairwise.pairs(table(cells), table({}), often)
    assert 1 - often < strict["p"].item() < 0.05 and strict["verdict"].item() == INCONCLUSIVE
    assert pairwise.pairs(table(cells), table({}))["verdict"].item() == SLOWER


def test_cells_of_different_turns_share_no_round() -> None:
    a, b = noisy(5, 100, 100)
    b = b[:, ::-1]
    got = pairwise.pairs(pd.concat([table({"a": a}), table({"b": b}, turn=2)]), table({}))
    apart = [
        intervals.pseudomedian(np.log(x)) - intervals.pseudomedian(np.log(y))
        for x, y in zip(a, b, strict=True)
    ]
    assert got["ratio"].item() == pytest.approx(intervals.ratio(apart).estimate)
    assert got["high"].item() == pytest.approx(intervals.ratio(apart).high)


def test_one_launch_decides_nothing() -> None:
    got = compared(*noisy(0, 100, 200, launches=1))
    assert got["verdict"].item() == INCONCLUSIVE and got["p"].item() == 1
    assert got[["low", "high"]].isna().all(axis=None)
    assert len(pairwise.undecided(got, 1000.0)) == 1
    assert pairwise.launches_wanted(got.iloc[0]) == math.inf


def test_a_run_that_looks_often_asks_for_more() -> None:
    assert pairwise.level(False) == intervals.LEVEL < pairwise.level(True) < 1


# What is left to decide.


def test_undecided_without_a_precision_is_what_is_inconclusive() -> None:
    got = compared(*noisy(1, 100, 200, 100.1))
    assert pairwise.undecided(got)[["a", "b"]].values.tolist() == [["a", "c"]]


def test_undecided_with_a_precision_is_what_is_wider_and_not_far_apart() -> None:
    got = compared(*noisy(1, 100, 103, 300))  # c is certain to be far from both
    half = pairwise.half_width(got)[0]
    assert pairwise.undecided(got, 1.01 * half).empty
    assert pairwise.undecided(got, 0.99 * half)[["a", "b"]].values.tolist() == [["a", "b"]]
    near = got.assign(low=0.99 / pairwise.FAR, high=1.01 / pairwise.FAR)
    assert len(pairwise.undecided(near, 1e-9)) == 3


def test_a_precision_wants_as_many_launches_as_narrow_the_interval_to_it() -> None:
    pair = compared(*noisy(1, 100, 103)).iloc[0]
    half = (math.log(pair["high"]) - math.log(pair["low"])) / 2
    wanted = pairwise.launches_wanted(pair, math.expm1(half / 2))
    assert wanted == pytest.approx(4 * pair["launches"])
    assert pairwise.launches_wanted(pair.replace(pair["floor"], 0.1), 0.05) == math.inf


@lawful
@given(st.integers(2, 20), st.floats(0.01, 0.2), st.floats(1.5, 8))
def test_an_interval_twice_too_wide_wants_four_times_the_launches(
    launches: int, beyond: float, times: float
) -> None:
    floor, half = 0.03, beyond * times
    middle = beyond + floor
    pair = {
        "launches": launches,
        "floor": floor,
        "ratio": math.exp(middle),
        "low": math.exp(middle - half - floor),
        "high": math.exp(middle + half + floor),
    }
    back = {"ratio": 1 / pair["ratio"], "low": 1 / pair["high"], "high": 1 / pair["low"]}
    for one in (pair, pair | back):
        assert pairwise.launches_wanted(pd.Series(one)) == pytest.approx(launches * times**2)
    sure = pd.Series(pair | {"low": 1.001, "high": math.exp(2 * middle) / 1.001, "floor": 0.0})
    assert pairwise.launches_wanted(sure) == launches + 1  # tied by Holm alone
    within = pd.Series(pair | {"floor": middle + 0.01})
    assert pairwise.launches_wanted(within) == math.inf


def test_the_leader_is_the_least_behind_where_it_is_behind() -> None:
    ratios = {
        ("a", "b"): 0.9,
        ("b", "a"): 1 / 0.9,
        ("b", "c"): 0.8,
        ("c", "b"): 1.25,
        ("c", "a"): 0.5,
        ("a", "c"): 2.0,
    }
    assert pairwise.leader("abcd", ratios) == "a"  # each is behind another one
    assert pairwise.leader("bc", ratios) == "c" and pairwise.leader("dc", ratios) == "d"
    assert pairwise.leader("", ratios) is None


def test_the_leader_and_the_next() -> None:
    columns = ["a", "b", "ratio", "low", "high"]
    rows = [("x", "y", 0.5, 0.4, 0.6), ("x", "z", 2.0, 1.9, 2.1), ("y", "z", 4.0, 3.9, 4.1)]
    found = pairwise.leaders(pd.DataFrame(rows, columns=columns))
    assert found is not None and (found["a"], found["b"]) == ("y", "x")
    assert (found["ratio"], found["high"]) == (2.0, 2.5)
    assert pairwise.leaders(pd.DataFrame(columns=columns)) is None
