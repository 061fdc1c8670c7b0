"""Locks on files: the system gives one up when its holder ends, however it ends.

The writer of a run's journal holds it, which distinguishes a run that goes on from a killed one.
Standard library only.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO


def take(file: int | IO[bytes]) -> bool:
    """Take the lock of an open file if no process has it. Raises OSError where there are no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def hold(journal: IO[bytes]) -> bool:
    """Hold an open journal until it is closed; say whether no other process does.

    Where the file system has no locks, that is unknown, and no lock is in the way.
    """
    try:
        return take(journal)
    except OSError:
        return True


def is_held(path: Path) -> bool:
    """Say whether a process holds a journal, which is then still written."""
    try:
        with path.open("rb") as journal:
            fcntl.flock(journal, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
