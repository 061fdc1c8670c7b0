"""An installed copy, outside any checkout: what it needs is in the wheel, what it makes is the user's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from harness.environments.framework_spec import discover
from workloads import spec

ROOT = Path(__file__).resolve().parents[1]

SOURCES = (
    "cli.py",
    "samestep.py",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "frameworks",
    "harness",
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`samestep` as a wheel installed it; it sees this Python's packages, for there may be no network."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    source.mkdir()
    for name in (*SOURCES, "workloads"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = ["wheel", "-q", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source]
    subprocess.run([*pip, *build], check=True, capture_output=True)
    shutil.rmtree(source)
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    wheel = next(folder.glob("*.whl"))
    subprocess.run(
        [*pip, "--python", python, "install", "-q", "--no-deps", "--no-index", wheel],
        check=True,
        capture_output=True,
    )
    libraries = Path(pytest.__file__).parents[1]
    # Beside the installed copy, as its dependencies are; a checkout that is installed here comes later.
    (next(python.parents[1].glob("lib/*/site-packages")) / "theirs.pth").write_text(
        f"{libraries}\n"
    )
    return python.parent / "samestep"


def call(program: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(parents=True, exist_ok=True)
    environ = {**os.environ, "COLUMNS": "200", "SAMESTEP_CACHE": str(folder.parent / "cache")}
    return subprocess.run(
        [program, *arguments], cwd=folder, env=environ, capture_output=True, text=True, timeout=300
    )


def test_all_frameworks_and_workloads_are_in_the_wheel(program: Path, tmp_path: Path) -> None:
    listed = call(program, tmp_path / "here", "list", "frameworks")
    assert listed.returncode == 0, listed.stderr
    assert all(name in listed.stdout for name in discover())
    listed = call(program, tmp_path / "here", "list", "workloads")
    assert listed.returncode == 0 and all(name in listed.stdout for name in spec.names())


def test_its_locks_are_those_of_the_checkout(program: Path) -> None:
    (installed,) = program.parents[1].glob("lib/*/site-packages/frameworks")
    locks = {path.relative_to(ROOT) for path in (ROOT / "frameworks").glob("*/*.txt")}
    assert locks and all(
        (installed.parent / lock).read_bytes() == (ROOT / lock).read_bytes() for lock in locks
    )


def test_a_run_is_kept_in_the_folder_that_it_is_called_from(program: Path, tmp_path: Path) -> None:
    here = tmp_path / "a folder, schön"
    before = set(program.parents[1].rglob("*.json"))
    done = call(
        program,
        here,
        "run",
        "--framework",
        "reference",
        "--workload",
        "mlp-2-3-2",
        "--quick",
        "--device",
        "cpu",
        "--interpreter",
        f"reference={sys.executable}",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = (here / "results").glob("*Z-*")
    assert (run / "report.html").stat().st_size > 10_000
    assert set(program.parents[1].rglob("*.json")) == before
    assert '"git_commit": null' in (run / "manifest.json").read_text()
    assert call(program, here, "report", "latest").returncode == 0
    assert call(program, here / "results" / "..", "list", "results").stdout.count(run.name) == 1


def test_a_worker_imports_nothing_from_beside_the_installed_copy(
    program: Path, tmp_path: Path
) -> None:
    (packages,) = program.parents[1].glob("lib/*/site-packages")
    (packages / "beside.py").touch()
    code = (
        "import runpy, sys; sys.argv = ['worker', '0']; runpy.run_path(sys.argv.pop(0) and {!r});"
    )
    worker = str(packages / "harness" / "worker.py")
    code = code.format(worker) + "import frameworks.contract, beside"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, cwd="/", timeout=60
    )
    assert "No module named 'beside'" in done.stderr


def test_adapters_of_a_commit_need_a_checkout(program: Path, tmp_path: Path) -> None:
    done = call(program, tmp_path / "here", "run", "--framework", "reference@git:main")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "is an installed copy" in done.stderr and "clone the project" in done.stderr


@pytest.mark.parametrize(
    ("listing", "pattern"),
    [("frameworks", "frameworks/*/environment.toml"), ("workloads", "workloads/catalogue/*.toml")],
)
def test_an_installation_in_part_is_said(
    program: Path, tmp_path: Path, listing: str, pattern: str
) -> None:
    shutil.copytree(program.parents[1], tmp_path / "venv", symlinks=True)
    (packages,) = (tmp_path / "venv").glob("lib/*/site-packages")
    for path in packages.glob(pattern):
        path.unlink()
    copy = tmp_path / "venv" / "bin" / "python"
    done = subprocess.run(
        [copy, "-m", "cli", "list", listing], cwd=packages, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "installed in part" in done.stderr and "Traceback" not in done.stderr
