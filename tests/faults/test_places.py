"""Promise: blanks, letters beyond ASCII and mounts without execution are in nobody's way."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from harness.environments import builder
from harness.environments.framework_spec import discover
from harness.report import formats
from harness.results import store
from harness.runner import run, scratch
from tests.conftest import copy_with_toys
from tests.faults.conftest import Mount
from tests.toy_request import brief_request


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path / "ein Lager für später"))


def test_a_blank_and_an_umlaut_in_every_path(tmp_path: Path) -> None:
    root = copy_with_toys(tmp_path / "mäin copy")
    python = tmp_path / "mäin tools" / "pythön 3"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    request = brief_request(
        root,
        modes=["well"],
        epochs=1,
        parity_steps=2,
        out=tmp_path / "mäin results",
        interpreters=dict.fromkeys(("faulty", "reference"), python),
    )
    record, status = run.execute(request, lambda event: None, root, finish=formats.write)
    assert status == 0 and record.folder.parent == tmp_path / "mäin results"
    assert {event["python"] for event in record.every("framework-ready")} == {str(python)}
    assert (record.folder / "report.html").is_file()
    assert store.resolve(record.folder.parent, "latest") == record.folder


def test_an_environment_is_built_in_a_cache_with_a_blank_and_an_umlaut(
    versions_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path / "ein Lager für später"))
    environment = builder.prepare(discover(versions_root)["toy"], "cpu")
    assert environment.python.is_relative_to(tmp_path / "ein Lager für später")
    assert os.access(environment.python, os.X_OK)


def test_results_on_a_mount_without_execution(
    toy_root: Path, toy_interpreters: dict[str, Path], mount: Mount
) -> None:
    disk = mount("30m", "noexec")
    assert not scratch.compiles_in(disk)
    request = brief_request(
        toy_root, modes=["well"], epochs=1, parity_steps=2, out=disk, interpreters=toy_interpreters
    )
    placed: list[Path] = []

    def listen(event: dict[str, object]) -> None:
        if event["event"] == "first-step":
            placed.extend(Path(os.environ["TMPDIR"]).glob("samestep-*/mlp-2-3-2"))

    record, status = run.execute(request, listen, toy_root, finish=formats.write)
    assert status == 0 and record.folder.parent == disk
    assert len(placed) == 2 and not placed[0].exists()  # of both cells; gone with the run
    assert not (record.folder / "scratch").exists()
