"""The cache of built environments: what is installed, who holds a folder, what to prune.

An environment appears whole or not at all: it is built beside its place, in `.partial-<name>`, and
renamed; it goes the same way back. Whoever does either holds `.lock-<name>`. uv inherits that lock,
so a builder that is killed holds it until its uv has ended too. Runs that use the environment share it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.environments.installer import Cancelled
from harness.machine import file_lock
from harness.paths import cache_folder
from workloads.errors import UserError

_STAMP = "samestep.json"
_PARTIAL = ".partial-"
_LOCK = ".lock-"
_POLL_SECONDS = 0.1


class InUse(UserError):
    """An environment is used and removed at the same time; which, in one line."""


def environments_folder() -> Path:
    """The folder of the environments; it need not exist."""
    return cache_folder() / "environments"


def installed() -> list[Path]:
    """The environments that are installed, by name."""
    return [
        path
        for path in sorted(environments_folder().glob("[!.]*"))
        if read_metadata(path) is not None
    ]


def python_of(folder: Path) -> Path:
    """An environment's interpreter."""
    return folder / "bin" / "python"


def read_metadata(folder: Path) -> dict[str, Any] | None:
    """What was noted of an environment when it was done; None where none stands."""
    try:
        return dict(json.loads((folder / _STAMP).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def write_metadata(folder: Path, values: Mapping[str, Any]) -> None:
    """Note what an environment is, as the last thing before it is put up."""
    (folder / _STAMP).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def when(folder: Path) -> datetime:
    """When an environment was built, in UTC."""
    return datetime.fromtimestamp((folder / _STAMP).stat().st_mtime, UTC)


def size(folder: Path) -> int:
    """Bytes on disk, files that the package cache shares included."""
    return sum(
        (Path(where) / name).lstat().st_blocks * 512
        for where, _, names in os.walk(folder)
        for name in names
    )


@contextmanager
def rebuilding(
    folder: Path, waiting: Callable[[], None], cancel: threading.Event | None
) -> Iterator[int]:
    """Hold a place; yields the lock's descriptor. `waiting` is called once if another holds it."""
    environments_folder().mkdir(parents=True, exist_ok=True)
    with _lock_file(folder) as descriptor:
        if not file_lock.take(descriptor):
            waiting()
            while not file_lock.take(descriptor):
                if cancel is not None and cancel.is_set():
                    raise Cancelled
                time.sleep(_POLL_SECONDS)
        yield descriptor


@contextmanager
def using(folders: Iterable[Path]) -> Iterator[None]:
    """Keep environments installed in the block: no other process removes or rebuilds them.

    Raises InUse where one was removed just before.
    """
    with ExitStack() as held:
        for folder in folders:
            with suppress(OSError):  # a cache that we may not write to has no locks of ours
                fcntl.flock(held.enter_context(_lock_file(folder)), fcntl.LOCK_SH)
            if read_metadata(folder) is None:
                raise InUse(f"{folder.name} was removed at this moment: give the command again")
        yield


@contextmanager
def removing(folder: Path) -> Iterator[None]:
    """Hold a place, to remove what stands there. Raises InUse where a run or a build holds it."""
    with _lock_file(folder) as descriptor:
        if not file_lock.take(descriptor):
            raise InUse(f"{folder.name} is not removed: a run uses it, or it is being built")
        yield


@contextmanager
def fresh(folder: Path) -> Iterator[Path]:
    """A folder to build in, which takes `folder`'s place when the block ends well.

    The place must be held. Whatever stood there, or was left by a killed build, is removed first.
    """
    take_down(folder)
    partial = _partial(folder)
    try:
        yield partial
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def take_down(folder: Path) -> None:
    """Remove an environment whose place is held; if killed midway, nothing seems to stand there."""
    partial = _partial(folder)
    shutil.rmtree(partial, ignore_errors=True)
    if folder.exists():
        folder.rename(partial)
        shutil.rmtree(partial)


def sweep() -> None:
    """Remove what killed builds left: every unfinished folder whose lock nobody holds."""
    for partial in environments_folder().glob(_PARTIAL + "*"):
        with _lock_file(partial.with_name(partial.name.removeprefix(_PARTIAL))) as descriptor:
            if file_lock.take(descriptor):
                shutil.rmtree(partial, ignore_errors=True)


def _partial(folder: Path) -> Path:
    return folder.with_name(_PARTIAL + folder.name)


@contextmanager
def _lock_file(folder: Path) -> Iterator[int]:
    # The file stays: removing it would let two hold "the same" lock, one of them on a ghost.
    path = folder.with_name(_LOCK + folder.name)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
