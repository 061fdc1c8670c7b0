"""A project whose frameworks are toys, in which the pages' commands run as they stand."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.environments.framework_spec import load
from harness.environments.lockfiles import lock
from tests.conftest import copy_with_toys
from tests.docs import pages
from tests.wheels import add_basis, add_framework, publish

RELEASES = {"2.9.1": 0.0, "2.10.0": 0.0, "2.13.0": 0.01, "2.14.0.dev1": 0.01}
"""What the toys offer, and how long each naps in a step: 2.13.0 brought a slowdown."""

BUILT = "2.14.0.dev1"


@dataclass(frozen=True)
class Reader:
    """Somebody who follows a page: a folder to work in, and programs to call."""

    folder: Path
    programs: Path
    log: Path
    environ: dict[str, str]

    def follow(self, page: str) -> list[tuple[list[str], int]]:
        """Write the page's files and run its commands; return those of samestep, with their status."""
        for name, text in pages.files(page).items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return self.run(pages.script(page), LENIENT="1")

    def run(self, script: str, **variables: str) -> list[tuple[list[str], int]]:
        """Run a script; return its commands of samestep, with their status."""
        self.log.unlink(missing_ok=True)
        done = self.shell(script, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [(arguments, status) for arguments, status in map(json.loads, lines)]

    def shell(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a script as a job runner does: it ends with the first command that fails."""
        return subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=self.folder,
            env={**self.environ, **variables},
            capture_output=True,
            text=True,
            timeout=500,
        )


@pytest.fixture(scope="module")
def toy_wheels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of wheels, and nothing else that pip or uv could find."""
    folder = tmp_path_factory.mktemp("wheels")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("PIP_", "UV_")):
                patch.delenv(name)
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        patch.setenv("PIP_FIND_LINKS", str(folder))
        patch.setenv("UV_NO_CONFIG", "1")
        patch.setenv("UV_PYTHON_DOWNLOADS", "never")
        patch.setenv("UV_CACHE_DIR", str(folder.parent / "uv"))
        patch.setenv("SAMESTEP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield folder


@pytest.fixture(scope="module")
def toy_project(toy_wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose `pytorch` and `jax` are toys with the releases above."""
    root = copy_with_toys(tmp_path_factory.mktemp("docs") / "project")
    shutil.rmtree(root / "frameworks" / "faulty")
    add_basis(toy_wheels)
    for release, nap in RELEASES.items():
        publish(toy_wheels, release, nap)
    add_framework(root, "pytorch", "2.13.0", ["eager"])
    add_framework(root, "jax", "2.13.0", ["eager", "jit"])
    reference = root / "frameworks" / "reference" / "environment.toml"
    text = reference.read_text(encoding="utf-8")
    assert text.count('"numpy>=2,<3"') == 1
    reference.write_text(text.replace('"numpy>=2,<3"', '"basis"'), encoding="utf-8")
    lock(load(reference))
    return root


def reader(project: Path, folder: Path, programs: Path) -> Reader:
    """Return one who works in `folder` and calls the samestep of `project`."""
    log = programs / "log"
    short = Path(__file__).with_name("short_samestep.py")
    programs.mkdir(exist_ok=True)
    program = programs / "samestep"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{short}" "{project}" "{log}" "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    environ = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "COLUMNS": "100"}
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        environ.pop(name, None)
    return Reader(folder, programs, log, environ)


@pytest.fixture
def at_home(toy_project: Path, tmp_path: Path) -> Reader:
    """A reader in the checkout."""
    return reader(toy_project, toy_project, tmp_path / "programs")


@pytest.fixture(scope="module")
def installed(toy_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same project as an installed copy: it has no pyproject.toml, so it is no checkout."""
    root = tmp_path_factory.mktemp("installed") / "site-packages"
    return shutil.copytree(
        toy_project, root, ignore=shutil.ignore_patterns("pyproject.toml", "results")
    )


@pytest.fixture
def elsewhere(installed: Path, toy_wheels: Path, tmp_path: Path) -> Reader:
    """A reader in a repository of their own, with a wheel in dist/ and a Python that has it."""
    folder = tmp_path / "repository"
    (folder / "dist").mkdir(parents=True)
    for wheel in toy_wheels.glob("*.whl"):
        shutil.copy(wheel, folder / "dist")
    venv.create(folder / ".built", with_pip=False)
    (packages,) = (folder / ".built").glob("lib/*/site-packages")
    for name in (f"toyframe-{BUILT}", "basis-1.0"):
        with zipfile.ZipFile(toy_wheels / f"{name}-py3-none-any.whl") as wheel_file:
            wheel_file.extractall(packages)
    return reader(installed, folder, tmp_path / "programs")
