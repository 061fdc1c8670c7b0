"""What several rooms' tests share: a project of its own with a toy framework, and small workloads."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import frameworks
from harness.report import formats
from harness.runner import run
from harness.runner.context import Timeouts
from tests.toy_request import BRIEF, brief_request
from tests.wheels import add_toy
from workloads import spec

ROOT = Path(__file__).resolve().parents[1]


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the groups that take longest: the short ones then fill what is left of the time.

    Those that compile are first, then those with slow tests, the most of them first. A group is done
    by one process: a file, or the tests that name a group of their own, or those that read `toy_run`,
    so that it is made once.
    """
    heavy, slow = set[str](), Counter[str]()
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            reads_toy_run = "toy_run" in getattr(item, "fixturenames", ())
            name = "toy_run" if reads_toy_run else item.path.relative_to(ROOT).as_posix()
            item.add_marker(pytest.mark.xdist_group(name))
        names = {mark.name for mark in item.iter_markers()}
        slow[_group(item)] += "slow" in names
        if "compile_heavy" in names:
            heavy.add(_group(item))
    items.sort(key=lambda item: (_group(item) not in heavy, -slow[_group(item)]))


def _group(item: pytest.Item) -> str:
    mark = item.get_closest_marker("xdist_group")
    assert mark
    return str(mark.args[0])


@pytest.fixture(scope="session", autouse=True)
def own_locks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs of these tests see each other, and no other run on this machine sees them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmp")))
        patch.setattr(tempfile, "tempdir", None)
        yield


def copy_with_toys(root: Path) -> Path:
    """Copy the project to `root`, with two frameworks: the reference, and the toy `faulty`.

    In the copy, `--quick` is as short as BRIEF.
    """
    others = [name for name in frameworks.names() if name != "reference"]
    hidden = shutil.ignore_patterns("__pycache__", *others)
    for package in ("workloads", "frameworks", "harness"):
        shutil.copytree(ROOT / package, root / package, ignore=hidden)
    shutil.copytree(ROOT / "tests" / "toys" / "faulty", root / "frameworks" / "faulty")
    for file in ("cli.py", "pyproject.toml"):
        shutil.copy(ROOT / file, root)
    requests = root / "harness" / "runner" / "request.py"
    text, lines = re.subn("^QUICK = .*", f"QUICK = {BRIEF!r}", requests.read_text(), flags=re.M)
    assert lines == 1
    requests.write_text(text)
    return root


@pytest.fixture
def toy_root(tmp_path: Path) -> Path:
    """A copy of the project with the toys, of the test's own."""
    return copy_with_toys(tmp_path / "project")


@pytest.fixture(scope="session")
def toy_interpreters() -> dict[str, Path]:
    """This Python has numpy, which is all that the toys need."""
    return {"faulty": Path(sys.executable), "reference": Path(sys.executable)}


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory: pytest.TempPathFactory, toy_interpreters: dict[str, Path]) -> Path:
    """The folder of a run of every toy in three launches, to read and never to write to."""
    root = copy_with_toys(tmp_path_factory.mktemp("toys") / "project")
    request = brief_request(
        root, replace(BRIEF, launches=3), interpreters=toy_interpreters, quick=True
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMESTEP_CACHE", str(root / "cache"))
        record, status = run.execute(
            request, lambda event: None, root, Timeouts(parity=5, work=5), formats.write
        )
    assert status == 1  # for most of the toys fail
    return record.folder


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that uv finds, and nothing else that it could find."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def versions_root(toy_root: Path, wheels: Path) -> Path:
    """A project whose framework `toy` has releases that a test publishes: see tests/wheels.py."""
    shutil.rmtree(toy_root / "frameworks" / "faulty")
    add_toy(toy_root, wheels)
    return toy_root


@pytest.fixture
def small() -> spec.Workload:
    """The textbook net, trained for one epoch of 50 steps."""
    return spec.load("mlp-2-3-2").with_data(epochs=1)
