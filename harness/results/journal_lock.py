"""The lock on a run's journal: its writer holds it, so a run that goes on is told from a killed one.

The system gives the lock up when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO, Any


def hold(journal: IO[Any]) -> bool:
    """Hold an open journal until it is closed; False: another process holds it.

    Where the file system has no locks, do without.
    """
    try:
        fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
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
