"""Durations and named paths are read, or refused with what would be right."""

from __future__ import annotations

import click
import pytest

from harness.commands.types import Numbers, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("2m", 120), ("1.5h", 5400)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1", "0", "2 minutes", "nan", "infm", "1d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="give a time as 90s, 2m or 1h"):
        parse_duration(text)


def test_numbers_stand_with_commas_between_them() -> None:
    counts, factors = (
        Numbers(click.IntRange(min=1)),
        Numbers(click.FloatRange(min=0, min_open=True)),
    )
    assert counts.convert("4, 32,128", None, None) == (4, 32, 128)
    assert factors.convert("0.5", None, None) == (0.5,)
    for kind, text in ((counts, "4,,8"), (counts, "0"), (factors, "1,-1"), (factors, "inf,nan")):
        with pytest.raises(click.BadParameter):
            kind.convert(text, None, None)


def test_several_numbers_are_refused_where_one_is_meant() -> None:
    with pytest.raises(click.BadParameter, match="several are a sweep, which `run` makes"):
        Numbers(click.INT, several=False).convert("1,2", None, None)
