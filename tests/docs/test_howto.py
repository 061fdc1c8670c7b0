"""The commands of the tutorial and of every how-to run as they stand on the page, with toys."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import click
import pytest
import yaml

import cli
from tests.docs import pages
from tests.docs.conftest import Reader

NIGHTLY = pytest.mark.nightly
AT_HOME = [
    pytest.param("tutorial.md", marks=NIGHTLY),
    "howto/compare-my-net.md",
    "howto/use-my-data.md",
    "howto/write-a-workload.md",
    pytest.param("howto/sweep.md", marks=NIGHTLY),
    "howto/time-to-accuracy.md",
    "howto/profile-a-cell.md",
    pytest.param("howto/add-a-framework.md", marks=NIGHTLY),
    "howto/run-on-a-gpu.md",
    pytest.param("howto/run-on-a-cluster.md", marks=NIGHTLY),
]
ELSEWHERE = [
    pytest.param("howto/gate-an-upgrade.md", marks=NIGHTLY),
    "howto/gate-a-wheel.md",
    pytest.param("howto/find-the-release.md", marks=NIGHTLY),
]
PAGES = ["tutorial.md", *sorted(f"howto/{path.name}" for path in pages.DOCS.glob("howto/*.md"))]


def commands(page: str) -> list[list[str]]:
    """Return the arguments of every `samestep` of a page."""
    lines = pages.script(page).replace("\\\n", " ").splitlines()
    return [
        words[words.index("samestep") + 1 :]
        for words in map(shlex.split, lines)
        if "samestep" in words
    ]


def test_every_page_is_followed() -> None:
    followed = [page if isinstance(page, str) else page.values[0] for page in AT_HOME + ELSEWHERE]
    assert sorted(map(str, followed)) == sorted(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_commands_and_options_that_exist(page: str, tmp_path: Path) -> None:
    assert commands(page)
    for arguments in commands(page):
        command, names, words = cli.main, [], list(arguments)
        while isinstance(command, click.Group):
            names.append(words.pop(0))
            command = command.commands[names[-1]]
        words = [word.replace(".built/bin/python", "/bin/sh") for word in words]
        assert command.make_context(" ".join(names), words), arguments


@pytest.mark.slow
@pytest.mark.parametrize("page", AT_HOME)
def test_a_page_runs_as_it_stands(page: str, at_home: Reader) -> None:
    assert [arguments for arguments, _ in at_home.follow(page)] == commands(page)


@pytest.mark.slow
@pytest.mark.parametrize("page", ELSEWHERE)
def test_a_page_runs_in_another_repository(page: str, elsewhere: Reader) -> None:
    assert [arguments for arguments, _ in elsewhere.follow(page)] == commands(page)
    assert [*elsewhere.folder.glob("results/*Z-*")]  # and not in the installed copy


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=reader", "-c", "user.email=reader@localhost"]
    subprocess.run(["git", "-C", folder, *who, *arguments], check=True, capture_output=True)


def upgrade(folder: Path, old: str, new: str) -> None:
    """Make a repository whose HEAD merges another version of torch into its main branch."""
    git(folder, "init", "--quiet", "--initial-branch=main")
    for branch, version in (("main", old), ("upgrade", new)):
        git(folder, "checkout", "--quiet", "-B", branch)
        (folder / "requirements.txt").write_text(f"numpy==2.0.0\n{version}\n")
        git(folder, "add", "requirements.txt")
        git(folder, "commit", "--quiet", "--allow-empty", "--message", branch)
    git(folder, "checkout", "--quiet", "main")
    git(folder, "merge", "--quiet", "--no-ff", "--message", "merge", "upgrade")


GITHUB = yaml.safe_load((pages.DOCS / "howto/ci/github.yml").read_text(encoding="utf-8"))
GITLAB = yaml.safe_load((pages.DOCS / "howto/ci/gitlab.yml").read_text(encoding="utf-8"))
CHECKS = {
    "github": next(
        step["run"]
        for step in GITHUB["jobs"]["upgrade"]["steps"]
        if step.get("name") == "Check the upgrade"
    ),
    "gitlab": GITLAB["samestep-upgrade"]["script"][0],
}
VARIABLES = {name: str(value) for name, value in GITHUB["env"].items()} | {
    "CI_MERGE_REQUEST_DIFF_BASE_SHA": "HEAD^1"
}


@NIGHTLY
def test_the_workflow_finds_a_release_that_is_slower(elsewhere: Reader) -> None:
    upgrade(elsewhere.folder, "torch==2.9.1", "torch==2.13.0 ; python_version > '3'")
    (elsewhere.folder / ".venv" / "bin").mkdir(parents=True)
    (elsewhere.folder / ".venv" / "bin" / "samestep").symlink_to(elsewhere.programs / "samestep")
    done = elsewhere.shell(CHECKS["github"], **VARIABLES, BUDGET="60s")
    assert done.returncode == 1, done.stdout + done.stderr
    (page,) = elsewhere.folder.glob("results/*Z-*/check.json")
    findings = json.loads(page.read_text(encoding="utf-8"))["findings"]
    verdicts = {finding["metric"]: finding["verdict"] for finding in findings}
    slower = {verdicts["throughput"], verdicts["first-step"]}  # the first that is certain ends it
    assert "regressed" in slower and verdicts["parity"] == "same"
