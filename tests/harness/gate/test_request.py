"""What a check was asked for, and what is run for it: the toys, in a project of their own."""

from __future__ import annotations

import copy
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.environments.framework_spec import FrameworkSpecError
from harness.gate import baseline, request
from harness.gate.evaluate import Check, undecided, verdict
from harness.gate.findings import MISSING
from harness.machine import host
from harness.machine.processors import most_threads
from harness.results import store
from harness.results.store import Run
from harness.runner.request import Request
from tests.harness.environments.test_variants import commit, git
from tests.harness.gate.made import HEAD, OTHER, Table, made
from workloads.errors import UserError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path / "cache"))


def options(root: Path, **changes: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "frameworks": ["all"],
        "workloads": ["mlp-2-3-2"],
        "modes": [],
        "device": "auto",
        "dtype": "float32",
        "threads": None,
        "seed": None,
        "data": "real",
        "data_dir": None,
        "interpreters": {},
        "out": root / "results",
        "root": root,
        "threshold": 0.03,
        "margin": 0.005,
        "budget": None,
        "epochs": None,
        "steps": None,
        "parity_steps": 3,
    }
    return {**usual, **changes}


def against(root: Path, word: str, **changes: Any) -> Request:
    return request.against(word, **options(root, **changes))


def check_of(made: Request) -> Check:
    """What the run is to check, as its manifest will hold it."""
    return Check(**made.extra_manifest["check"])


def pairs(made: Request) -> list[tuple[str, str]]:
    """Each pair's frameworks and modes."""
    return [tuple("/".join(one.split("/")[1:3]) for one in pair) for pair in check_of(made).pairs]  # type: ignore[misc]


def test_an_empty_word_is_no_other_arm(toy_root: Path) -> None:
    for word in ("", " ", "/well"):
        with pytest.raises(UserError, match=f'--against "{word}": give NAME'):
            against(toy_root, word)


def test_a_baseline_of_the_reference_alone_is_refused(toy_root: Path) -> None:
    wanted = {
        k: v
        for k, v in options(toy_root, frameworks=["reference"], device="cpu").items()
        if k not in ("threshold", "margin")
    }
    with pytest.raises(UserError, match="nothing to measure"):
        request.capture(**wanted)


# Against another arm of the same run.


def test_every_mode_is_held_against_one(toy_root: Path) -> None:
    made = against(toy_root, "faulty/well", modes=["slow,wrong", "well"])
    assert pairs(made) == [("faulty/slow", "faulty/well"), ("faulty/wrong", "faulty/well")]
    assert [cell.mode for cell in made.cells] == [
        "slow",
        "well",
        "wrong",
    ]  # pairs beside each other
    assert (check_of(made).against, check_of(made).threshold, check_of(made).margin) == (
        "faulty/well",
        0.03,
        0.005,
    )
    assert not check_of(made).stored and not made.attachments and made.undecided is undecided


def test_a_release_is_held_against_another_mode_by_mode(versions_root: Path) -> None:
    made = against(versions_root, "toy@0.9")
    assert pairs(made) == [("toy/plain", "toy@0.9/plain")]
    assert set(made.framework_specs) == {"reference", "toy", "toy@0.9"}
    both = against(versions_root, "toy@0.9", frameworks=["toy,toy@1.1"])
    assert pairs(both) == [("toy/plain", "toy@0.9/plain"), ("toy@1.1/plain", "toy@0.9/plain")]
    assert len(both.cells) == 3  # what both are held against runs once
    assert pairs(against(versions_root, "toy@0.9/plain")) == [("toy/plain", "toy@0.9/plain")]


def test_a_commit_s_adapters_are_held_against_by_framework(versions_root: Path) -> None:
    # A clone, as CI has it: the branch has a slash in it.
    commit(versions_root)
    git(versions_root, "branch", "feature/x")
    clone = versions_root.parent / "clone"
    git(versions_root, "clone", "--quiet", "--branch", "feature/x", str(versions_root), str(clone))
    short = git(clone, "rev-parse", "HEAD")[:7]
    expected = [("toy/plain", f"toy@git:{short}/plain")]
    for word in ("git:HEAD", "git:feature/x", "toy@git:origin/feature/x", "toy@git:HEAD"):
        assert pairs(against(clone, word)) == expected
    made = against(clone, "git:HEAD", frameworks=["toy", "toy@0.9"])
    assert pairs(made) == [*expected, ("toy@0.9/plain", expected[0][1])]


def test_a_commit_that_does_not_know_the_workload_is_named(versions_root: Path) -> None:
    np.savez(versions_root / "my.npz", inputs=np.zeros((8, 1, 8, 8)), labels=np.arange(8) % 2)
    text = (versions_root / "workloads" / "catalogue" / "mlp-digits.toml").read_text()
    mine = 'file = "my.npz"\nlayout = "nchw"\ntest = 0.5\nbatch = 2'
    keys = {"mine": mine, "flipped": 'dataset = "digits"\naugment = [{ kind = "flip" }]\nbatch = 2'}
    for name, lines in keys.items():
        changed = re.sub(r'dataset = "digits"\nbatch = \d+', lines, text)
        units = "units = 2 " if name == "mine" else "units = 10 "
        (versions_root / f"{name}.toml").write_text(changed.replace("units = 10 ", units))
    files = [str(versions_root / f"{name}.toml") for name in keys]
    commit(versions_root)
    for path in files:
        assert pairs(against(versions_root, "git:HEAD", workloads=[path]))
    # A commit from before augmentations and data of one's own.
    data = versions_root / "workloads" / "data.py"
    data.write_text(re.sub(r"    (augment|user_data): .*\n", "", data.read_text()))
    commit(versions_root)
    for name, path in zip(keys, files, strict=True):
        says = rf"that commit does not know this workload yet: {name}: \[data\]: unknown key"
        with pytest.raises(UserError, match=says) as told:
            against(versions_root, "git:HEAD", workloads=[path])
        assert "\n" not in str(told.value)


def test_the_same_framework_is_what_a_cell_is_held_against(toy_root: Path) -> None:
    # Two frameworks with the same modes: the release of one says nothing of the other.
    twin = toy_root / "frameworks" / "twin"
    shutil.copytree(toy_root / "frameworks" / "faulty", twin)
    made = against(toy_root, "twin@1.0", modes=["well", "slow"])
    assert pairs(made) == [("twin/well", "twin@1.0/well"), ("twin/slow", "twin@1.0/slow")]
    with pytest.raises(UserError, match="no cell is held against itself"):
        against(toy_root, "twin", modes=["well"])
    # Unless one is asked for and the other not.
    crossed = against(toy_root, "twin/slow", modes=["well"], frameworks=["faulty"])
    assert pairs(crossed) == [("faulty/well", "twin/slow")]


@pytest.mark.parametrize(
    ("word", "changes", "says"),
    [
        (
            "faulty",
            {"modes": ["well"]},
            r"--against faulty: no cell is held against itself "
            r"\(faulty/well\); name another version, mode or commit",
        ),
        ("faulty/well", {"modes": ["well"]}, "no cell is held against itself"),
        ("faulty/wel", {}, r'no mode "wel" \(did you mean "well"\?\)'),
        ("faulty/", {"modes": ["well"]}, "no cell is held against itself"),
        ("fawlty", {}, r'no framework "fawlty" \(did you mean "faulty"\?\)'),
        ("fawlty@1.0", {}, 'no framework "fawlty"'),
        ("faulty@one", {}, '"one" is no version; give a release'),
        ("reference", {}, "no cell of reference/numpy computes what one of faulty/"),
        ("faulty/well", {"frameworks": ["reference"]}, "name a mode too, as NAME/MODE"),
        ("git:HEAD", {}, "faulty@git:HEAD: git has no checkout there"),
        ("git:", {}, "name a commit, a tag or a branch"),
        ("faulty/well", {"epochs": 1, "steps": 1}, "--epochs and --steps are mutually exclusive"),
    ],
)
def test_what_cannot_be_meant_says_what_to_do(
    toy_root: Path, word: str, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises((UserError, FrameworkSpecError), match=says):
        against(toy_root, word, **changes)


def test_a_processor_is_spared_and_the_time_is_a_pair_s(toy_root: Path) -> None:
    made = against(toy_root, "faulty/well", modes=["slow", "wrong"])
    assert made.threads == max(1, most_threads() - 1)
    assert made.measuring.budget == 2 * request.SECONDS
    assert made.measuring.checking and made.measuring.open_ended
    made = against(toy_root, "faulty/well", modes=["slow"], threads=most_threads(), budget=7.0)
    assert (made.threads, made.measuring.budget) == (most_threads(), 7.0)


# To be kept.


def test_a_baseline_is_measured_in_launches_that_all_are_told(toy_root: Path) -> None:
    asked = options(toy_root, modes=["well", "slow"])
    made = request.capture(**{k: v for k, v in asked.items() if k not in _OF_CHECKS})
    assert [cell.mode for cell in made.cells] == ["well", "slow"]  # not the reference's
    assert made.measuring.launches >= baseline.LEAST_LAUNCHES
    assert made.measuring.checking and not made.measuring.open_ended
    assert made.threads == max(1, most_threads() - 1)
    assert not made.extra_manifest


_OF_CHECKS = ("threshold", "margin", "budget")


# Against what is kept.


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
