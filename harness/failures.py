"""How a worker reports a job that raised. Worker side: the standard library only."""

from __future__ import annotations

import traceback
from contextlib import suppress
from pathlib import Path

from frameworks.contract import Unavailable
from harness import disk


def report(error: Exception, folder: Path | None) -> tuple[str, str]:
    """Print the traceback to the log; return the failure's status and reason.

    `folder` is where the job writes, None where that is unknown yet.
    """
    with suppress(OSError):  # the log's disk may be full, and the answer matters more
        traceback.print_exception(error)
    if disk.is_full(error):
        path = str(getattr(error, "filename", None) or folder or ".")
        return disk.FULL, f"{path}: {disk.reason(Path(path), error)}"
    if isinstance(error, Unavailable):
        return "unavailable", str(error)
    status = "unavailable" if isinstance(error, ImportError) else "failed"
    return status, f"{type(error).__name__}: {error}"
