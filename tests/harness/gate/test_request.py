"""What a check was asked for, and what is run for it: the toys, in a project of their own."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.environments.framework_spec import FrameworkSpecError
from harness.gate import baseline, request
from harness.gate.evaluate import undecided
from harness.machine.processors import most_threads
from harness.runner.request import Request
from tests.harness.environments.test_variants import commit, git
from tests.harness.gate.checks import check_of, options
from workloads.errors import UserError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path / "cache"))


def against(root: Path, word: str, **changes: Any) -> Request:
    return request.against(word, **options(root, **changes))


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
