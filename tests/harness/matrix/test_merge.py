"""What many units say together: the node is the unit of inference, and no speed is pooled."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from harness.matrix import merge
from harness.matrix.merge import Block, Kind
from harness.outcomes import FASTER, INCONCLUSIVE
from tests.harness.matrix.blocks import cell_of, made_up_block

FAST, SLOW = cell_of("fast"), cell_of("slow")


def kind_of(results: list[Block]) -> Kind:
    (group,) = merge.merge(results)
    (kind,) = group.kinds
    return kind


def test_the_interval_is_students_over_nodes_whatever_their_units() -> None:
    logs = {"n1": [0.5, 0.7], "n2": [0.9], "n3": [0.4, 0.4, 0.4]}
    results = [
        made_up_block(number, {"fast": log, "slow": 0.0}, node)
        for number, (node, log) in enumerate((n, x) for n, values in logs.items() for x in values)
    ]
    pair = kind_of(results).pairs["train"][FAST, SLOW]
    means = [0.6, 0.9, 0.4]
    low, high = stats.t.interval(0.95, 2, np.mean(means), stats.sem(means))
    assert pair.ratio.estimate == pytest.approx(math.exp(np.mean(means)))
    assert (pair.ratio.low, pair.ratio.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert (pair.ratio.launches, pair.units) == (3, 6)  # values: nodes


def test_units_of_one_node_are_one_value_and_decide_nothing() -> None:
    results = [made_up_block(n, {"fast": 0.7, "slow": 0.0}) for n in range(50)]
    kind = kind_of(results)
    pair = kind.pairs["train"][FAST, SLOW]
    assert math.isnan(pair.ratio.low) and pair.verdict == INCONCLUSIVE and kind.ranks == {}


def test_the_variance_is_split_into_nodes_and_launches() -> None:
    rng = np.random.default_rng(7)
    of_nodes, of_launches, launches = 0.05, 0.2, 5
    results = []
    for number in range(600):
        node = rng.normal(0.7, of_nodes)
        values = rng.normal(node, of_launches, launches)
        figures = {"variance": float(values.var(ddof=1)), "launches": launches}
        log = {"fast": float(values.mean()), "slow": 0.0}
        results.append(made_up_block(number, log, f"n{number}", **figures))
    pair = kind_of(results).pairs["train"][FAST, SLOW]
    assert pair.between_nodes == pytest.approx(of_nodes, rel=0.25)
    assert pair.between_launches == pytest.approx(of_launches, rel=0.05)
    assert pair.verdict == FASTER


def test_nodes_of_other_fingerprints_stand_side_by_side() -> None:
    speeds = {"ab": {"fast": 0.7, "slow": 0.0}, "cd": {"fast": 0.0, "slow": 0.5}}
    results = [
        made_up_block(
            number,
            {"fast": speeds[name]["fast"] + number / 1e3, "slow": speeds[name]["slow"]},
            f"{name}{number}",
            fingerprint=name,
        )
        for number, name in enumerate(name for name in speeds for _ in range(4))
    ]
    (group,) = merge.merge(results)
    assert [kind.ranks for kind in group.kinds] == [
        {FAST: (1, 1), SLOW: (2, 2)},
        {FAST: (2, 2), SLOW: (1, 1)},
    ]
    assert merge.contradictions(group, "train") == (1, [(FAST, SLOW)])
    assert [kind.leader("train") for kind in group.kinds] == [FAST, SLOW]


def test_a_unit_that_was_not_alone_is_in_no_ratio() -> None:
    crowded = made_up_block(9, {"fast": 9.0, "slow": 0.0}, "n3", alone=False)
    results = [made_up_block(n, {"fast": 0.7, "slow": 0.0}, f"n{n}") for n in (1, 2)]
    assert kind_of([*results, crowded]).nodes == ("n1", "n2")


def test_seeds_pool_accuracy_and_replicates_do_not() -> None:
    results = [
        made_up_block(number, {"fast": 0.7, "slow": 0.0}, f"n{number}", seed=number % 3)
        for number in range(9)
    ]
    (group,) = merge.merge(results)
    accuracy = group.cells[0].accuracy
    assert (accuracy.estimate, accuracy.launches) == (pytest.approx(0.91), 3)  # values: seeds
    low, _ = stats.t.interval(0.95, 2, 0.91, stats.sem([0.9, 0.91, 0.92]))
    assert accuracy.low == pytest.approx(low)


def test_a_pair_that_units_name_the_other_way_round_is_the_same_pair() -> None:
    results = [
        made_up_block(1, {"fast": 0.7, "slow": 0.0}, "n1"),
        made_up_block(2, {"slow": 0.0, "fast": 0.7}, "n2"),
    ]
    pair = kind_of(results).pairs["train"][FAST, SLOW]
    assert pair.ratio.estimate == pytest.approx(math.exp(0.7)) and pair.units == 2


@pytest.mark.parametrize(
    ("rates", "slow"),
    [
        ([100, 101, 99, 100, 80], {"n4": 0.8}),
        ([100, 101, 99, 100, 120], {}),  # a fast one is no harm
        ([100, 100, 100, 100, 99.5], {}),  # within 1%
        ([100, 101, 50], {}),  # too few to know the kind
    ],
)
def test_a_node_beyond_three_mads_is_slow(rates: list[float], slow: dict[str, float]) -> None:
    results = [
        made_up_block(number, {"fast": 0.0}, f"n{number}", kernel_rate=rate)
        for number, rate in enumerate(rates)
    ]
    assert merge.slow_nodes(results) == pytest.approx(slow)


def test_units_of_different_programs_are_named() -> None:
    results = [
        made_up_block(1, {"fast": 0.0}),
        made_up_block(2, {"fast": 0.0}, versions={"toy": "2"}, sources="t"),
    ]
    assert merge.differing(results) == ["samestep's own files", "toy 1 and 2"]
    assert merge.differing(results[:1]) == []


def test_intervals_over_nodes_hold_the_truth() -> None:
    rng, held, trials = np.random.default_rng(3), 0, 400
    for _ in range(trials):
        results = []
        for node in range(4):
            own_log = rng.normal(0.3, 0.05)
            results += [
                made_up_block(
                    node * 2 + k, {"fast": rng.normal(own_log, 0.02), "slow": 0.0}, f"n{node}"
                )
                for k in range(2)
            ]
        ratio = kind_of(results).pairs["train"][FAST, SLOW].ratio
        held += ratio.low <= math.exp(0.3) <= ratio.high
    assert 0.92 <= held / trials <= 0.98
