"""Durations and named paths are read, or refused with what would be right."""

from __future__ import annotations

import pytest

from harness.commands.types import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("2m", 120), ("1.5h", 5400)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1", "0", "2 minutes", "nan", "infm", "1d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="give a time as 90s, 2m or 1h"):
        parse_duration(text)
