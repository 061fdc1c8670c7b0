"""What optimisers keep; schedules by their formulas, at the steps where they turn."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads import spec
from workloads.optimisers import (
    OPTIMISERS,
    SCHEDULES,
    Adam,
    AdamW,
    Constant,
    Cosine,
    Optimiser,
    RmsProp,
    Sgd,
    Stairs,
)
from workloads.reading import table_of


@pytest.mark.parametrize(
    ("optimiser", "slots"),
    [
        (Sgd(0.1), ()),
        (Sgd(0.1, momentum=0.9), ("v",)),
        (Sgd(0.1, momentum=0.9, nesterov=True), ("v",)),
        (RmsProp(0.1), ("s",)),
        (RmsProp(0.1, momentum=0.9), ("s", "v")),
        (Adam(0.1), ("m", "s")),
        (AdamW(0.1), ("m", "s")),
    ],
)
def test_slots_are_the_names_in_the_formula(optimiser: Optimiser, slots: tuple[str, ...]) -> None:
    assert optimiser.slots == slots
    for slot in slots:
        formula = f"{type(optimiser).__doc__} {Adam.__doc__ if isinstance(optimiser, Adam) else ''}"
        assert f"{slot} = " in formula


def test_slots_of_any_optimiser_come_behind_those_of_its_formula() -> None:
    assert Adam(0.1, accumulate=2, average=0.9).slots == ("m", "s", "sum", "average")


def test_an_update_ends_every_so_many_steps_wherever_one_begins_to_count() -> None:
    assert Sgd(0.1).updates(3, 3) == [3, 4, 5]
    assert Sgd(0.1, accumulate=3).updates(0, 7) == [None, None, 0, None, None, 1, None]
    assert Sgd(0.1, accumulate=3).updates(5, 2) == [1, None]


def test_decay_of_kernels_is_for_two_axes_or_more() -> None:
    shapes: list[tuple[int, ...]] = [(3,), (3, 2), (3, 2, 5, 5)]
    assert [Sgd(0.1, weight_decay=0.5).decay_of(shape) for shape in shapes] == [0.5] * 3
    spared = Sgd(0.1, weight_decay=0.5, decay="kernels")
    assert [spared.decay_of(shape) for shape in shapes] == [0, 0.5, 0.5]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"clip_norm": 1, "clip_value": 1}, "clip_norm and clip_value exclude each other"),
        ({"decay": "kernels"}, "needs weight_decay"),
        ({"decay": "kernel", "weight_decay": 0.1}, 'did you mean "kernels"'),
        ({"nesterov": True}, "nesterov = true needs momentum"),
        ({"accumulate": 0}, "accumulate = 0: has to be at least 1"),
        ({"average": 1}, "average = 1.0: has to be less than 1"),
        ({"clip_norm": -1}, "clip_norm = -1.0: has to be at least 0"),
    ],
)
def test_keys_that_do_not_fit_are_refused(table: dict, says: str) -> None:
    net = spec.load("mlp-2-3-2").to_dict()
    with pytest.raises(spec.SpecError, match=r"^here: \[optimiser\] \(sgd\): ") as error:
        spec.from_dict({**net, "optimiser": {"kind": "sgd", "lr": 0.1, **table}}, "here")
    assert says in str(error.value)


def test_keys_that_are_left_out_are_in_no_table() -> None:
    assert table_of(Sgd(0.1)) == {"kind": "sgd", "lr": 0.1, "weight_decay": 0.0, "momentum": 0.0}
    assert table_of(Sgd(0.1, momentum=0.9, nesterov=True))["nesterov"] is True


def test_every_optimiser_says_what_it_keeps() -> None:
    for kind in OPTIMISERS.values():
        assert isinstance(kind(0.1).slots, tuple)


def test_constant_is_one() -> None:
    assert [Constant().factor(t) for t in (0, 5)] == [1, 1]


def test_warm_up_is_linear_and_ends_at_one() -> None:
    schedule = Constant(warmup=4)
    assert [schedule.factor(t) for t in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]


def test_stairs_go_down_every_so_often() -> None:
    schedule = Stairs(every=3, gamma=0.5)
    assert [schedule.factor(t) for t in (0, 2, 3, 6)] == [1, 1, 0.5, 0.25]


def test_cosine_ends_at_zero_and_stays_there() -> None:
    schedule = Cosine(steps=10, warmup=2)
    assert schedule.factor(2) == 1
    assert schedule.factor(7) == pytest.approx(0.5)
    assert schedule.factor(12) == schedule.factor(100) == pytest.approx(0, abs=1e-15)


def test_a_rate_beyond_all_numbers_is_infinite() -> None:
    schedule = Stairs(every=1, gamma=1e300)
    assert [schedule.factor(step) for step in (0, 1, 2)] == [1.0, 1e300, math.inf]


@given(st.sampled_from([Constant(warmup=3), Stairs(every=2, warmup=3), Cosine(steps=9, warmup=3)]))
def test_no_schedule_goes_up_after_its_warm_up(schedule: object) -> None:
    factors = [schedule.factor(t) for t in range(3, 30)]  # type: ignore[attr-defined]
    assert factors == sorted(factors, reverse=True)
    assert set(SCHEDULES) == {"constant", "step", "cosine"}
