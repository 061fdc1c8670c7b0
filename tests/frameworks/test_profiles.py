"""Operators summed from a trace's events."""

from __future__ import annotations

from typing import Any

from frameworks.profiles import Operator, operators


def event(name: str, start: float, duration: float, thread: int = 1, **more: Any) -> dict[str, Any]:
    return {"ph": "X", "pid": 1, "tid": thread, "name": name, "ts": start, "dur": duration, **more}


def summed(*events: dict[str, Any]) -> dict[str, Operator]:
    return {one.name: one for one in operators(events, lambda e: e["name"].lstrip("-") or None)}


def test_self_time_leaves_out_what_runs_inside() -> None:
    found = summed(event("a", 0, 10), event("b", 1, 4), event("c", 2, 1), event("b", 6, 2))
    assert found["a"] == Operator("a", 1, 10, 4)
    assert found["b"] == Operator("b", 2, 6, 5)
    assert found["c"] == Operator("c", 1, 1, 1)


def test_threads_do_not_nest_and_neighbours_neither() -> None:
    found = summed(event("a", 0, 10), event("b", 1, 4, thread=2), event("c", 10, 1))
    assert {one.self_us for one in found.values()} == {10, 4, 1}


def test_events_that_are_no_operators_count_for_the_one_around() -> None:
    found = summed(event("a", 0, 10), event("-", 1, 4), {"ph": "M", "name": "about"})
    assert found == {"a": Operator("a", 1, 10, 10)}


def test_a_call_told_twice_is_one_call_in_whatever_order() -> None:
    found = summed(event("a", 1, 8), event("a", 0, 10), event("b", 2, 3))
    assert found["a"] == Operator("a", 1, 10, 7)
    assert found["b"] == Operator("b", 1, 3, 3)
