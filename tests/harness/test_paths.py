"""Where things lie, for users with a home folder and without one."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
from harness import doctor, paths
from workloads.errors import UserError


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user without HOME and without an entry in passwd, in an empty folder, which is returned."""

    def unknown(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for name in ("HOME", "SAMESTEP_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize("variable", [None, "", "~", "~/cache", "~no-such-user/cache"])
def test_without_a_home_the_variable_is_named_and_no_folder_is_made(
    nobody: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    if variable is not None:
        monkeypatch.setenv("SAMESTEP_CACHE", variable)
    with pytest.raises(UserError, match="the cache has no place"):
        paths.cache_folder()
    for command in (["env", "list"], ["data", "list"], ["run", "--workload", "mlp-2-3-2"]):
        status, output = call(*command, *(["--out", "runs"] if command[0] == "run" else []))
        assert status == 2 and "set SAMESTEP_CACHE" in output
    (finding,) = [item for item in doctor.examine() if item.level == "error"]
    assert "SAMESTEP_CACHE" in finding.mend
    assert {path.name for path in nobody.iterdir()} <= {"runs"}


@pytest.mark.parametrize("command", [["list", "frameworks"], ["list", "workloads"], ["--help"]])
def test_what_needs_no_cache_works_without_a_home(nobody: Path, command: list[str]) -> None:
    assert call(*command)[0] == 0


@pytest.mark.parametrize("home", ["/", "/usr"])
def test_a_home_that_is_a_real_folder_holds_the_cache(
    monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    for name in ("SAMESTEP_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", home)
    assert paths.cache_folder() == Path(home, ".cache", "samestep")


def test_a_cache_that_cannot_be_written_is_named_with_the_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.touch()  # no folder can be made in a file, by root neither
    monkeypatch.delenv("SAMESTEP_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("COLUMNS", "300")
    run = ["run", "--framework", "reference", "--quick", "--device", "cpu", "--workload"]
    for workload in ("mlp-2-3-2", "mlp-digits"):
        status, output = call(*run, workload, "--out", str(tmp_path / "runs"))
        assert status == 1 and "SAMESTEP_CACHE" in output


def test_a_tilde_that_the_shell_left_is_the_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home" / "runs").mkdir(parents=True)
    status, output = call("report", "latest", "--out=~/runs")
    assert status == 2 and str(tmp_path / "home" / "runs") in output
    assert call("run", "--out=~no-such-user/runs")[0] == 2
    assert call("run", "--data-dir=~/nothing")[0] == 2
    assert not list(tmp_path.glob("~*"))
