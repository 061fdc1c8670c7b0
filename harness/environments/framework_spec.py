"""Reads `frameworks/*/environment.toml`: what a framework's environment is made of.

Nothing here knows a framework by name. A folder with an `environment.toml` is a framework; its file
says everything, and an error in it names the file, the key, the value and what is allowed.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.version import Version

from harness.machine import devices
from harness.paths import project_root
from workloads.errors import UserError

FILE_NAME = "environment.toml"
DEVICES = (devices.CPU, devices.CUDA)
PLATFORMS = ("linux", "darwin")
PLACEHOLDERS = ("device", "scratch", "threads")

_PYTHON = re.compile(r"3\.\d+")
_VERSION = re.compile(r"\d+(\.\d+)*")
_WORD = re.compile(r"[a-z][a-z0-9_-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class RecipeError(UserError, ValueError):
    """An `environment.toml` says something that cannot be meant."""


@dataclass(frozen=True)
class Library:
    """A shared library that the wheels need and do not ship, and how to get it."""

    name: str
    mend: str
    platform: str | None = None

    def wanted_here(self) -> bool:
        """Whether this operating system needs it."""
        return self.platform is None or sys.platform == self.platform


@dataclass(frozen=True)
class Program:
    """A program that some modes call, the variable that may name another, and how to get it."""

    name: str
    mend: str
    modes: tuple[str, ...]
    variable: str | None = None
    platform: str | None = None

    def missing(self, mode: str) -> str | None:
        """One line that says what `mode` lacks on this machine, or None."""
        if mode not in self.modes or self.platform not in (None, sys.platform):
            return None
        name = os.environ.get(self.variable or "") or self.name
        if shutil.which(name):
            return None
        return f"mode {mode} needs the program {name}, which is not on the path: {self.mend}"


@dataclass(frozen=True)
class Release:
    """What releases below a version need besides, or instead of, what the requirements say."""

    below: Version
    requirements: tuple[str, ...]
    locks: tuple[str, ...]
    """The requirements that it changes, by name; none means all."""
    python: str | None = None


@dataclass(frozen=True)
class Recipe:
    """One framework's `environment.toml`, checked."""

    name: str
    folder: Path
    title: str
    python: str
    packages: tuple[str, ...]
    module: str
    modes: tuple[str, ...]
    devices: tuple[str, ...]
    requirements: Mapping[str, tuple[str, ...]]
    locks: Mapping[str, tuple[str, ...]]
    variables: Mapping[str, str]
    arbiter: bool = False
    libraries: tuple[Library, ...] = ()
    programs: tuple[Program, ...] = ()
    limits: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    """Devices without a lock, which an interpreter of the user's own may have."""
    drivers: Mapping[str, str] = field(default_factory=dict)
    """The oldest driver that a lock's libraries run on, by the lock's file name."""
    releases: tuple[Release, ...] = ()
    arm: str = ""
    """A release, or "git:" and a commit: what of this framework is meant. Empty: what is here."""
    commit: str | None = None
    """The commit that the adapter is taken from, in full; None: it is the one here."""
    lock_folder: Path | None = None
    """Where locks that are made on the fly are kept; None: they come with the recipe."""
    deterministic: Mapping[str, str] = field(default_factory=dict)
    """Further variables, for runs that are to be deterministic; they go before `variables`."""
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The devices of modes that serve on some only."""

    @property
    def label(self) -> str:
        """What cells and events call it: the folder's name, and the arm where there is one."""
        return f"{self.name}@{self.arm}" if self.arm else self.name

    @property
    def release(self) -> str | None:
        """The release asked for, where one was."""
        return self.arm if self.arm and self.commit is None else None

    @property
    def root(self) -> Path:
        """The source tree that its workers run from."""
        return self.folder.parents[1]

    def modes_on(self, device: str) -> tuple[str, ...]:
        """The modes that serve on a device."""
        kind = devices.kind(device)
        return tuple(mode for mode in self.modes if kind in self.only.get(mode, DEVICES))

    def lock_paths(self, device: str) -> tuple[Path, ...]:
        """The lock files for a device, in the order in which they are tried."""
        return tuple((self.lock_folder or self.folder) / name for name in self.locks[device])

    def worker_variables(
        self, *, device: str, threads: int, scratch: Path, deterministic: bool = False
    ) -> dict[str, str]:
        """The environment variables of one worker; `scratch` is a fresh folder for this launch."""
        variables = {**self.variables, **(self.deterministic if deterministic else {})}
        words = {"device": devices.kind(device), "threads": str(threads), "scratch": str(scratch)}
        filled = {
            name: _PLACEHOLDER.sub(lambda match: words[match[1]], value)
            for name, value in variables.items()
        }
        return {**devices.visible(device), **filled}

    def missing_program(self, mode: str) -> str | None:
        """One line that says which program `mode` lacks on this machine, or None."""
        return next(filter(None, (program.missing(mode) for program in self.programs)), None)


def discover(root: Path | None = None) -> dict[str, Recipe]:
    """Every framework that has an `environment.toml`, by the name of its folder, sorted.

    Raises RecipeError for the first file that is wrong.
    """
    folder = (root or project_root()) / "frameworks"
    return {path.parent.name: load(path) for path in sorted(folder.glob(f"*/{FILE_NAME}"))}


def load(path: Path) -> Recipe:
    """Read and check one `environment.toml`. Raises RecipeError."""
    where = f"{path.parent.name}/{path.name}"
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{where}: is not valid TOML: {error}") from error
    top = _Table(
        values,
        where,
        "title arbiter python package module modes devices limits requirements"
        " locks variables deterministic libraries programs given drivers releases only",
    )
    modes = top.words("modes")
    devices = top.words("devices", allowed=DEVICES)
    requirements = _requirements(top)
    return Recipe(
        name=path.parent.name,
        folder=path.parent,
        title=top.text("title"),
        python=top.text("python", _PYTHON, 'a version such as "3.11"'),
        packages=top.texts("package"),
        module=top.text("module"),
        modes=modes,
        devices=devices,
        requirements=requirements,
        locks=_locks(top, devices, requirements),
        variables=_variables(top, "variables"),
        arbiter=top.flag("arbiter"),
        libraries=tuple(_library(table) for table in top.tables("libraries", "name mend platform")),
        programs=tuple(
            _program(table, modes)
            for table in top.tables("programs", "name mend platform modes variable")
        ),
        limits=top.texts("limits", optional=True),
        given=top.words("given", allowed=DEVICES) if "given" in values else (),
        drivers=_drivers(top, requirements),
        releases=tuple(
            _release(table, tuple(requirements))
            for table in top.tables("releases", "below requirements locks python")
        ),
        deterministic=_variables(top, "deterministic"),
        only=_only(top, modes),
    )


class _Table:
    """One table of a recipe: hands out checked values and knows where it stands."""

    def __init__(self, values: Mapping[str, Any], where: str, allowed: str) -> None:
        self.values, self.where = values, where
        for key in values:
            if key not in allowed.split():
                raise RecipeError(f"{where}: unknown key `{key}`{nearest(key, allowed.split())}")

    def wrong(self, key: str, meant: str) -> RecipeError:
        """The error for a key that is missing or whose value is not what is meant."""
        if key not in self.values:
            return RecipeError(f"{self.where}: `{key}` is missing; give {meant}")
        return RecipeError(f"{self.where}: `{key}` is {self.values[key]!r}; give {meant}")

    def text(self, key: str, form: re.Pattern[str] | None = None, meant: str = "a text") -> str:
        value = self.values.get(key)
        if not isinstance(value, str) or not value or (form and not form.fullmatch(value)):
            raise self.wrong(key, meant)
        return value

    def optional(self, key: str) -> str | None:
        return self.text(key) if key in self.values else None

    def platform(self) -> str | None:
        value = self.optional("platform")
        if value not in (None, *PLATFORMS):
            raise self.wrong("platform", f"one of {', '.join(PLATFORMS)}")
        return value

    def flag(self, key: str) -> bool:
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def texts(self, key: str, *, optional: bool = False) -> tuple[str, ...]:
        value = self.values.get(key, [] if optional else None)
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(v, str) and v for v in listed):
            raise self.wrong(key, "a text or a list of texts")
        if not listed and not optional:
            raise self.wrong(key, "at least one text")
        return tuple(listed)

    def words(self, key: str, allowed: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """A list of different words, each of them allowed."""
        texts = self.texts(key)
        meant = f"out of {', '.join(allowed)}" if allowed else "of small letters, digits, - and _"
        if len(set(texts)) < len(texts) or not all(
            word in allowed if allowed else _WORD.fullmatch(word) for word in texts
        ):
            raise self.wrong(key, f"a list of different words {meant}")
        return texts

    def table(self, key: str, allowed: str | None = None, *, optional: bool = False) -> _Table:
        value = self.values.get(key, {} if optional else None)
        if not isinstance(value, dict):
            raise self.wrong(key, f"a table, [{key}]")
        return _Table(value, f"{self.where} [{key}]", allowed or " ".join(value))

    def tables(self, key: str, allowed: str) -> list[_Table]:
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise self.wrong(key, f"tables, [[{key}]]")
        return [
            _Table(entry, f"{self.where} [[{key}]] number {number}", allowed)
            for number, entry in enumerate(value, start=1)
        ]


def nearest(word: str, allowed: Iterable[str]) -> str:
    """The end of an error about an unknown word: the nearest right one, or all that are right."""
    choices = sorted(allowed)
    close = difflib.get_close_matches(word, choices, n=1)
    return f"; did you mean `{close[0]}`?" if close else f"; known are {', '.join(choices)}"


def _requirements(top: _Table) -> dict[str, tuple[str, ...]]:
    table = top.table("requirements")
    for name in table.values:
        if not _WORD.fullmatch(name):
            raise RecipeError(f"{table.where}: `{name}` names a lock file; give a word, as `cpu`")
    return {name: table.texts(name) for name in table.values}


def _locks(
    top: _Table, devices: tuple[str, ...], requirements: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """The lock files of each device: said in [locks], else the one file named like the device."""
    table = top.table("locks", " ".join(devices), optional=True)
    lock_files = [f"{name}.txt" for name in requirements]
    locks = {
        name: table.texts(name) if name in table.values else (f"{name}.txt",) for name in devices
    }
    for device, files in locks.items():
        for file in files:
            if file not in lock_files:
                raise RecipeError(
                    f"{table.where}: device {device} wants {file}, for which [requirements] has no"
                    f" entry{nearest(file, lock_files)}"
                )
    return locks


def _variables(top: _Table, key: str) -> dict[str, str]:
    table = top.table(key, optional=True)
    for name, value in table.values.items():
        if not _VARIABLE.fullmatch(name):
            raise RecipeError(f"{table.where}: `{name}` is no name for an environment variable")
        if not isinstance(value, str):
            raise table.wrong(name, f'a text, as "{value}"')
        for word in _PLACEHOLDER.findall(value):
            if word not in PLACEHOLDERS:
                raise RecipeError(
                    f"{table.where}: `{name}` holds {{{word}}}{nearest(word, PLACEHOLDERS)}"
                )
    return dict(table.values)


def _only(top: _Table, modes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    table = top.table("only", " ".join(modes), optional=True)
    return {mode: table.words(mode, allowed=DEVICES) for mode in table.values}


def _drivers(top: _Table, requirements: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    table = top.table("drivers", " ".join(requirements), optional=True)
    return {
        f"{name}.txt": table.text(name, _VERSION, 'a version, as "580"') for name in table.values
    }


def _release(table: _Table, locks: tuple[str, ...]) -> Release:
    return Release(
        below=Version(table.text("below", _VERSION, 'a version, as "2.3"')),
        requirements=table.texts("requirements", optional="python" in table.values),
        locks=table.words("locks", allowed=locks) if "locks" in table.values else (),
        python=table.text("python", _PYTHON, 'a version such as "3.11"')
        if "python" in table.values
        else None,
    )


def _library(table: _Table) -> Library:
    return Library(table.text("name"), table.text("mend"), table.platform())


def _program(table: _Table, modes: tuple[str, ...]) -> Program:
    return Program(
        name=table.text("name"),
        mend=table.text("mend"),
        modes=table.words("modes", allowed=modes),
        variable=table.optional("variable"),
        platform=table.platform(),
    )
