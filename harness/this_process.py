"""What a worker asks of the kernel about itself. Worker side: the standard library only."""

from __future__ import annotations

import ctypes
import signal
import sys
from pathlib import Path


def memory(file: str, *keys: str) -> dict[str, int | None]:
    """Return entries of a file of /proc/self in bytes, None where it does not have them.

    The peak is VmHWM and not ru_maxrss: that is inherited from the process that started this one.
    """
    try:
        lines = Path("/proc/self", file).read_text().splitlines()
    except OSError:
        lines = []
    entries = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
    return {key: int(entries[key][0]) * 1024 if entries.get(key) else None for key in keys}


def reset_peak() -> None:
    """Set VmHWM back to the present size, where the kernel lets us; else it counts from the start."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def die_with_parent() -> None:
    """Ask Linux to kill this process when the harness dies, even while it is frozen."""
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG, from linux/prctl.h
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
