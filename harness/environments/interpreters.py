"""Which Pythons are to be had: those on this machine, and those that uv may fetch."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.environments.installer import InstallError, run, uv_environment, uv_program
from harness.paths import expanded

OLDEST_PYTHON = (3, 11)

_SECONDS = 60.0
_MINOR = re.compile(r"3\.\d+")


@dataclass(frozen=True)
class Interpreter:
    """A Python that environments can be built from."""

    version: str
    """Its minor version, as "3.12"."""
    path: str | None
    """Where it is; None: uv fetches it."""

    @property
    def request(self) -> str:
        """What uv is asked for."""
        return self.path or self.version


def available() -> dict[str, Interpreter]:
    """Every Python to be had by its minor version: this one, those that are here, those to be fetched."""
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    interpreters = {running: Interpreter(running, sys.executable)}
    for interpreter in (*_pyenv(), *_uv()):
        if tuple(map(int, interpreter.version.split("."))) >= OLDEST_PYTHON:
            interpreters.setdefault(interpreter.version, interpreter)
    return interpreters


def by_preference(python: str) -> list[Interpreter]:
    """The Pythons to be had: `python`, then those that are here, each time the nearest version first."""
    wanted, by_version = _minor(python), available()
    first = by_version.pop(python, Interpreter(python, None))
    alternatives = sorted(
        by_version.values(),
        key=lambda it: (it.path is None, abs(_minor(it.version) - wanted), it.version),
    )
    return [first, *alternatives]


def interpreter(version: str) -> Interpreter:
    """The Python of that version; uv is asked for one that is unknown here."""
    return available().get(version, Interpreter(version, None))


def _minor(version: str) -> int:
    return int(version.split(".")[1])


def _pyenv() -> list[Interpreter]:
    """pyenv's Pythons, the newest patch first: of its shims, which uv finds, few may be switched on."""
    root = Path(expanded(os.environ.get("PYENV_ROOT") or "~/.pyenv"))
    paths = sorted(root.glob("versions/3.*/bin/python3.*[0-9]"), key=_patch, reverse=True)
    return [
        Interpreter(path.name.removeprefix("python"), str(path))
        for path in paths
        if _MINOR.fullmatch(path.name.removeprefix("python"))
    ]


def _patch(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path.parents[1].name)]


@cache
def _uv() -> list[Interpreter]:
    """What uv lists; nothing where it cannot be asked: a build then says why."""
    command = [uv_program(), "python", "list", "--no-config", "--output-format", "json"]
    try:
        code, out, _ = run(command, environ=uv_environment(os.environ), seconds=_SECONDS)
        listed = json.loads(out) if code == 0 else []
    except (InstallError, ValueError):
        return []
    stable = [
        entry
        for entry in listed
        if entry.get("implementation") == "cpython"
        and entry.get("variant", "default") == "default"
        and re.fullmatch(r"[\d.]+", entry["version"])
    ]
    stable.sort(key=lambda entry: entry["path"] is None)  # here before to be fetched
    return [
        Interpreter(".".join(entry["version"].split(".")[:2]), entry["path"]) for entry in stable
    ]
