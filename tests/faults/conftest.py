"""A project with the toy framework whose runs are begun, disturbed and ended as processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import copy_with_toys

Mount = Callable[..., Path]

_PYTHONS = [f"--interpreter={name}={sys.executable}" for name in ("faulty", "reference")]
QUICK = ["run", "--quick", "--threads=1", "--workload=mlp-2-3-2", "--mode=well,slow", *_PYTHONS]
"""The arguments of a quick run of two toys."""


class Shell:
    """The command line in the toy project."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._running: list[subprocess.Popen[str]] = []

    def begin(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Begin a command; the test ends it, or the fixture does."""
        environment = {**os.environ, "SAMESTEP_CACHE": str(self.root / "cache"), **variables}
        process = subprocess.Popen(
            [sys.executable, "cli.py", *arguments],
            cwd=self.root,
            env=environment,
            text=True,
            errors="replace",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._running.append(process)
        return process

    def run(self, *arguments: str, **variables: str) -> tuple[int, str, str]:
        """Return a command's exit status and what it printed."""
        process = self.begin(*arguments, **variables)
        out, err = process.communicate(timeout=240)
        return process.returncode, out, err

    def journals(self) -> list[Path]:
        """The journals of the runs in results/."""
        return sorted((self.root / "results").glob("*/events.jsonl"))

    def until(self, event: str) -> str:
        """Wait until a run's journal has an event, and return the journal."""
        sign = f'"event": "{event}"'
        self.wait(lambda: any(sign in path.read_text() for path in self.journals()))
        return "".join(path.read_text() for path in self.journals())

    @staticmethod
    def wait(condition: Callable[[], object]) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.05)

    def end(self) -> None:
        """End what the test left."""
        for process in self._running:
            process.kill()
            process.communicate()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    opened = Shell(copy_with_toys(tmp_path / "project"))
    yield opened
    opened.end()


@pytest.fixture
def quick() -> list[str]:
    """The arguments of a quick run of two toys."""
    return [*QUICK]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a disk of so many bytes, as "300k", with what `mount -o` may say besides."""
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("only root can mount a disk of its own")
    mounted: list[Path] = []

    def go(size: str, *flags: str) -> Path:
        folder = tmp_path / f"disk-{size}"
        folder.mkdir()
        options = ",".join([f"size={size}", *flags])
        command = ["mount", "-t", "tmpfs", "-o", options, "samestep", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield go
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
