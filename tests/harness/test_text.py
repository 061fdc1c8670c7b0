"""Numbers as words."""

from __future__ import annotations

import pytest

from harness import text


@pytest.mark.parametrize(
    ("value", "words"), [(0.0512, "0.051x"), (1.934, "1.93x"), (12.13, "12.1x"), (123.4, "123x")]
)
def test_a_ratio_has_two_digits_or_three(value: float, words: str) -> None:
    assert text.times(value) == words


def test_a_ratio_stands_with_its_interval() -> None:
    assert text.interval(1.934, 1.851, 12.13) == "1.93x (1.85 to 12.1)"


def test_a_status_that_its_reason_begins_with_is_said_once() -> None:
    assert text.with_reason("crashed", "no memory") == "crashed: no memory"
    assert text.with_reason("crashed", "no memory", between=" ") == "crashed no memory"
    reason = "not equivalent: the loss is not finite"
    assert text.with_reason("not equivalent", reason) == reason
