"""What a check against a baseline runs: the toys, in a project of their own."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.environments.framework_spec import FrameworkSpecError
from harness.gate import baseline, request
from harness.gate.evaluate import undecided, verdict
from harness.gate.findings import MISSING
from harness.machine import host
from harness.machine.processors import most_threads
from harness.results import store
from harness.results.store import Run
from harness.runner.request import Request
from tests.harness.gate.checks import check_of, options
from tests.harness.gate.made import HEAD, OTHER, Table, made
from workloads.errors import UserError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path / "cache"))


def cell(
    mode: str, framework: str = "faulty", workload: str = "mlp-2-3-2", place: str = "cpu/float32"
) -> str:
    return f"{workload}/{framework}/{mode}/{place}"


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """A baseline of two modes and two workloads, as if it had been measured on one thread."""
    kept = baseline.of(made(tmp_path / "old", {HEAD: {}, OTHER: {}}, launches=3), "nightly")
    cells = {
        cell("well"): kept["cells"][HEAD],
        cell("slow"): kept["cells"][OTHER],
        cell("well", workload="mlp-digits"): kept["cells"][HEAD],
    }
    kept |= {
        "cells": cells,
        "threads": 1,
        "machine": host.describe(),
        "asked": {
            "data": "synthetic",
            "seed": 5,
            "epochs": None,
            "steps": 7,
            "deterministic": False,
        },
    }
    return dict(baseline.read(baseline.save(tmp_path, kept)).table)


def stored(root: Path, table: Table, **changes: Any) -> Request:
    asked = options(root, **{"workloads": [], "data": None, **changes})
    return request.stored(table, **asked)


def checked(made: Request) -> list[str]:
    """What is checked, each against itself."""
    assert check_of(made).stored
    assert all(one == other for one, other in check_of(made).pairs)
    return [one for one, _ in check_of(made).pairs]


def test_a_baseline_is_measured_again_as_it_was(toy_root: Path, table: Table) -> None:
    made = stored(toy_root, table)
    assert checked(made) == list(table["cells"])
    assert {one.id for one in made.cells} == set(table["cells"])
    assert (made.threads, made.steps, made.synthetic, made.seed) == (1, 7, True, 5)
    assert {one.data.seed for one in made.workloads} == {5}
    assert made.measuring.budget == 3 * request.SECONDS
    assert made.attachments == baseline.attachment(table) and made.undecided is undecided
    assert check_of(made).against == "the baseline nightly"


def test_what_is_given_goes_before_what_was_kept(toy_root: Path, table: Table) -> None:
    made = stored(toy_root, table, epochs=3, seed=0, data="real", budget=9.0)
    assert (made.steps, made.synthetic, made.seed, made.measuring.budget) == (None, False, 0, 9.0)
    assert {(one.data.epochs, one.data.seed) for one in made.workloads} == {(3, 0)}
    table["asked"] |= {"epochs": 2, "steps": None}
    assert stored(toy_root, table).workloads[0].data.epochs == 2
    assert stored(toy_root, table, steps=4).steps == 4
    assert [stored(toy_root, table, deterministic=one).deterministic for one in (False, True)] == [
        False,
        True,
    ]
    table["asked"]["deterministic"] = True
    assert stored(toy_root, table, deterministic=False).deterministic  # as it was measured


def test_a_baseline_of_more_threads_than_there_are_is_checked_with_those(
    toy_root: Path, table: Table
) -> None:
    assert stored(toy_root, {**table, "threads": 999}).threads == most_threads()


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({"modes": ["slow"]}, [cell("slow")]),
        ({"modes": ["slow, well"], "workloads": ["mlp-2-3-2"]}, [cell("well"), cell("slow")]),
        ({"workloads": [" mlp-digits "]}, [cell("well", workload="mlp-digits")]),
        (
            {"frameworks": ["faulty"], "workloads": ["all"], "device": "cpu", "modes": ["well"]},
            [cell("well"), cell("well", workload="mlp-digits")],
        ),
    ],
)
def test_a_check_may_be_of_a_part(
    toy_root: Path, table: Table, changes: dict[str, Any], left: list[str]
) -> None:
    made = stored(toy_root, table, **changes)
    assert checked(made) == left
    assert sorted(one.id for one in made.cells) == sorted(left)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"frameworks": ["fauty"]},
            r'no framework of the baseline "fauty" \(did you mean "faulty"',
        ),
        ({"frameworks": ["reference"]}, 'no framework of the baseline "reference"; known: faulty'),
        ({"modes": ["wrong"]}, 'no mode of the baseline "wrong"'),
        ({"modes": ["slow"], "workloads": ["mlp-digits"]}, 'no mode of the baseline "slow"'),
        ({"workloads": ["mlp-2-3-2,cnn-digits"]}, 'no workload of the baseline "cnn-digits"'),
        ({"device": "cuda"}, 'no device of the baseline "cuda".*; known: cpu'),
        ({"steps": 1, "epochs": 1}, "give one"),
    ],
)
def test_what_is_not_in_the_baseline_is_said(
    toy_root: Path, table: Table, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        stored(toy_root, table, **changes)


def test_a_workload_of_one_s_own_is_named_by_its_file(toy_root: Path, table: Table) -> None:
    own = toy_root / "mine.toml"
    shutil.copy(toy_root / "workloads" / "catalogue" / "mlp-2-3-2.toml", own)
    table["cells"] = {cell("well", workload="mine"): table["cells"][cell("well")]}
    assert checked(stored(toy_root, table, workloads=[str(own)])) == [cell("well", workload="mine")]
    with pytest.raises(UserError, match=r'no workload "mine".*or a path to a \.toml'):
        stored(toy_root, table)


def test_a_device_and_an_arithmetic_are_the_baseline_s(toy_root: Path, table: Table) -> None:
    kept = table["cells"][cell("well")]
    table["cells"] = {cell("well", place=place): kept for place in ("cpu/float32", "cuda/tf32")}
    made = stored(toy_root, table, device="cuda")
    assert (made.devices, checked(made)) == (["cuda"], [cell("well", place="cuda/tf32")])
    made = stored(toy_root, table, device="cpu")
    assert (made.devices, checked(made)) == (["cpu"], [cell("well")])
    assert len(checked(stored(toy_root, table))) == 2


@pytest.mark.parametrize(
    "gone",
    [
        cell("well", "fawlty"),
        cell("well", "faulty@git:0123456"),
        cell("graph"),
        cell("well", "faulty@one"),
    ],
)
def test_a_cell_that_this_project_no_longer_has_is_missing(
    toy_root: Path, table: Table, gone: str
) -> None:
    table["cells"][gone] = table["cells"][cell("well")]
    made = stored(toy_root, table)
    assert set(checked(made)) == set(table["cells"])
    assert {one.id for one in made.cells} == set(table["cells"]) - {gone}
    found = _held(made, toy_root, table)
    assert (gone, MISSING) in found
    alone = stored(toy_root, table, frameworks=[gone.split("/")[1]], modes=[gone.split("/")[2]])
    assert gone in checked(alone)


def test_a_baseline_of_which_nothing_is_left_is_missing_as_a_whole(
    toy_root: Path, table: Table
) -> None:
    table["cells"] = {cell("well", "fawlty"): table["cells"][cell("well")]}
    made = stored(toy_root, table)
    assert made.cells == []
    assert _held(made, toy_root, table) == [(cell("well", "fawlty"), MISSING)]


def _held(made: Request, root: Path, table: Table) -> list[tuple[str, str]]:
    """The verdicts of a run of that request in which nothing happened."""
    cells = [cell.id for cell in made.cells]
    manifest = {**made.extra_manifest, "cells": cells, "workloads": {}, "machine": {}}
    run = Run.create(root / "results", manifest)
    for name, text in baseline.attachment(table).items():
        (run.folder / name).write_text(text)
    run.append("run-ended", status="ok")
    run.close()
    found = verdict(store.read(run.folder))
    assert found.status == 2
    return [(one.cell, one.verdict) for one in found.findings]


def test_a_spec_that_is_broken_is_no_framework_that_is_gone(toy_root: Path, table: Table) -> None:
    (toy_root / "frameworks" / "faulty" / "environment.toml").write_text("later = 1\n")
    with pytest.raises(FrameworkSpecError, match="later"):
        stored(toy_root, table)


# What a baseline is named by.


def test_a_baseline_is_a_file_a_name_or_a_run(tmp_path: Path, table: Table) -> None:
    results = tmp_path / "results"
    path = baseline.save(results / baseline.FOLDER, table)
    assert request.table_of("nightly", results) == request.table_of(str(path), results) == table
    record = made(results, {HEAD: {}, OTHER: {}}, launches=3)
    for word in (record.folder.name, str(record.folder), "latest"):
        found = request.table_of(word, results)
        assert found["name"] == found["run"] == record.folder.name
        assert list(found["cells"]) == [HEAD, OTHER]


def test_what_is_no_baseline_is_said_with_those_there_are(tmp_path: Path, table: Table) -> None:
    results = tmp_path / "results"
    with pytest.raises(
        store.StoreError, match=r"--baseline x: no such file; stored baselines: none; "
    ):
        request.table_of("x", results)
    baseline.save(results / baseline.FOLDER, copy.deepcopy(table))
    made(results, {HEAD: {}}, launches=2)
    with pytest.raises(store.StoreError, match=r"stored baselines: nightly; no run \"nightli\""):
        request.table_of("nightli", results)
    with pytest.raises(
        store.StoreError, match=r"stored baselines: nightly; .*at least 3 are needed; run it"
    ):
        request.table_of("latest", results)
    (tmp_path / "notes.json").write_text("[]")
    with pytest.raises(store.StoreError, match=r"notes\.json: not a valid baseline"):
        request.table_of(str(tmp_path / "notes.json"), results)
