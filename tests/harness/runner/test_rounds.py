"""The timed part of a check: trainings with seeds of their own, its slices, its looks and its budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.machine import reference_kernel
from harness.results import classification, pairwise, store, tables
from harness.runner import run, schedule
from harness.runner.context import MOST_SEEDS, Measuring, Task
from harness.runner.request import Request
from harness.runner.rounds import FEWEST_ROUNDS, InterleavedRounds
from harness.runner.scratch import write_start
from tests.toy_request import BRIEF, brief_request
from workloads import datasets, spec

pytestmark = pytest.mark.slow

OWN = 5
CHECKING = replace(BRIEF, launches=4, rounds=2, checking=True)
AGAIN = [("slow", 2), ("well", 2), ("well", 3), ("slow", 3), ("slow", 4), ("well", 4)]
"""The launches after the first of "well" and "slow", in their order: there and back."""

Make = Callable[..., Request]


@pytest.fixture
def make(
    toy_root: Path,
    toy_interpreters: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Make:
    """Makes the request of a check of some modes of the toy; what is of no interest here is left out."""
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path / "cache"))

    def make(*modes: str, measuring: Measuring = CHECKING, **changes: Any) -> Request:
        usual: dict[str, Any] = {
            "frameworks": ["faulty"],
            "modes": modes,
            "epochs": 1,
            "seed": OWN,
            "interpreters": toy_interpreters,
            "parity_steps": 2,
        }
        return brief_request(toy_root, measuring, **(usual | changes))

    return make


def execute(asked: Request, root: Path) -> store.Record:
    record, status = run.execute(asked, lambda event: None, root)
    assert status == 0, [event["reason"] for event in record.every("cell-failed")]
    return record


def modes(events: Sequence[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(one["cell"].split("/")[2], one["launch"]) for one in events]


def test_a_check_trains_in_every_launch_and_tells_what_came_of_it(
    make: Make, toy_root: Path
) -> None:
    record = execute(make("well", "slow"), toy_root)
    told = record.every("retrained")
    tests = record.every("dataset")[0]["test"]
    assert modes(told) == AGAIN
    for one in told:
        assert one["seed"] == OWN + one["launch"] - 1
        right = classification.unpack(one["right"], one["examples"])
        assert (one["examples"], one["accuracy"]) == (tests, pytest.approx(right.mean()))
        assert one["seconds"] > 0
    # Both modes are equivalent: the same seed makes the same net, and another one another.
    by_seed = {one["seed"]: one["right"] for one in told}
    assert {(one["seed"], one["right"]) for one in told} == set(by_seed.items())
    scored = {one["right"] for one in record.every("evaluated")}
    assert len(scored) == 1 and len(scored | set(by_seed.values())) == 4
    # And then it was checked from the workload's own start again.
    assert all(event["verdict"] == "equivalent" for event in record.every("parity"))
    when = Counter(event["when"] for event in record.every("parity"))
    launches = 2 * 4
    assert (when["before timing"], when["after timing"]) == (2, launches)
    # In every launch a slice of each kind; and once training, scoring, and both latencies.
    kinds = Counter(e["kind"] for e in record.every("parity") if e["when"] == "replayed")
    each_launch = dict.fromkeys(("train", "predict", "single"), launches)
    assert kinds == each_launch | dict.fromkeys(
        ("training", "evaluate", "latency", "latency one"), 2
    )
    times_each_figure_once_a_round(record)
    tells_its_peak_before_it_trains_again(record)


def times_each_figure_once_a_round(record: store.Record) -> None:
    """Single predictions too; with a calibration in each round, and twins in every third launch."""
    table = record.slices
    own = table[~table["twin"]]
    each = own.groupby(["cell", "launch", "round", "kind"]).size()
    assert set(own["kind"]) == {"train", "predict", "single"}
    assert set(each) == {1}  # none is timed again: another round, or another launch, tells more
    assert len(each) == 2 * 3 * CHECKING.launches * CHECKING.rounds
    singles = own[own["kind"] == "single"]
    assert (singles["samples"] == singles["steps"]).all()  # one example each
    places = [(one["launch"], one["round"]) for one in record.every("calibration")]
    assert places == [(launch, number) for launch in range(1, 5) for number in (1, 2)]
    assert all(one["rate"] > 0 for one in record.every("calibration"))
    assert {one["workload"] for one in record.every("calibration")} == {"mlp-2-3-2"}
    twins = [one for one in record.every("launched") if one["twin"]]
    assert modes(twins) == [("well", 1), ("slow", 4)]
    assert set(table[table["twin"]]["launch"]) == {1, 4}


def test_who_starts_first_in_a_launch_starts_last_in_the_next(make: Make, toy_root: Path) -> None:
    measuring = replace(CHECKING, launches=4, rounds=1)
    record = execute(make("well", "slow", measuring=measuring, data="synthetic"), toy_root)
    warmed = [one for one in record.every("warmed") if not one["twin"]]
    assert modes(warmed) == [("well", 1), ("slow", 1), *AGAIN]


def tells_its_peak_before_it_trains_again(record: store.Record) -> None:
    """So that all launches after the first have one of the same kind; twins too."""
    told = record.every("peaked")
    assert modes([one for one in told if not one["twin"]]) == AGAIN
    assert modes([one for one in told if one["twin"]]) == [("slow", 4)]
    assert all(one["peak_rss"] > one["import_rss"] > 0 for one in told)
    places = {
        (one.get("cell"), one.get("launch"), one["event"]): place
        for place, one in enumerate(record.events)
        if not one.get("twin")
    }
    for one in record.every("retrained"):
        warm, peak, trained = (
            places[one["cell"], one["launch"], event] for event in ("warmed", "peaked", "retrained")
        )
        assert warm < peak < trained


def test_a_run_that_is_no_check_trains_once(make: Make, toy_root: Path) -> None:
    measuring = replace(CHECKING, checking=False, launches=2, rounds=1)
    record = execute(make("well", "slow", measuring=measuring), toy_root)
    assert record.every("retrained") == []
    assert set(record.slices["kind"]) == {"train", "predict"}
    assert len(record.every("calibration")) == 2  # it may be a baseline one day
    assert len(record.every("peaked")) == 3
    assert [one["launch"] for one in record.every("launched") if one["twin"]] == [1, 2]


def test_made_data_is_scored_by_nobody_and_so_not_trained_on_again(
    make: Make, toy_root: Path
) -> None:
    measuring = replace(CHECKING, launches=2, rounds=1)
    record = execute(make("well", measuring=measuring, data="synthetic"), toy_root)
    assert record.every("retrained") == [] == record.every("evaluated")
    (told,) = record.every("peaked")
    assert told["peak_rss"] > told["import_rss"]


def test_cells_that_wait_for_memory_train_with_the_same_seeds(
    make: Make, toy_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "room_for_one_more", lambda alive: False)
    measuring = replace(CHECKING, launches=2, rounds=1)
    record = execute(
        make("well", "slow", "turncoat", measuring=measuring, no_parity=True), toy_root
    )
    told = record.every("retrained")
    assert modes(told) == [("slow", 2), ("well", 2), ("turncoat", 2)]
    assert len({one["right"] for one in told}) == 1
    assert {(one["turn"], one["launch"]) for one in record.every("calibration")} == {
        (turn, launch) for turn in (0, 1) for launch in (1, 2)
    }


# Looks, and the budget.


class Looks:
    """Says of the cells what a test wants it to; keeps what it was asked about."""

    def __init__(self, *answers: tuple[str, str]) -> None:
        """Each answer has the modes that are open, and the suspects, with spaces; the last stays."""
        self._answers = list(answers)
        self.asked: list[set[str]] = []

    def __call__(self, folder: Path, here: set[str]) -> tuple[set[str], set[str]]:
        assert store.read(folder).end is None
        self.asked.append({one.split("/")[2] for one in here})
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        open_, suspects = (
            {one for one in here if one.split("/")[2] in words.split()} for words in answer
        )
        return open_, suspects


ENDLESS, NOTHING = 3600.0, 0.001


def looked_at(make: Make, root: Path, budget: float, looks: Looks, *names: str) -> store.Record:
    measuring = replace(CHECKING, budget=budget, rounds=1)
    return execute(replace(make(*names, measuring=measuring), undecided=looks), root)


def launched(record: store.Record) -> dict[str, int]:
    """How often each mode was launched and timed."""
    table = record.slices[~record.slices["twin"]]
    return {str(mode): own["launch"].nunique() for mode, own in table.groupby("mode")}


def reasons(record: store.Record) -> list[str]:
    return [one["reason"] for one in record.every("stopped")]


def test_what_is_decided_is_not_launched_again(make: Make, toy_root: Path) -> None:
    looks = Looks(("well", ""), ("", ""))
    record = looked_at(make, toy_root, ENDLESS, looks, "well", "slow")
    assert launched(record) == {"well": 5, "slow": 3}  # it looks after 3 and after 5
    assert reasons(record) == ["every pair is decided"]
    assert [(one["launches"], len(one["undecided"])) for one in record.every("looked")] == [
        (3, 1),
        (5, 0),
    ]


def test_a_budget_that_is_spent_ends_it_where_nothing_is_suspect(
    make: Make, toy_root: Path
) -> None:
    looks = Looks(("well slow", ""))
    record = looked_at(make, toy_root, NOTHING, looks, "well", "slow")
    assert launched(record) == {"well": 1, "slow": 1}
    assert reasons(record) == ["the budget is spent"]
    assert len(looks.asked) == 1


def test_launches_that_have_to_be_made_have_few_rounds_where_time_is_short(
    make: Make, toy_root: Path
) -> None:
    measuring = replace(CHECKING, checking=False, budget=NOTHING, least=3, rounds=20)
    record = execute(make("well", "slow", measuring=measuring), toy_root)
    assert launched(record) == {"well": 3, "slow": 3}
    assert set(record.slices.groupby(["cell", "launch"])["round"].max()) == {FEWEST_ROUNDS}


def test_a_budget_is_extended_once_and_for_suspects_alone(make: Make, toy_root: Path) -> None:
    looks = Looks(("well slow", "slow"))
    record = looked_at(make, toy_root, NOTHING, looks, "well", "slow")
    assert launched(record) == {"well": 1, "slow": 2}
    assert reasons(record) == ["the budget is spent"]
    assert len(looks.asked) == 2


def test_a_look_is_at_what_is_timed_at_present_and_never_at_the_reference(
    make: Make, toy_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "room_for_one_more", lambda alive: False)
    looks = Looks(("", ""))
    asked = make("well", "slow", "turncoat", frameworks=["faulty,reference"], no_parity=True)
    asked = replace(asked, undecided=looks, measuring=replace(CHECKING, budget=NOTHING, rounds=1))
    execute(asked, toy_root)
    assert looks.asked == [{"well", "slow"}, {"turncoat"}]


def test_what_suspects_take_is_not_taken_from_those_that_wait(
    make: Make, toy_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    budgets = list[float | None]()

    class Timing:
        spent = 100.0

        def __init__(self, *args: Any) -> None:
            budgets.append(args[-1])

        def measure(self, cells: list[Any], first: list[Any]) -> list[Any]:
            for one in first:
                one.kill()
            return cells

    monkeypatch.setattr(schedule, "room_for_one_more", lambda alive: False)
    monkeypatch.setattr(schedule, "InterleavedRounds", Timing)
    asked = make("well", "slow", "turncoat", "raises", no_parity=True)
    asked = replace(asked, cells=[one for one in asked.cells if one.mode != "raises"])
    execute(replace(asked, measuring=replace(CHECKING, budget=9.0)), toy_root)
    assert budgets == [6.0, 3.0]


# Seeds, and the fixed work.


@pytest.mark.parametrize(
    ("tests", "launches"), [(10_000, 3), (1500, 3), (900, 5), (360, 12), (10, MOST_SEEDS)]
)
def test_small_test_sets_take_more_trainings(
    tests: int, launches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = spec.load("mlp-digits").with_data(seed=OWN)
    arrays = SimpleNamespace(open=lambda name: np.zeros(tests))
    task = Task(workload, arrays, 1)  # type: ignore[arg-type]
    seeds = [task.seed_of(launch) for launch in range(1, 14)]
    assert seeds == [None, *range(OWN + 1, OWN + launches), *[None] * (13 - launches)]
    assert task.seeded(None) is workload and task.seeded(7).data.seed == 7
    assert task.start_of(None) == task.start != task.start_of(OWN + 1)


def test_a_start_of_another_seed_is_another_start(tmp_path: Path) -> None:
    workload = spec.load("mlp-digits")
    task = Task(workload, datasets.prepare("digits", tmp_path, seed=0), 10, tmp_path)
    own, again = write_start(task), write_start(task, workload.data.seed)
    assert own == again  # the seed is all that a start is made of
    other = write_start(task, workload.data.seed + 1)
    assert set(other) == set(own)
    assert {name for name in own if own[name] == other[name]} == set()
    assert np.load(task.start_of(workload.data.seed + 1) / "order.npy").shape[0] == 10


def test_the_fixed_work_is_done_some_hundred_times_a_second() -> None:
    rates = [reference_kernel.rate() for _ in range(3)]
    assert all(10 < rate < 100_000 for rate in rates)


@pytest.mark.parametrize(("spread", "has_lead"), [(0.01, True), (30.0, False)])
def test_a_lead_without_bounds_that_say_something_is_not_reported(
    spread: float, has_lead: bool
) -> None:
    slices = [
        {"cell": f"toy/{name}/fast/cpu/float32", "twin": False, "noise": [], "turn": 0}
        | {"launch": launch, "round": 1, "kind": "train", "steps": 1, "samples": 1}
        | {
            "seconds": seconds * np.exp(-spread * (launch == 2) * (name == "left")),
            "cpu_seconds": 1,
        }
        for name, seconds in (("left", 1.0), ("right", 2.0))
        for launch in (1, 2)
    ]
    table = pairwise.counted(tables.slices(tables.columns(slices)))
    pairs, events = pairwise.pairs(table, table[:0]), list[dict[str, Any]]()
    rounds = SimpleNamespace(
        _emit=lambda event, cell, **fields: events.append(fields),
        _task=SimpleNamespace(workload=SimpleNamespace(name="toy")),
        _measuring=Measuring(),
    )
    InterleavedRounds._emit_standing(rounds, 2, table, pairs, 0.95)  # type: ignore[arg-type]
    assert ("ratio" in events[0]) is has_lead and len(events[0]["cells"]) == 2
