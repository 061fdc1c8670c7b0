"""Reads `frameworks/*/environment.toml`: what a framework's environment is made of.

Nothing here knows a framework by name. A folder with an `environment.toml` is a framework; its file
says everything, and an error in it names the file, the key, the value and what is allowed.
"""

from __future__ import annotations

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
from workloads.reading import SpecError, check_word, one_of, read, text, text_of

FILE_NAME = "environment.toml"
DEVICES = (devices.CPU, devices.CUDA)
PLATFORMS = ("linux", "darwin")
PLACEHOLDERS = ("device", "scratch", "threads")

_PYTHON = text(r"3\.\d+", 'a version such as "3.11"')
_VERSION = text(r"\d+(\.\d+)*", 'a version, as "580" or "2.3"')
_NAME = r"[a-z][a-z0-9_-]*"
_NAMES = text(_NAME, "words of small letters, digits, - and _")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class FrameworkSpecError(UserError, ValueError):
    """An `environment.toml` says something that cannot be meant."""


@dataclass(frozen=True)
class Library:
    """A shared library that the wheels need and do not ship, and how to get it."""

    name: str = field(metadata=text())
    mend: str = field(metadata=text())
    platform: str | None = field(default=None, metadata=one_of(*PLATFORMS))

    def wanted_here(self) -> bool:
        """Whether this operating system needs it."""
        return self.platform is None or sys.platform == self.platform


@dataclass(frozen=True)
class Program:
    """A program that some modes call, the variable that may name another, and how to get it."""

    name: str = field(metadata=text())
    mend: str = field(metadata=text())
    modes: tuple[str, ...]
    variable: str | None = field(default=None, metadata=text())
    platform: str | None = field(default=None, metadata=one_of(*PLATFORMS))

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

    below: str = field(metadata=_VERSION)
    requirements: tuple[str, ...] = field(default=(), metadata=text())
    locks: tuple[str, ...] = ()
    """The requirements that it changes, by name; none means all."""
    python: str | None = field(default=None, metadata=_PYTHON)

    def concerns(self, version: Version) -> bool:
        """Whether `version` is one of them."""
        return version < Version(self.below)


@dataclass(frozen=True)
class FrameworkSpec:
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
    reference: bool = False
    libraries: tuple[Library, ...] = ()
    programs: tuple[Program, ...] = ()
    limits: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    """Devices without a lock, which an interpreter of the user's own may have."""
    drivers: Mapping[str, str] = field(default_factory=dict)
    """The oldest driver that a lock's libraries run on, by the lock's file name."""
    releases: tuple[Release, ...] = ()
    variant: str = ""
    """A release, or "git:" and a commit: what of this framework is meant. Empty: what is here."""
    commit: str | None = None
    """The commit that the adapter is taken from, in full; None: it is the one here."""
    lock_folder: Path | None = None
    """Where locks that are made on the fly are stored; None: they come with the framework."""
    deterministic: Mapping[str, str] = field(default_factory=dict)
    """Further variables, for runs that are to be deterministic; they go before `variables`."""
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The devices of modes that serve on some only."""

    @property
    def label(self) -> str:
        """What cells and events call it: the folder's name, and the variant where there is one."""
        return f"{self.name}@{self.variant}" if self.variant else self.name

    @property
    def release(self) -> str | None:
        """The release asked for, where one was."""
        return self.variant if self.variant and self.commit is None else None

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

    def calls_programs(self, mode: str) -> bool:
        """Whether `mode` calls a program, such as a compiler, which takes long."""
        return any(mode in program.modes for program in self.programs)

    def missing_program(self, mode: str) -> str | None:
        """One line that says which program `mode` lacks on this machine, or None."""
        return next(filter(None, (program.missing(mode) for program in self.programs)), None)


def discover(root: Path | None = None) -> dict[str, FrameworkSpec]:
    """Every framework that has an `environment.toml`, by the name of its folder, sorted.

    Raises FrameworkSpecError for the first file that is wrong, or where there is none.
    """
    folder = (root or project_root()) / "frameworks"
    files = sorted(folder.glob(f"*/{FILE_NAME}"))
    if not files:
        raise FrameworkSpecError(
            f"{folder}: holds no */{FILE_NAME}: samestep is installed in part; install it anew"
        )
    return {path.parent.name: load(path) for path in files}


@dataclass(frozen=True)
class _File:
    """What an `environment.toml` may say; `FrameworkSpec` has what its keys mean."""

    title: str = field(metadata=text())
    python: str = field(metadata=_PYTHON)
    package: tuple[str, ...] = field(metadata=text())
    module: str = field(metadata=text())
    modes: tuple[str, ...] = field(metadata=_NAMES)
    devices: tuple[str, ...] = field(metadata=one_of(*DEVICES))
    requirements: dict[str, tuple[str, ...]] = field(metadata=text())
    reference: bool = False
    limits: tuple[str, ...] = field(default=(), metadata=text())
    given: tuple[str, ...] = field(default=(), metadata=one_of(*DEVICES))
    locks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    drivers: dict[str, str] = field(default_factory=dict, metadata=_VERSION)
    variables: dict[str, str] = field(default_factory=dict)
    deterministic: dict[str, str] = field(default_factory=dict)
    only: dict[str, tuple[str, ...]] = field(default_factory=dict, metadata=one_of(*DEVICES))
    libraries: tuple[Library, ...] = ()
    programs: tuple[Program, ...] = ()
    releases: tuple[Release, ...] = ()

    def device_locks(self) -> dict[str, tuple[str, ...]]:
        """The lock files of each device: what [locks] says, else the one file named like the device."""
        return {device: self.locks.get(device, (f"{device}.txt",)) for device in self.devices}


def load(path: Path) -> FrameworkSpec:
    """Read and check one `environment.toml`. Raises FrameworkSpecError."""
    where = f"{path.parent.name}/{path.name}"
    try:
        file = read(_File, tomllib.loads(text_of(path)), where)
        _check(file, where)
    except tomllib.TOMLDecodeError as error:
        raise FrameworkSpecError(f"{where}: is not valid TOML: {error}") from error
    except SpecError as error:
        raise FrameworkSpecError(str(error)) from error
    fields: dict[str, Any] = {
        **vars(file),
        "packages": file.package,
        "locks": file.device_locks(),
        "drivers": {f"{name}.txt": version for name, version in file.drivers.items()},
    }
    del fields["package"]
    return FrameworkSpec(name=path.parent.name, folder=path.parent, **fields)


def _check(file: _File, where: str) -> None:
    """Check what only the whole shows: names that tables give and other tables use. Raises SpecError."""
    for name in file.requirements:
        if not re.fullmatch(_NAME, name):
            raise SpecError(f"{where}: requirements: {name!r} names a lock file: expected a word")
    locks = [f"{name}.txt" for name in file.requirements]
    uses: list[tuple[str, Iterable[str], Iterable[str]]] = [
        ("locks", file.locks, file.devices),
        ("only", file.only, file.modes),
        ("drivers", file.drivers, file.requirements),
        *(("programs: modes", program.modes, file.modes) for program in file.programs),
        *(("releases: locks", release.locks, file.requirements) for release in file.releases),
        *((f"locks.{device}", names, locks) for device, names in file.device_locks().items()),
    ]
    for key, names, allowed in uses:
        for name in names:
            check_word(name, allowed, f"{where}: {key}")
    for release in file.releases:
        if not (release.requirements or release.python):
            raise SpecError(f"{where}: releases: below {release.below}: requirements is missing")
    for key, variables in (("variables", file.variables), ("deterministic", file.deterministic)):
        for name, value in variables.items():
            if not _VARIABLE.fullmatch(name):
                raise SpecError(f"{where}: {key}: {name!r} is no name for an environment variable")
            for word in _PLACEHOLDER.findall(value):
                check_word(word, PLACEHOLDERS, f"{where}: {key}.{name}: placeholder")
