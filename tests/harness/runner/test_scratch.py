"""Workers compile where code can be compiled, wherever the results are kept."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

import pytest

from harness.runner import process, scratch


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(scratch.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    for name in ("cache", "temporary"):
        (tmp_path / name).mkdir()


def noexec(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    monkeypatch.setattr(scratch, "_is_noexec", lambda path: path in folders)


def test_it_is_in_the_run_s_folder_and_goes_with_the_task(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with scratch.scratch(run, "net") as folder:
        assert folder == run / "scratch" / "net" and folder.is_dir()
    assert list(run.iterdir()) == []


@pytest.mark.parametrize("name", ["a blank", "schön", "it's", "a;b", "$HOME", "層"])
def test_a_path_that_compilers_tear_is_left_for_temporary_files(tmp_path: Path, name: str) -> None:
    run = tmp_path / name / "run"
    run.mkdir(parents=True)
    with scratch.scratch(run, name) as folder:
        assert folder.is_relative_to(tmp_path / "temporary") and folder.is_dir()
        assert scratch.compiles_in(folder)
    assert list((tmp_path / "temporary").iterdir()) == list(run.iterdir()) == []


def test_code_is_not_kept_where_none_may_be_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, temporary, cache = (tmp_path / name for name in ("run", "temporary", "cache"))
    run.mkdir()
    for forbidden, place in (
        ([run], temporary),
        ([run, temporary], cache),
        ([run, temporary, cache], run),
    ):
        noexec(monkeypatch, *forbidden)
        with scratch.scratch(run, "net") as folder:
            assert folder.is_relative_to(place)
        assert list(place.iterdir()) == []


def test_the_kernel_s_flag_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    flags = list(os.statvfs(tmp_path))
    assert scratch.compiles_in(tmp_path) == (not flags[8] & os.ST_NOEXEC)
    flags[8] |= os.ST_NOEXEC
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(flags))
    assert not scratch.compiles_in(tmp_path)


def test_a_user_without_a_name_gets_one_for_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", unknown)
    assert process.worker_environment({})["LOGNAME"] == f"uid-{os.getuid()}"
    assert process.worker_environment({"LOGNAME": "x"})["LOGNAME"] == "x"
