"""Promise: an environment that a run uses is not removed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
from harness.environments import builder, cache
from harness.environments.builder import Environment


@pytest.fixture
def stood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Environment]:
    """Two environments of the reference that stand in a cache of the test's own."""
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path))
    environments = []
    for name in ("reference-cpu-0123", "reference-cpu-4567"):
        folder = cache.environments_folder() / name
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").touch()
        cache.write_metadata(folder, {"framework": "reference", "device": "cpu", "version": "1"})
        environments.append(
            Environment(
                framework="reference",
                device="cpu",
                python=folder / "bin" / "python",
                version="1",
                lock="cpu.txt",
                lock_hash="0",
                origin="built",
                seconds=0.0,
            )
        )
    return environments


def remove() -> tuple[int, str]:
    done = CliRunner().invoke(cli.main, ["env", "remove", "reference"])
    return done.exit_code, done.output


@contextmanager
def rebuilding(folder: Path) -> Iterator[None]:
    with cache.rebuilding(folder, lambda: None, None):
        yield


def test_what_a_run_uses_is_not_removed(stood: list[Environment]) -> None:
    with builder.using(stood[:1]), builder.using(stood[:1]):  # two runs may share it
        status, said = remove()
        assert status == 2
        assert "reference-cpu-0123 is not removed: a run uses it, or it is being built" in said
        assert stood[0].python.exists()
    assert remove()[0] == 0
    assert not any(made.python.exists() for made in stood)


def test_what_is_being_built_is_not_removed(stood: list[Environment]) -> None:
    with rebuilding(stood[0].python.parents[1]):
        assert remove()[0] == 2
    assert stood[0].python.exists()


def test_a_rebuild_waits_for_the_run(stood: list[Environment]) -> None:
    folder, waited = stood[0].python.parents[1], list[str]()

    class Waited(Exception):
        pass

    def waiting() -> None:
        waited.append("said")
        raise Waited

    with builder.using(stood), pytest.raises(Waited), cache.rebuilding(folder, waiting, None):
        pass
    assert waited == ["said"]


def test_what_went_just_before_is_said(stood: list[Environment]) -> None:
    cache.take_down(stood[1].python.parents[1])
    gone = "4567 was removed at this moment: give the command"
    with pytest.raises(cache.InUse, match=gone), builder.using(stood):
        pass


def test_an_interpreter_given_is_not_held(tmp_path: Path, stood: list[Environment]) -> None:
    given = replace(stood[0], origin="given", python=tmp_path / "p" / "q" / "python")
    with builder.using([given]):
        assert not (tmp_path / ".lock-p").exists()


def test_a_cache_without_locks_does_for_a_run(
    stood: list[Environment], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object) -> int:
        raise PermissionError

    monkeypatch.setattr("harness.environments.cache.os.open", refused)
    with builder.using(stood):
        assert stood[0].python.exists()
