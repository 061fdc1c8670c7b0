"""Runs a script inside a framework's own environment, which is built where it is missing."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import frameworks
from harness.environments import builder, framework_spec
from harness.runner.process import worker_environment

FRAMEWORK_SPECS = {
    name: spec
    for name, spec in framework_spec.discover().items()
    if name in frameworks.names() and not spec.reference
}


def modes(everywhere: bool = False) -> list[Any]:
    """Every framework x mode, as pytest's parameters; one that calls a compiler is compile_heavy.

    Those of the CPU; `everywhere`: also modes that serve on cards only, and compute on a CPU too.
    """
    cases = []
    for name, spec in FRAMEWORK_SPECS.items():
        for mode in spec.modes if everywhere else spec.modes_on("cpu"):
            marks = [pytest.mark.compile_heavy] if calls_compiler(name, mode) else []
            cases.append(pytest.param(name, mode, marks=marks, id=f"{name}-{mode}"))
    return cases


def calls_compiler(framework: str, mode: str) -> bool:
    """Whether a mode calls a program, which is a compiler: it takes long."""
    return any(mode in program.modes for program in FRAMEWORK_SPECS[framework].programs)


@cache
def _environments() -> dict[str, builder.Environment | builder.Unavailable]:
    """Every framework's environment; those that are missing are built side by side."""
    return builder.prepare_all(FRAMEWORK_SPECS.values(), "cpu")


def python(framework: str) -> Path:
    """The framework's Python; the test is skipped where there can be none."""
    environment = _environments()[framework]
    if isinstance(environment, builder.Environment):
        return environment.python
    # Where all wheels exist, CI may not pass because nothing could be built.
    if os.environ.get("CI") and (sys.platform, platform.machine()) == ("linux", "x86_64"):
        raise environment
    pytest.skip(f"{framework}: {environment}")


def skip_without_program(framework: str, mode: str) -> None:
    if lacking := FRAMEWORK_SPECS[framework].missing_program(mode):
        pytest.skip(f"{framework}: {lacking}")


@cache
def _scratch(framework: str) -> Path:
    """Where its scripts compile: as a cell's launches do, they find what an earlier one compiled."""
    return Path(tempfile.mkdtemp(prefix=framework))


def run(framework: str, script: Path, *arguments: str, deterministic: bool = False) -> str:
    """Run a script as a worker of one thread would be; return what it prints."""
    variables = FRAMEWORK_SPECS[framework].worker_variables(
        device="cpu", threads=1, scratch=_scratch(framework), deterministic=deterministic
    )
    done = subprocess.run(
        [str(python(framework)), "-P", str(script), *arguments],
        env=worker_environment(variables),
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
