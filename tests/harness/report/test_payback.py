"""After how many steps a longer first step is made up for."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from harness.report import payback

SPEC = {"data": {"batch": 10}}


def cells(**first_steps: tuple[float, float]) -> pd.DataFrame:
    """Modes of one framework, by their first step and their samples a second."""
    return pd.DataFrame(
        {
            "cell": f"toy/left/{mode}/cpu/float32",
            "label": f"left {mode}",
            "framework": "left",
            "device": "cpu",
            "dtype": "float32",
            "first_step_s": first,
            "first_step_warm_s": 1.0 if mode == "compiled" else math.nan,
            "train_samples_per_s": speed,
        }
        for mode, (first, speed) in first_steps.items()
    )


def pair(a: str, b: str, ratio: float, low: float, high: float) -> pd.DataFrame:
    names = [f"toy/left/{mode}/cpu/float32" for mode in (a, b)]
    row = {"kind": "train", "a": names[0], "b": names[1], "ratio": ratio, "low": low, "high": high}
    return pd.DataFrame([row])


def test_the_steps_are_the_extra_seconds_over_what_a_step_gains() -> None:
    assert payback.payback(9.0, 0.01, (2.0, 1.5, 3.0)) == pytest.approx((1800, 1350, 2700))
    assert payback.payback(9.0, 0.01, (1.0, 0.9, 2.0)) == (math.inf, 1800, math.inf)


@pytest.mark.parametrize("turned", [False, True])
def test_a_mode_that_is_faster_says_when_it_has_paid(turned: bool) -> None:
    modes = cells(eager=(1.0, 1000.0), compiled=(10.0, 2000.0))
    known = pair("compiled", "eager", 2.0, 1.5, 3.0)
    if turned:
        known = pair("eager", "compiled", 1 / 2, 1 / 3, 1 / 1.5)
    ((tone, text),) = payback.notes(modes, known, SPEC)
    assert tone == "note"
    assert text == (
        "a longer first step is paid back: left compiled (10 s and 1 s with a warm cache) after"
        " 1,800 steps (1,350 to 2,700) against left eager"
    )


def test_nothing_is_said_where_nothing_was_shown() -> None:
    modes = cells(eager=(1.0, 1000.0), compiled=(10.0, 1050.0))
    assert not list(payback.notes(modes, pair("compiled", "eager", 1.05, 0.99, 1.1), SPEC))
    one_launch = pair("compiled", "eager", 1.05, math.nan, math.nan)
    assert not list(payback.notes(modes, one_launch, SPEC))
    assert not list(payback.notes(modes, pair("compiled", "eager", 2.0, 1.5, 3.0), {}))
