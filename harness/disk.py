"""Why a file cannot be written, in words that name the disk and its room. Standard library only."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from io import FileIO
from pathlib import Path

FULL = "disk full"
"""The status of a cell whose worker could not write: the run stops, and can be resumed."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_FEW_FILES = 1000
"""A disk that takes fewer new files than this may be full though it has room."""


def is_full(error: Exception) -> bool:
    """Whether an error means a full disk: by the system's number, or in NumPy's or a library's words."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _FULL
    text = str(error)
    return os.strerror(errno.ENOSPC) in text or ("requested and" in text and "written" in text)


def reason(path: Path, error: Exception) -> str:
    """Say why `path` cannot be written, in the system's words; names the disk where that is the cause."""
    number = getattr(error, "errno", None)
    if number == errno.EDQUOT:
        return f"this user's quota of the disk at {_mount(path)} is used up"
    if number == errno.EFBIG or (number is None and is_full(error) and _files_are_limited()):
        return "no file may be larger here (`ulimit -f`, or the kind of disk)"
    if is_full(error):
        return f"the disk at {_mount(path)} is full{_room(path)}"
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        return f"the disk at {_mount(path)} is read-only"
    return getattr(error, "strerror", None) or str(error)


def append(file: FileIO, data: bytes) -> None:
    """Write all of `data` to an unbuffered file, or nothing. Raises OSError."""
    length = os.fstat(file.fileno()).st_size
    if file.write(data) != len(data):
        os.ftruncate(file.fileno(), length)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _files_are_limited() -> bool:
    return resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY


def _mount(path: Path) -> Path:
    """The folder that the disk of a path is mounted at; the path need not exist."""
    place = Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve may fail on a broken disk
    return next((up for up in (place, *place.parents) if os.path.ismount(up)), Path("/"))


def _room(path: Path) -> str:
    try:
        usage, counts = shutil.disk_usage(_mount(path)), os.statvfs(_mount(path))
    except OSError:
        return ""
    room = f"{usage.free / 2**20:,.1f} of {usage.total / 2**20:,.1f} MiB"
    if counts.f_files and counts.f_favail < _FEW_FILES:
        room += f" and {counts.f_favail:,} of {counts.f_files:,} files"
    return f" ({room} free)"
