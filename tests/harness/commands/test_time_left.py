"""The estimate of what is left of a run, from its events alone."""

from __future__ import annotations

import pytest

from harness.commands.time_left import TimeLeft

LAUNCH, PREPARE, TRAIN, BUDGET = 20.0, 4.0, 2.0, 240.0
BRING_UP = PREPARE + TRAIN


def events(launches: int = 6, cells: int = 3) -> list[tuple[float, dict]]:
    """A run of two workloads, as long as the budget allows; each event with its time in seconds."""
    now, told = 0.0, []

    def emit(event: str, cell: str | None = None, **fields: object) -> None:
        told.append((now, {"event": event, "cell": cell, **fields}))

    emit("run-started", cells=2 * cells, budget=BUDGET, workloads=["first", "second"])
    for workload in ("first", "second"):
        names = [f"{workload}/{number}" for number in range(cells)]
        for event, seconds in (("preparing", PREPARE), ("cell-started", TRAIN)):
            for name in names:
                emit(event, name)
                now += seconds
        for launch in range(1, launches + 1):
            emit("warmed", names[0], launch=launch)
            now += LAUNCH
            emit("checkpoint", workload=workload, launch=launch, took=LAUNCH)
        emit("stopped", workload=workload, reason="the budget is spent")
    emit("run-ended")
    return told


def estimates(launches: int) -> list[tuple[float, float]]:
    """What was estimated after each event, and what was left in truth."""
    told = events(launches)
    end, left, pairs = told[-1][0], TimeLeft(), []
    for now, event in told:
        left.add(event, now)
        pairs.append((left.seconds(now), end - now))
    return pairs


def test_what_is_left_is_told_within_a_quarter_once_a_cell_is_up() -> None:
    for estimate, truth in estimates(launches=6)[2:]:
        assert estimate == pytest.approx(truth, rel=0.25, abs=LAUNCH)


def test_a_workload_that_stops_early_gives_its_rest_back() -> None:
    after = estimates(launches=2)
    stopped = [n for n, (_, event) in enumerate(events(2)) if event["event"] == "stopped"]
    estimate, _ = after[stopped[0]]
    assert estimate == pytest.approx(3 * BRING_UP + BUDGET / 2, rel=0.01)
    assert after[stopped[1]] == (0, 0)


def test_a_share_rises_to_one() -> None:
    left, shares = TimeLeft(), []
    for now, event in events():
        left.add(event, now)
        shares.append(left.share_done(now))
    assert shares[0] == 0 and shares[-1] == 1 and all(0 <= share <= 1 for share in shares)


def test_a_run_without_a_budget_is_its_cells() -> None:
    left = TimeLeft()
    left.add({"event": "run-started", "cell": None, "cells": 4, "budget": None}, 0.0)
    for number in range(4):
        left.add({"event": "preparing", "cell": str(number)}, 10.0 * number)
    left.add({"event": "cell-started", "cell": "0"}, 40.0)
    left.add({"event": "cell-started", "cell": "1"}, 50.0)
    assert left.seconds(50.0) == 30.0 and left.seconds(55.0) == 25.0


def test_a_workload_that_is_skipped_has_no_part_in_it() -> None:
    left = TimeLeft()
    start = {"cells": 0, "budget": BUDGET, "workloads": ["first", "second"]}
    left.add({"event": "run-started", "cell": None, **start}, 0.0)
    left.add({"event": "workload-skipped", "cell": None, "workload": "second"}, 0.0)
    assert left.seconds(0.0) == BUDGET / 2


def test_trainings_with_seeds_take_nothing_of_the_budget() -> None:
    left = TimeLeft()
    left.add({"event": "run-started", "cells": 0, "budget": BUDGET, "workloads": ["first"]}, 0.0)
    left.add({"event": "warmed", "cell": "first/0", "launch": 1}, 0.0)
    left.add({"event": "slice", "cell": "first/0"}, 10.0)
    before = left.seconds(10.0)
    left.add({"event": "retrained", "cell": "first/0", "launch": 1, "curve": {}}, 100.0)
    assert left.seconds(100.0) == pytest.approx(before)
