"""What optimisers keep; schedules by their formulas, at the steps where they turn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads.optimisers import (
    OPTIMISERS,
    SCHEDULES,
    Adam,
    AdamW,
    Constant,
    Cosine,
    Optimiser,
    Sgd,
    Stairs,
)


@pytest.mark.parametrize(
    ("optimiser", "slots"),
    [
        (Sgd(0.1), ()),
        (Sgd(0.1, momentum=0.9), ("v",)),
        (Adam(0.1), ("m", "s")),
        (AdamW(0.1), ("m", "s")),
    ],
)
def test_slots_are_the_names_in_the_formula(optimiser: Optimiser, slots: tuple[str, ...]) -> None:
    assert optimiser.slots == slots
    for slot in slots:
        formula = f"{type(optimiser).__doc__} {Adam.__doc__ if isinstance(optimiser, Adam) else ''}"
        assert f"{slot} = " in formula


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


@given(st.sampled_from([Constant(warmup=3), Stairs(every=2, warmup=3), Cosine(steps=9, warmup=3)]))
def test_no_schedule_goes_up_after_its_warm_up(schedule: object) -> None:
    factors = [schedule.factor(t) for t in range(3, 30)]  # type: ignore[attr-defined]
    assert factors == sorted(factors, reverse=True)
    assert set(SCHEDULES) == {"constant", "step", "cosine"}
