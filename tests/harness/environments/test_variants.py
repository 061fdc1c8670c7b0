"""Releases of a framework, and its adapter at other commits, run side by side as frameworks do.

Real uv, real pip, real git and real workers; the releases are tiny wheels in a folder.
"""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from harness.environments import builder, releases, variants
from harness.environments.framework_spec import FrameworkSpec, FrameworkSpecError, Release, load
from harness.paths import cache_folder
from harness.report.html import renderer
from harness.results import store
from harness.runner import profile, run
from harness.runner.request import Request
from tests.toy_request import brief_request
from tests.wheels import publish
from workloads.reading import SpecError


def request(root: Path, *frameworks: str, **changes: Any) -> Request:
    return brief_request(root, **({"frameworks": frameworks, "quick": True} | changes))


def execute(root: Path, *frameworks: str, **changes: Any) -> tuple[store.Record, int]:
    return run.execute(request(root, *frameworks, **changes), lambda event: None, root)


def git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=toy", "-c", "user.email=toy@localhost"]
    command = ["git", "-C", str(root), *who, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def commit(root: Path) -> str:
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "as it is")
    return git(root, "rev-parse", "HEAD")


def spec(**changes: Any) -> FrameworkSpec:
    """One whose framework has a companion that follows it, and builds of two kinds."""
    made = FrameworkSpec(
        name="toy",
        folder=Path("frameworks/toy"),
        title="Toy",
        python="3.11",
        packages=("toyframe", "Toy_Frame.cpu"),
        module="toyframe",
        modes=("plain",),
        devices=("cpu", "cuda"),
        requirements={
            "cpu": ("toyframe==2.0+cpu", "toylib==2.0", "numpy>=2,<3"),
            "cuda": ("toyframe[cuda]===2.0 ; sys_platform == 'linux'", "other==3.1"),
        },
        locks={"cpu": ("cpu.txt", "cuda.txt"), "cuda": ("cuda.txt",)},
        variables={},
        drivers={"cuda.txt": "580"},
    )
    return replace(made, **changes)


def test_another_release_pins_the_package_and_what_went_along_with_it() -> None:
    arm = variants.at_release(spec(), Version("1.4"))
    assert (arm.name, arm.label, arm.title, arm.release) == ("toy", "toy@1.4", "Toy 1.4", "1.4")
    assert arm.requirements == {
        "toy@1.4-cpu": ("toyframe==1.4+cpu", "toylib<=1.4", "numpy<3,>=2"),
        "toy@1.4-cuda": ('toyframe[cuda]===1.4 ; sys_platform == "linux"', "other==3.1"),
    }
    places = [cache_folder() / "locks" / f"toy@1.4-{name}.txt" for name in ("cpu", "cuda")]
    assert list(arm.lock_paths("cpu")) == places
    assert arm.drivers == {}


def test_the_release_that_is_locked_here_keeps_its_lock() -> None:
    arm = variants.at_release(spec(), Version("2.0"))
    assert (arm.label, arm.lock_folder) == ("toy@2.0", None)
    assert arm.lock_paths("cpu") == spec().lock_paths("cpu")


def test_old_releases_have_requirements_of_their_own() -> None:
    old = spec(
        releases=(
            Release("1.8", ("numpy<2",), (), "3.12"),
            Release("1.3", ("numpy<1.24", "toyframe[old]"), ("cpu",)),
        )
    )
    lines = {v: variants.at_release(old, Version(v)).requirements for v in ("1.8", "1.7", "1.2")}
    assert lines["1.8"]["toy@1.8-cpu"][2] == "numpy<3,>=2"
    assert lines["1.7"]["toy@1.7-cpu"][2] == "numpy<2"
    assert lines["1.2"]["toy@1.2-cpu"] == ("toyframe[old]==1.2", "toylib<=1.2", "numpy<1.24")
    assert lines["1.2"]["toy@1.2-cuda"][2] == "numpy<2"
    assert [variants.at_release(old, Version(v)).python for v in ("1.8", "1.2")] == ["3.11", "3.12"]


def test_the_table_of_old_releases_is_read_and_checked(versions_root: Path) -> None:
    path = versions_root / "frameworks" / "toy" / "environment.toml"
    text = path.read_text()
    path.write_text(text + '[[releases]]\nbelow = "0.9"\nrequirements = ["numpy<2"]\n')
    assert load(path).releases == (Release("0.9", ("numpy<2",), ()),)
    for line, complaint in (
        ('requirements = ["a"]', ".below. is missing"),
        ('below = "0.9"', "requirements is missing"),
        ('below = "0.9"\nrequirements = ["a"]\nlocks = ["gpu"]', "not known"),
    ):
        path.write_text(f"{text}[[releases]]\n{line}\n")
        with pytest.raises(FrameworkSpecError, match=complaint):
            load(path)


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        (
            "toi@1.1",
            r'"toi@1.1": no framework "toi" \(did you mean "toy"\?\); known: reference, toy',
        ),
        ("all@1.1", 'no framework "all"'),
        ("@1.1", 'no framework ""'),
        ("toy@1.x", '"1.x" is no version; give a release, as toy@1.2.3'),
        ("toy@", '"" is no version'),
        ("toy@1.1+cpu", "give the release alone, toy@1.1"),
        ("toy@git:", "name a commit, a tag or a branch"),
        ("toy@git:main", "git has no checkout there"),
    ],
)
def test_a_word_that_means_nothing_is_told_what_is_wrong(
    versions_root: Path, word: str, complaint: str
) -> None:
    with pytest.raises(SpecError, match=complaint):
        variants.choose([word], versions_root)


def test_words_are_chosen_with_commas_all_and_once(versions_root: Path) -> None:
    assert list(variants.choose(["toy@1.1,toy", "toy@1.1"], versions_root)) == ["toy", "toy@1.1"]
    assert list(variants.choose(["toy@1.1", "all"], versions_root)) == [
        "reference",
        "toy",
        "toy@1.1",
    ]


def test_two_releases_run_side_by_side(versions_root: Path, wheels: Path) -> None:
    publish(wheels, "1.1")
    record, status = execute(versions_root, "toy@1.0", "toy@1.1")
    assert status == 0
    ids = [f"mlp-2-3-2/toy@{version}/plain/cpu/float32" for version in ("1.0", "1.1")]
    assert store.summary(record)["cell"].tolist() == ids
    assert store.summary(record)["parity"].tolist() == ["equivalent", "equivalent"]
    ready = {event["framework"]: event for event in record.every("framework-ready")}
    assert {name: event["version"] for name, event in ready.items()} == {
        "toy@1.0": "1.0",
        "toy@1.1": "1.1",
    }
    assert [event["title"] for event in ready.values()] == ["Toy 1.0", "Toy 1.1"]
    told = {event["cell"]: event["versions"] for event in record.every("opened")}
    assert [told[name] for name in ids] == [{"toyframe": "1.0"}, {"toyframe": "1.1"}]
    lock = cache_folder() / "locks" / "toy@1.1-cpu.txt"
    assert ready["toy@1.0"]["lock"] == "cpu.txt"
    assert ready["toy@1.1"]["lock_sha256"] == hashlib.sha256(lock.read_bytes()).hexdigest()
    assert "toyframe===1.1" in lock.read_text()
    page = renderer.render([record])
    assert "toy@1.0" in page and "toy@1.1" in page


def test_a_lock_is_made_once_and_anew_where_the_requirements_changed(
    versions_root: Path, wheels: Path
) -> None:
    publish(wheels, "1.1")
    (arm,) = variants.choose(["toy@1.1"], versions_root).values()
    told: list[str] = []
    for _ in range(2):
        made = builder.prepare(arm, "cpu", report=lambda name, text: told.append(text))
        assert made.version == "1.1"
    assert told.count("locking toy@1.1-cpu.txt") == 1
    (name, lines), *_ = arm.requirements.items()
    other = replace(arm, requirements={name: (*lines, "basis<2")})
    builder.prepare(other, "cpu", report=lambda name, text: told.append(text))
    assert told.count("locking toy@1.1-cpu.txt") == 2


def test_a_release_that_is_not_offered_is_told_with_its_neighbours(
    versions_root: Path, wheels: Path
) -> None:
    for version in ("0.9", "1.2", "1.3", "1.4", "1.5", "2.0rc1"):
        publish(wheels, version)
    record, status = execute(versions_root, "toy", "toy@1.1")
    assert status == 1
    assert store.summary(record)["status"].tolist() == ["ok", "unavailable"]
    (event,) = record.every("framework-unavailable")
    assert event["framework"] == "toy@1.1"
    assert event["reason"].endswith(
        "; nearest are 0.9, 1.0, 1.2, 1.3; newest are 1.5, 1.4, 1.3, 1.2, 1.0"
    )
    assert str(wheels) not in event["reason"]


def test_releases_are_listed_oldest_first_without_pre_releases_and_builds(
    versions_root: Path, wheels: Path
) -> None:
    for version in ("1.10", "1.9", "2.0rc1", "1.9+cpu", "1.9.dev1"):
        publish(wheels, version)
    toy = load(versions_root / "frameworks" / "toy" / "environment.toml")
    assert [str(one) for one in releases.versions(toy)] == ["1.0", "1.9", "1.10"]


def test_an_interpreter_of_ones_own_has_to_be_of_that_release(
    versions_root: Path, wheels: Path
) -> None:
    publish(wheels, "1.1")
    known = variants.choose(["toy", "toy@1.1"], versions_root)
    python = builder.prepare(known["toy@1.1"], "cpu").python
    record, status = execute(
        versions_root,
        "toy@1.1",
        "toy@1.0",
        interpreters={
            "toy@1.1": python,
            "toy@1.0": python,
        },
    )
    assert status == 1
    (ready,) = record.every("framework-ready")
    assert (ready["framework"], ready["origin"]) == ("toy@1.1", "given")
    (refused,) = record.every("framework-unavailable")
    assert refused["framework"] == "toy@1.0"
    assert refused["reason"].endswith("has 1.1; give one with 1.0")


def test_the_adapter_of_another_commit_runs_beside_the_one_here(versions_root: Path) -> None:
    before = commit(versions_root)
    adapter = versions_root / "frameworks" / "toy" / "adapter.py"
    adapter.write_text(adapter.read_text().replace('"toyframe": ', '"changed": '))
    label = f"toy@git:{before[:7]}"
    record, status = execute(versions_root, "toy", "toy@git:HEAD")
    assert status == 0
    told = {event["cell"].split("/")[1]: event["versions"] for event in record.every("opened")}
    assert told == {"toy": {"changed": "1.0"}, label: {"toyframe": "1.0"}}
    commits = {event["framework"]: event["commit"] for event in record.every("framework-ready")}
    assert commits == {"toy": None, label: before}
    assert not list((cache_folder() / "refs").glob(".*"))


def test_a_tree_that_cannot_be_compared_says_why(versions_root: Path) -> None:
    protocol = versions_root / "harness" / "protocol.py"
    speaks = protocol.read_text()
    protocol.write_text(speaks.replace("\nVERSION = ", "\nVERSION = 9"))
    commit(versions_root)
    with pytest.raises(SpecError, match=r"toy@git:HEAD: the tree at git:\w{7} speaks protocol 9"):
        variants.choose(["toy@git:HEAD"], versions_root)
    protocol.write_text(speaks)
    spec_file = versions_root / "frameworks" / "toy" / "environment.toml"
    here = spec_file.read_text()
    spec_file.write_text("later = 1\n")
    commit(versions_root)
    spec_file.write_text(here)
    with pytest.raises(FrameworkSpecError, match=r"cannot be compared: .*unknown key .later."):
        variants.choose(["toy@git:HEAD"], versions_root)
    for word, complaint in (("toy@git:nope", 'no commit "nope"'), ("toy@git:--all", '"--all"')):
        with pytest.raises(SpecError, match=complaint):
            variants.choose([word], versions_root)


def test_a_cell_of_another_release_can_be_named_to_be_profiled(
    versions_root: Path, wheels: Path
) -> None:
    publish(wheels, "1.1")
    with pytest.raises(builder.Unavailable, match=r"toy@1.1/plain.*has no profiler"):
        profile.profile(
            "mlp-2-3-2/toy@1.1/plain", versions_root / "results", print, root=versions_root
        )
