"""What is a series, and where it changes: never across machines, and not for what all cells share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from harness.analysis import history_series
from harness.analysis.history_series import Series
from harness.results import history_db
from harness.results.metrics import IN_HISTORY

THROUGHPUT = IN_HISTORY["throughput"]
FLAT: Sequence[float] = (1.0,) * 12


def noise(seed: int, count: int, size: float = 0.01) -> NDArray:
    return np.exp(np.random.default_rng(seed).normal(0, size, count))


def table(cells: Mapping[str, Sequence[float | None]], **more: Any) -> pd.DataFrame:
    """A history whose runs have those speeds of every cell, "framework/mode"; None for one that crashed.

    `more` are columns: one value, or one a run.
    """
    rows = []
    for number in range(max(map(len, cells.values()))):
        own = {
            key: value[number] if isinstance(value, list) else value for key, value in more.items()
        }
        for cell, speeds in cells.items():
            framework, mode = cell.split("/")
            if number >= len(speeds):
                continue
            speed = speeds[number]
            name, _, version = framework.partition("@")
            rows.append(
                {
                    **dict.fromkeys([*history_db.CELLS, *history_db.RUNS]),
                    "run": f"run-{number:03}",
                    "started": f"2026-11-{number + 1:02}T06:30:00+00:00",
                    "cell": f"toy/{cell}/cpu/float32",
                    "workload": "toy",
                    "framework": framework,
                    "name": name,
                    "mode": mode,
                    "device": "cpu",
                    "dtype": "float32",
                    "version": version or "1.0",
                    "ground": "g",
                    "fingerprint": "f",
                    "machine": "{}",
                    "threads": 2,
                    "data": "real",
                    "quick": False,
                    "no_parity": False,
                    "reference": False,
                    "status": "crashed" if speed is None else "ok",
                    "train_samples_per_s": speed,
                    "steps": 100,
                    "examples": 10_000,
                    **own,
                }
            )
    return pd.DataFrame(rows)


def found(cells: Mapping[str, Sequence[float | None]], **more: Any) -> dict[str, Series]:
    """The series by framework and mode, which have one each."""
    told = history_series.series(table(cells, **more), THROUGHPUT)
    assert len({one.cell for one in told}) == len(told)
    return {one.cell.split("/", 1)[1].removesuffix("/cpu/float32"): one for one in told}


def places(one: Series) -> list[int]:
    return [change.place for change in one.changes]


def with_step(seed: int, count: int, place: int, factor: float) -> NDArray:
    return noise(seed, count) * np.where(np.arange(count) >= place, factor, 1)


def test_a_step_is_told_with_its_size_and_its_version() -> None:
    versions = ["1.0"] * 8 + ["2.0"] * 4
    one = found({"left/a": 100 * with_step(1, 12, 8, 0.9)}, version=versions)["left/a"]
    (change,) = one.changes
    assert (change.place, change.word, change.better) == (8, "slower", False)
    assert one.points["version"][change.place] == "2.0"
    assert np.exp(change.size) == pytest.approx(0.9, abs=0.02)
    assert one.against == () and one.points["net"].isna().all()


def test_what_all_frameworks_share_is_the_machines() -> None:
    drift = np.exp(np.random.default_rng(5).normal(0, 0.1, 20)) * np.where(
        np.arange(20) < 9, 1, 0.7
    )
    cells = {
        name: 100 * (place + 1) * drift * noise(place, 20)
        for place, name in enumerate(("left/a", "left/b", "right/a", "third/a", "fourth/a"))
    }
    cells["left/b"] = cells["left/b"] * np.where(np.arange(20) < 14, 1, 0.9)
    told = found(cells)
    assert {name: places(one) for name, one in told.items() if one.changes} == {"left/b": [14]}
    one = told["left/b"]
    assert one.against == ("fourth", "right", "third")
    assert one.points["net"][:14].to_numpy() == pytest.approx(np.ones(14), abs=0.05)
    assert one.points["net"][14:].to_numpy() == pytest.approx(np.full(6, 0.9), abs=0.05)
    assert one.points["value"].to_numpy() == pytest.approx(cells["left/b"])


@pytest.mark.parametrize("others", [2, 3, 4])
def test_a_change_is_that_of_the_framework_that_changed(others: int) -> None:
    cells = {f"f{place}/a": 100 * noise(place, 20) for place in range(others)}
    cells["mine/a"] = 100 * with_step(9, 20, 12, 0.8)
    told = found(cells)
    assert {name: places(one) for name, one in told.items() if one.changes} == {"mine/a": [12]}


def test_of_two_frameworks_either_may_have_changed() -> None:
    told = found({"left/a": 100 * with_step(1, 12, 8, 0.8), "right/a": 50 * noise(2, 12)})
    assert [(one.changes[0].word, one.against) for one in told.values()] == [
        ("slower", ("right",)),
        ("faster", ("left",)),
    ]


def test_runs_need_not_have_the_same_frameworks() -> None:
    """A cell that joins when the machine has become slow does not make it look fast."""
    slow = np.where(np.arange(20) < 10, 1, 0.6)
    rows = {name: 100 * slow * noise(place, 20) for place, name in enumerate(("a/m", "b/m", "c/m"))}
    late = {
        "d/m": [None] * 10 + list(60 * noise(8, 10)),
        "e/m": [None] * 10 + list(60 * noise(9, 10)),
    }
    told = found({**rows, **late})
    assert all(not one.changes for one in told.values())
    assert told["a/m"].points["net"].to_numpy() == pytest.approx(np.ones(20), abs=0.05)


def test_a_series_is_one_machine_one_ground_and_one_setting() -> None:
    speeds = [100.0] * 6 + [50.0] * 6
    for column, values in {
        "fingerprint": ["f"] * 6 + ["other"] * 6,
        "ground": ["g"] * 6 + ["other"] * 6,
        "threads": [2] * 6 + [1] * 6,
        "quick": [False] * 6 + [True] * 6,
        "no_parity": [False] * 6 + [True] * 6,
        "data": ["real"] * 6 + ["synthetic"] * 6,
    }.items():
        told = history_series.series(table({"left/a": speeds}, **{column: values}), THROUGHPUT)
        assert [(len(one.points), one.changes) for one in told] == [(6, ()), (6, ())], column
    assert places(found({"left/a": speeds})["left/a"]) == [6]


def test_an_unknown_machine_has_no_changes() -> None:
    assert not found({"left/a": [100.0] * 6 + [50.0] * 6}, fingerprint="")["left/a"].changes


def test_versions_of_one_run_are_one_series_by_version() -> None:
    """Two arms in each run: first all runs of the one, then all of the other."""
    old, new = 100 * noise(1, 8), 80 * noise(2, 8)
    told = history_series.series(table({"left@2.13.0/a": new, "left@2.9.1/a": old}), THROUGHPUT)
    (one,) = told
    assert one.cell == "toy/left/a/cpu/float32"
    assert list(one.points["version"]) == ["2.9.1"] * 8 + ["2.13.0"] * 8
    assert places(one) == [8]


def test_a_version_that_comes_back_stands_with_its_own() -> None:
    versions = ["1.0"] * 4 + ["2.0"] * 4 + ["1.0"] * 4
    speeds = [100.0, 101.0, 99.0, 100.5, 80.0, 80.8, 79.2, 80.4, 100.0, 101.0, 99.5, 100.2]
    one = found({"left/a": speeds}, version=versions)["left/a"]
    assert list(one.points["version"]) == ["1.0"] * 8 + ["2.0"] * 4
    assert places(one) == [8]


def test_failed_runs_are_shown_and_count_for_nothing() -> None:
    speeds = [*(100 * noise(1, 6)), None, None, *(80 * noise(2, 6))]
    one = found({"left/a": speeds})["left/a"]
    assert list(one.points["status"][6:8]) == ["crashed"] * 2
    assert one.points["value"][6:8].isna().all() and places(one) == [8]


def test_what_never_began_and_the_reference_are_no_series() -> None:
    assert not found({"left/a": FLAT}, status="unavailable")
    assert not found({"left/a": FLAT}, reference=True)
    assert not found({"left/a": [None] * 5})


def test_the_reference_tells_of_the_machine_too() -> None:
    drift = noise(3, 16, 0.2)
    cells = table(
        {"left/a": 100 * drift * with_step(1, 16, 10, 0.9), "judge/a": drift * noise(2, 16)}
    )
    cells["reference"] = cells["name"] == "judge"
    (one,) = history_series.series(cells, THROUGHPUT)
    assert one.against == ("judge",) and places(one) == [10]


def test_a_change_too_small_is_not_told() -> None:
    exact = [100.0] * 10 + [100.5] * 10
    assert not found({"left/a": exact})["left/a"].changes
    assert places(found({"left/a": [100.0] * 10 + [102.0] * 10})["left/a"]) == [10]


def test_accuracy_changes_by_what_its_test_set_can_tell() -> None:
    def accuracy(
        *levels: float, examples: int = 10_000, steps: int | list[int] = 100
    ) -> list[list[int]]:
        told = table(
            {"left/a": FLAT},
            examples=examples,
            steps=steps,
            accuracy=[level for level in levels for _ in range(12 // len(levels))],
        )
        return [places(one) for one in history_series.series(told, IN_HISTORY["accuracy"])]

    assert accuracy(0.90, 0.87) == [[6]]
    assert accuracy(0.90, 0.895) == [[]]
    assert accuracy(0.90, 0.87, examples=360) == [[]]
    assert accuracy(0.0, 0.3) == [[6]]
    assert accuracy(0.90, 0.87, steps=[100] * 6 + [200] * 6) == [[], []]  # trained otherwise


def test_more_memory_is_worse_and_on_a_card_it_is_the_cards() -> None:
    peaks = [2.0**30] * 6 + [2.0**31] * 6
    told = table({"left/a": FLAT}, peak_memory_bytes=peaks)
    (one,) = history_series.series(told, IN_HISTORY["memory"])
    assert [(change.word, change.better) for change in one.changes] == [("more", False)]
    on_card = told.assign(device="cuda", device_peak_bytes=2.0**33)
    (one,) = history_series.series(on_card, IN_HISTORY["memory"])
    assert set(one.points["value"]) == {2.0**33} and not one.changes


def test_a_shorter_first_step_is_faster() -> None:
    told = table({"left/a": FLAT}, first_step_s=[2.0] * 6 + [1.0] * 6)
    (one,) = history_series.series(told, IN_HISTORY["first-step"])
    assert [(change.word, change.better) for change in one.changes] == [("faster", True)]


def test_levels_are_what_lies_between_changes() -> None:
    one = found({"left/a": [100.0] * 6 + [80.0] * 6})["left/a"]
    assert list(history_series.levels(one)) == [(0, 6), (6, 12)]


def test_noise_of_many_cells_on_a_drifting_machine_has_few_changes() -> None:
    alarms = cells = 0
    for seed in range(12):
        random = np.random.default_rng(seed)
        drift = np.exp(np.cumsum(random.normal(0, 0.05, 24)))
        told = found(
            {f"f{place}/m": 100 * drift * np.exp(random.normal(0, 0.01, 24)) for place in range(5)}
        )
        alarms += sum(bool(one.changes) for one in told.values())
        cells += len(told)
    assert alarms <= 0.05 * cells
