"""The workflows for CI that are ready to be copied: docs/contributing/ci/."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import cli
from harness.gate import findings
from harness.gate.findings import Finding, Verdict
from harness.report.gate import outputs
from harness.results import metrics
from tests import scripts
from tests.scripts import program

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = ROOT / "docs" / "contributing" / "ci"
GITHUB = yaml.safe_load((WORKFLOWS / "github.yml").read_text(encoding="utf-8"))
GITLAB = yaml.safe_load((WORKFLOWS / "gitlab.yml").read_text(encoding="utf-8"))
ON = True  # YAML 1.1 reads the key `on` so


def steps() -> Iterator[dict[str, Any]]:
    for job in GITHUB["jobs"].values():
        yield from job["steps"]


def script(name: str) -> str:
    (found,) = (step["run"] for step in steps() if step.get("name", "").startswith(name))
    return str(found)


def run(text: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a step as GitHub does, with programs of our own before all others."""
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    return scripts.run(text, folder, **{**variables, "PATH": path})


def commands() -> list[str]:
    lines = [step["run"] for step in steps() if "run" in step]
    for name in ("samestep-check", "samestep-baseline"):
        lines += GITLAB[name]["script"]
    return [*lines, *GITLAB[".samestep"]["before_script"]]


@pytest.mark.parametrize("text", commands())
def test_every_script_is_a_script_into_which_nothing_is_pasted(text: str) -> None:
    subprocess.run(["bash", "-n"], input=text, text=True, check=True, timeout=60)
    assert "${{" not in text  # what a stranger wrote comes by a variable, never as code


def calls() -> list[list[str]]:
    """The words after `cli.py` in every command of ours, as the shell parts them."""
    lines = "\n".join(commands()).replace("\\\n", " ").splitlines()
    return [shlex.split(line.partition("cli.py ")[2]) for line in lines if "cli.py " in line]


def test_every_command_and_option_is_one_that_there_is() -> None:
    for words in calls():
        command, names = cli.main, []
        while isinstance(command, click.Group):
            names.append(words.pop(0))
            assert names[-1] in command.commands, names
            command = command.commands[names[-1]]
        # It parses as it stands; what the job runner puts in for its variables is a text too.
        words = words[: words.index("||")] if "||" in words else words
        assert command.make_context(" ".join(names), words).params, names
    assert {" ".join(words[:2]) for words in calls()} == {"check --framework", "baseline save"}
    assert len(calls()) == 4  # both of both


def test_what_runs_a_strangers_code_may_write_nothing() -> None:
    assert "pull_request_target" not in GITHUB[ON] and GITHUB["permissions"] == {"contents": "read"}
    writers = {
        name: job["permissions"] for name, job in GITHUB["jobs"].items() if "permissions" in job
    }
    assert writers == {"comment": {"pull-requests": "write"}}
    assert not [step for step in GITHUB["jobs"]["comment"]["steps"] if "checkout" in str(step)]
    assert "head.repo.full_name == github.repository" in GITHUB["jobs"]["comment"]["if"]
    for step in steps():
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_every_action_is_githubs_own_and_pinned() -> None:
    used = [step["uses"] for step in steps() if "uses" in step]
    assert used and all(re.fullmatch(r"actions/[\w-]+@v\d+", one) for one in used)


def test_both_hold_a_request_against_its_base_and_keep_what_was_said() -> None:
    (checkout,) = (step for step in GITHUB["jobs"]["check"]["steps"] if "checkout" in str(step))
    assert (
        checkout["with"]["fetch-depth"] == 0
        and GITLAB[".samestep"]["variables"]["GIT_DEPTH"] == "0"
    )
    (kept,) = (step for step in GITHUB["jobs"]["check"]["steps"] if "upload" in str(step))
    artifacts = GITLAB["samestep-check"]["artifacts"]
    assert kept["if"] == "${{ !cancelled() }}" and artifacts["when"] == "always"
    assert (
        kept["with"]["path"].split()
        == artifacts["paths"]
        == ["results/*/check.*", "results/*/report.html"]
    )
    assert artifacts["reports"] == {"junit": "results/*/check.xml"}
    (line,) = GITLAB["samestep-check"]["script"]
    assert '--against "git:$CI_MERGE_REQUEST_DIFF_BASE_SHA"' in line


@pytest.mark.parametrize(("ended", "becomes"), [(0, 0), (1, 1), (2, 2), (3, 0), (137, 137)])
def test_what_is_not_measurable_alone_is_let_through(
    tmp_path: Path, ended: int, becomes: int
) -> None:
    program(tmp_path / ".venv/bin/python", f'echo "$@" > asked; exit {ended}')
    program(tmp_path / "bin/git", 'echo "$@" > based')
    variables = {"FRAMEWORKS": "a,b", "WORKLOADS": "w", "GITHUB_BASE_REF": "main"}
    assert run(script("Check"), tmp_path, **variables).returncode == becomes
    asked = (tmp_path / "asked").read_text()
    assert asked == "cli.py check --framework a,b --workload w --against git:main\n"
    assert (tmp_path / "based").read_text() == "branch --force main HEAD^1\n"
    allowed = GITLAB["samestep-check"]["allow_failure"]["exit_codes"]
    assert (allowed == ended) == (ended != 0 and becomes == 0)


def page(kind: str) -> str:
    cell = "mlp-digits/pytorch/eager/cpu/float32"
    return outputs.markdown(Verdict([Finding(cell, cell, metrics.THROUGHPUT, kind)], "git:main"))


@pytest.mark.parametrize(
    ("before", "asked"),
    [
        (None, ["--silent repos/o/r/issues/5/comments -F body=@./run/check.md"]),
        (findings.SAME, []),
        (
            findings.REGRESSED,
            ["--silent --method PATCH repos/o/r/issues/comments/77 -F body=@./run/check.md"],
        ),
    ],
)
def test_a_comment_is_made_once_and_edited_where_the_verdict_is_another(
    tmp_path: Path, before: str | None, asked: list[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "check.md").write_text(page(findings.SAME))
    listed = f"77 {page(before).splitlines()[0]}" if before else ""
    (tmp_path / "listed").write_text(listed)
    # A gh that lists what is there, filtered as it was asked to, and keeps what else it is asked for.
    program(
        tmp_path / "bin/gh",
        'shift; case "$*" in --paginate*) cat listed;; *) echo "$@" >> asked;; esac',
    )
    (tmp_path / "asked").touch()
    done = run(script("Comment"), tmp_path, ISSUES="repos/o/r/issues", NUMBER="5")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "asked").read_text().splitlines() == asked


def test_a_check_that_said_nothing_leaves_no_comment(tmp_path: Path) -> None:
    program(tmp_path / "bin/gh", "exit 1")
    assert run(script("Comment"), tmp_path, ISSUES="x", NUMBER="5").returncode == 0


def test_the_comment_is_found_by_the_mark_that_the_markdown_has() -> None:
    assert f'startswith("{outputs.MARK}")' in script("Comment")
