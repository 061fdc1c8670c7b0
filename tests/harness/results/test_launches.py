"""What a run measured, launch by launch: each cell by its own workload's calibration, of what counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.results import classification
from harness.results.launches import Measures
from harness.results.metrics import (
    DEVICE_MEMORY,
    FIRST_STEP,
    IN_GATE,
    INFERENCE,
    LATENCY,
    MEMORY,
    RESIDENT,
    THROUGHPUT,
)
from tests.harness.gate.made import BASE, HEAD, OTHER, made
from tests.runs import MadeUpRun
from workloads import spec

CNN = HEAD.replace("mlp-digits", "cnn-digits")


class Journal(MadeUpRun):
    """A run of a check that is written event by event."""

    def __init__(self, folder: Path) -> None:
        specs = {name: spec.load(name).to_dict() for name in ("mlp-digits", "cnn-digits")}
        super().__init__(folder, {"workloads": specs, "cells": [], "options": {}})

    def measures(self) -> Measures:
        """What it measured so far; nothing can be added after."""
        return Measures(self.read())


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path)


def close(logs: Any, *ratios: float) -> bool:
    return np.asarray(logs) == pytest.approx(np.log(ratios), nan_ok=True)


# Pairs within a run.


def test_a_pair_is_taken_within_rounds(journal: Journal) -> None:
    for launch in (1, 2):
        for number, drift in ((1, 1.0), (2, 0.5), (3, 2.0)):
            journal.slice(HEAD, 90 * drift * launch, launch, number)
            journal.slice(BASE, 100 * drift * launch, launch, number)
    now = journal.measures()
    assert close(now.pair(THROUGHPUT, HEAD, BASE), 0.9, 0.9)
    assert close(now.pair(THROUGHPUT, BASE, HEAD), 1 / 0.9, 1 / 0.9)
    assert now.launches(HEAD) == 2
    assert len(now.pair(INFERENCE, HEAD, BASE)) == len(now.pair(THROUGHPUT, HEAD, OTHER)) == 0


def test_warming_up_and_twins_are_in_no_pair(journal: Journal) -> None:
    for one, rate in ((HEAD, 100), (BASE, 100)):
        journal.slice(one, rate, number=1).slice(one, 7, number=0).slice(one, 3, twin=True)
    now = journal.measures()
    assert close(now.pair(THROUGHPUT, HEAD, BASE), 1)
    assert now.value(THROUGHPUT, HEAD) == pytest.approx(100)


def test_a_load_on_both_cancels_and_its_coming_is_outvoted(journal: Journal) -> None:
    for number, loaded in enumerate((False, False, True, True, True), start=1):
        for one, rate in ((BASE, 100), (HEAD, 90)):
            speed, noise = (0.6 * rate, "load") if loaded else (rate, "")
            journal.slice(one, speed, 1, number, noise=noise)
    journal.slice(BASE, 100, 1, 6).slice(HEAD, 54, 1, 6, noise="load")
    assert close(journal.measures().pair(THROUGHPUT, HEAD, BASE), 0.9)


def test_one_launch_too_few_costs_that_launch_alone(journal: Journal) -> None:
    for launch in (1, 2, 3):
        journal.slice(BASE, 100, launch)
        if launch != 2:
            journal.slice(HEAD, 80, launch)
    assert close(journal.measures().pair(THROUGHPUT, HEAD, BASE), 0.8, math.nan, 0.8)


def test_what_is_measured_once_is_paired_by_launch(journal: Journal) -> None:
    for launch, (head, base) in {2: (1.1, 1.0), 3: (1.3, 1.0), 5: (2.0, 1.0)}.items():
        journal("launched", HEAD, launch=launch, twin=False, first_step_seconds=head)
        if launch != 5:
            journal("launched", BASE, launch=launch, twin=False, first_step_seconds=base)
    now = journal.measures()
    assert close(now.pair(FIRST_STEP, HEAD, BASE), 1 / 1.1, 1 / 1.3)
    assert now.value(FIRST_STEP, HEAD) == pytest.approx((1.1 * 1.3 * 2.0) ** (1 / 3))


# What happens once a launch.


def test_the_first_step_that_compiles_for_all_others_is_left_out(journal: Journal) -> None:
    journal.calibrate(500, 1).calibrate(500, 2).calibrate(250, 3)
    journal("first-step", HEAD, seconds=20.0, loss=1.0)
    journal("first-step", BASE, seconds=10.0, loss=1.0)
    for launch in (2, 3):
        for one in (HEAD, BASE):
            journal("launched", one, launch=launch, twin=False, first_step_seconds=0.5 * launch)
    journal("launched", HEAD, launch=1, twin=True, first_step_seconds=1.0)
    journal("launched", HEAD, launch=3, twin=True, first_step_seconds=1.5 / 1.1)
    now = journal.measures()
    assert close(now.pair(FIRST_STEP, HEAD, BASE), 1, 1)
    assert now.value(FIRST_STEP, HEAD) == pytest.approx(math.sqrt(1.5))
    assert close(now.against_calibration(FIRST_STEP, HEAD), 1 / (1.0 * 500), 1 / (1.5 * 250))
    assert now.floor(FIRST_STEP, HEAD) == pytest.approx(
        math.log(1.1)
    )  # not of the twin of launch 1


def test_a_lone_first_step_is_what_there_is(journal: Journal) -> None:
    now = journal("first-step", HEAD, seconds=2.0, loss=1.0).measures()
    assert now.value(FIRST_STEP, HEAD) == 2
    assert len(now.against_calibration(FIRST_STEP, HEAD)) == 0  # against nothing


def test_a_slower_machine_makes_the_same_first_step(journal: Journal, tmp_path: Path) -> None:
    found = []
    for place, speed in enumerate((1.0, 0.5)):
        told = Journal(tmp_path / str(place))
        for launch in (2, 3):
            for number in (1, 2, 3):  # the median of its rounds
                told.calibrate(500 * speed * (10 if number == 2 else 1), launch, number)
            told("launched", HEAD, launch=launch, twin=False, first_step_seconds=0.2 / speed)
        found.append(told.measures().against_calibration(FIRST_STEP, HEAD))
    assert found[0] == pytest.approx(found[1])
    assert len(found[0]) == 2


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"peak_rss": 300, "import_rss": 100, "device_peak": 7}, (200, 7)),
        ({"peak_rss": 100, "import_rss": 100, "device_peak": 0}, (None, None)),
        ({"peak_rss": 90, "import_rss": 100}, (None, None)),  # a peak that was set back too late
        ({"peak_rss": 300, "import_rss": None}, (None, None)),
        ({"peak_rss": None, "import_rss": 100, "device_peak": None}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_memory_is_what_is_above_the_import_where_that_is_known(
    journal: Journal, told: dict[str, Any], expected: tuple[float | None, float | None]
) -> None:
    for launch in (2, 3):
        journal("peaked", HEAD, launch=launch, twin=False, **told)
    now = journal.measures()
    for metric, value in zip((MEMORY, DEVICE_MEMORY), expected, strict=True):
        assert now.value(metric, HEAD) == (None if value is None else pytest.approx(value))
        logs = now.against_calibration(metric, HEAD)
        assert logs.tolist() == pytest.approx([] if value is None else [-math.log(value)] * 2)


def test_memory_is_judged_launch_by_launch(journal: Journal) -> None:
    for one, factor in ((HEAD, 1.2), (BASE, 1.0)):
        journal("memory", one, import_rss=100, peak_rss=100 + 500 * factor)
        for launch, peak in ((2, 40), (3, 50)):
            told = {"import_rss": 100, "peak_rss": 100 + peak * factor}
            journal("peaked", one, launch=launch, twin=False, **told)
    journal("peaked", HEAD, launch=3, twin=True, import_rss=100, peak_rss=190)
    now = journal.measures()
    assert close(now.pair(MEMORY, HEAD, BASE), 1 / 1.2, 1 / 1.2)  # the first one has proved, too
    assert now.value(MEMORY, BASE) == pytest.approx(math.sqrt(40 * 50))
    assert now.floor(MEMORY, BASE) == pytest.approx(math.log(90 / 60))
    assert now.floor(DEVICE_MEMORY, BASE) == now.floor(FIRST_STEP, BASE) == 0
    assert now.floor(MEMORY, CNN) == 0  # another workload's


def test_right_examples_are_told_by_the_seed_that_trained(journal: Journal) -> None:
    own = spec.load("mlp-digits").data.seed
    one, two = np.asarray([1, 1, 0, 1], bool), np.asarray([0, 1, 1, 1], bool)
    journal("evaluated", HEAD, examples=4, accuracy=0.75, right=classification.pack(one))
    journal("retrained", HEAD, launch=2, seed=own + 1, examples=4, right=classification.pack(two))
    cell = journal.measures().cells[HEAD]
    assert {seed: right.tolist() for seed, right in cell.correct.items()} == {
        own: one.tolist(),
        own + 1: two.tolist(),
    }
    assert cell.accuracy == 0.75


# Against the calibration.


def test_a_speed_is_over_its_own_rounds_calibration(journal: Journal) -> None:
    for number, drift in ((1, 1.0), (2, 0.25)):
        journal.calibrate(500 * drift, 1, number).slice(HEAD, 1000 * drift, 1, number)
    assert close(journal.measures().against_calibration(THROUGHPUT, HEAD), 2.0)


def test_workloads_are_not_mixed(journal: Journal) -> None:
    for launch in (1, 2, 3):
        journal.calibrate(500, launch).slice(HEAD, 1000, launch)
        if launch < 3:
            journal.calibrate(100, launch, workload="cnn-digits").slice(CNN, 500, launch)
    now = journal.measures()
    assert close(now.against_calibration(THROUGHPUT, HEAD), 2, 2, 2)
    assert close(now.against_calibration(THROUGHPUT, CNN), 5, 5, math.nan)
    assert (now.launches(HEAD), now.launches(CNN)) == (3, 2)


def test_turns_are_not_mixed(journal: Journal) -> None:
    # Where memory held one at a time: the machine was slower in the second turn.
    for turn, (one, drift) in enumerate(((HEAD, 1.0), (BASE, 0.5))):
        for number in (1, 2):
            journal.calibrate(500 * drift, 1, number, turn=turn)
            journal.slice(one, 1000 * drift, 1, number, turn=turn)
    now = journal.measures()
    assert close(now.against_calibration(THROUGHPUT, HEAD), 2)
    assert close(now.against_calibration(THROUGHPUT, BASE), 2)


def test_a_launch_that_was_disturbed_throughout_says_nothing(journal: Journal) -> None:
    for launch, noise in ((1, ""), (2, "load of others: 1.0")):
        for number in (1, 2):
            journal.calibrate(500, launch, number).slice(HEAD, 1000, launch, number, noise=noise)
    assert close(journal.measures().against_calibration(THROUGHPUT, HEAD), 2, math.nan)


def test_where_every_launch_was_disturbed_nothing_is_known(journal: Journal) -> None:
    journal.calibrate(500).slice(HEAD, 1000, noise="load")
    now = journal.measures()
    assert len(now.against_calibration(THROUGHPUT, HEAD)) == 0
    assert now.value(THROUGHPUT, HEAD) == pytest.approx(1000)  # it is still what was seen


def test_without_a_calibration_there_is_nothing_to_go_by(journal: Journal) -> None:
    now = journal.slice(HEAD, 1000)("memory", HEAD, import_rss=1, peak_rss=3).measures()
    assert all(len(now.against_calibration(one, HEAD)) == 0 for one in IN_GATE if one is not MEMORY)
    assert len(now.against_calibration(MEMORY, HEAD)) == 1  # bytes need none


# Figures, floors, and how long it takes.


def test_a_latency_is_a_time(journal: Journal) -> None:
    now = journal.slice(HEAD, 500, kind="single").slice(HEAD, 8, kind="resident").measures()
    assert now.value(LATENCY, HEAD) == pytest.approx(0.002)
    assert now.value(RESIDENT, HEAD) == pytest.approx(8)
    assert now.value(THROUGHPUT, HEAD) is None


def test_a_floor_is_what_twins_came_out_apart_by_in_their_own_kind(journal: Journal) -> None:
    for launch in (1, 2):
        for one in (HEAD, BASE):
            journal.slice(one, 100, launch).slice(one, 100, launch, kind="single")
            journal.slice(CNN, 1, launch).slice(CNN.replace("left", "right"), 1, launch)
        journal.slice(HEAD, 95, launch, twin=True)
        journal.slice(HEAD, 80, launch, kind="single", twin=True)
    now = journal.measures()
    assert now.floor(THROUGHPUT, BASE) == pytest.approx(-math.log(0.95))
    assert now.floor(LATENCY, BASE) == pytest.approx(-math.log(0.8))
    assert now.floor(THROUGHPUT, CNN) == now.floor(RESIDENT, HEAD) == now.floor(MEMORY, HEAD) == 0


def test_without_twins_there_is_no_floor(tmp_path: Path) -> None:
    now = Measures(made(tmp_path, {HEAD: {}, BASE: {}}))
    assert [now.floor(metric, HEAD) for metric in IN_GATE] == [0.0] * len(IN_GATE)


def test_how_long_a_launch_takes_is_the_time_between_two(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Journal(tmp_path / "another").measures().seconds_a_launch is None
    times = iter((0.0, 10.0, 20.0, 35.0))
    monkeypatch.setattr(
        "harness.results.store.time.monotonic", lambda: journal.run._began + next(times)
    )
    for launch in range(2, 6):
        journal("standing", workload="mlp-digits", launches=launch)
    assert journal.measures().seconds_a_launch == 10


def test_cells_are_told_with_how_they_came_through(tmp_path: Path) -> None:
    cells: Mapping[str, Mapping[str, Any]] = {
        HEAD: {"wrong": 3},
        BASE: {"wrong_step": True},
        OTHER: {"failed": True},
    }
    found = Measures(made(tmp_path, cells, launches=2)).cells
    assert [found[one].status for one in cells] == ["ok", "not equivalent", "crashed"]
    assert [found[one].parity for one in cells] == [
        "equivalent",
        "not equivalent",
        "not checked",
    ]
    assert found[HEAD].accuracy == pytest.approx(350 / 360)
    assert found[OTHER].accuracy is None


def test_the_reference_is_no_cell_of_a_check(journal: Journal) -> None:
    journal("framework-ready", framework="left", reference=True, origin="built")
    journal("cell-done", HEAD)("cell-done", OTHER)
    assert list(journal.measures().cells) == [OTHER]
