"""The workflows for other repositories: their scripts, as far as they run without those services."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import scripts as workflow_scripts
from tests.docs.test_howto import CHECKS, GITHUB, GITLAB, VARIABLES, upgrade
from tests.scripts import program

ROOT = Path(__file__).resolve().parents[2]


def run(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return workflow_scripts.run(script, folder, timeout=500, **{**VARIABLES, **variables})


def scripts() -> list[str]:
    """Return every script of both workflows."""
    steps = [step for job in GITHUB["jobs"].values() for step in job["steps"]]
    gitlab = [
        line for name in ("samestep-upgrade", "samestep-wheel") for line in GITLAB[name]["script"]
    ]
    return (
        [step["run"] for step in steps if "run" in step]
        + GITLAB[".samestep"]["before_script"]
        + gitlab
    )


@pytest.mark.parametrize("script", scripts())
def test_a_script_parses_and_nothing_is_pasted_into_it(script: str) -> None:
    subprocess.run(["bash", "-n"], input=script, text=True, check=True, timeout=60)
    assert "${{" not in script


def test_jobs_may_read_only_and_use_githubs_own_actions() -> None:
    assert GITHUB["permissions"] == {"contents": "read"}
    for job in GITHUB["jobs"].values():
        assert "permissions" not in job
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


def test_both_services_have_the_same_settings() -> None:
    settings = GITLAB[".samestep"]["variables"]
    assert {name: settings[name] for name in GITHUB["env"]} == GITHUB["env"]


@pytest.mark.parametrize("service", CHECKS)
@pytest.mark.parametrize(
    ("old", "new", "status", "becomes"),
    [
        ("torch==2.9.1", "torch==2.13.0", 0, 0),
        ("torch==2.9.1  # why", "torch==2.13.0 ; python_version > '3'", 1, 1),
        ("torch==2.9.1", "torch==2.13.0", 2, 2),
        ("torch==2.9.1", "torch==2.13.0", 3, 0),
    ],
)
def test_both_releases_are_read_from_the_requirements(
    service: str, old: str, new: str, status: int, becomes: int, tmp_path: Path
) -> None:
    upgrade(tmp_path, old, new)
    program(tmp_path / ".venv/bin/samestep", f'echo "$@" > arguments; exit {status}')
    done = run(CHECKS[service], tmp_path)
    assert (tmp_path / "arguments").read_text().split() == [
        *("check", "--framework", "pytorch@2.13.0", "--against", "pytorch@2.9.1"),
        *("--workload", "mlp-digits"),
    ]
    if service == "gitlab" and status == GITLAB[".samestep"]["allow_failure"]["exit_codes"]:
        becomes = status
    assert done.returncode == becomes


@pytest.mark.parametrize("service", CHECKS)
@pytest.mark.parametrize(
    ("old", "new", "status", "message"),
    [
        ("torch==2.9.1", "torch==2.9.1", 0, "torch is 2.9.1 in both"),
        ("torch==2.9.1", "torch>=2.9", 2, "requirements.txt has no torch==VERSION"),
        ("torchvision==1", "torch==2.9.1", 2, "requirements.txt has no torch==VERSION"),
    ],
)
def test_what_cannot_be_compared_is_said(
    service: str, old: str, new: str, status: int, message: str, tmp_path: Path
) -> None:
    upgrade(tmp_path, old, new)
    done = run(CHECKS[service], tmp_path)  # there is no samestep to call
    assert done.returncode == status and message in done.stdout


@pytest.mark.nightly
def test_samestep_installs_from_git_in_another_repository(tmp_path: Path) -> None:
    (install,) = GITLAB[".samestep"]["before_script"]
    source = tmp_path / "samestep.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", ROOT, source], check=True)
    commit = subprocess.check_output(["git", "-C", source, "rev-parse", "HEAD"], text=True).strip()
    done = run(install, tmp_path, SAMESTEP=f"git+file://{source}@{commit}")
    assert done.returncode == 0, done.stdout + done.stderr
    arguments = ["run", "--framework=reference", "--workload=mlp-2-3-2", "--quick"]
    arguments.append(f"--interpreter=reference={sys.executable}")
    environ = {**os.environ, "SAMESTEP_CACHE": str(tmp_path / "cache")}
    subprocess.run(
        [tmp_path / ".venv/bin/samestep", *arguments], cwd=tmp_path, env=environ, check=True
    )
    assert [*tmp_path.glob("results/*Z-*/report.html")]
