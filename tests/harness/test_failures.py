"""A job that raised: a full disk is named as one, whatever the library calls it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from frameworks.contract import Unavailable
from harness import failures


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("640 requested and 0 written"),  # NumPy
        RuntimeError("RESOURCE_EXHAUSTED: /x/cache; No space left on device"),  # compilers
    ],
)
def test_a_full_disk_is_named(error: Exception, tmp_path: Path) -> None:
    status, reason = failures.report(error, tmp_path)
    assert status == "disk full"
    assert reason.startswith(f"{tmp_path}: the disk at ")
    assert " is full (" in reason and reason.endswith(" MiB free)")


def test_a_quota_that_is_used_up_is_as_a_full_disk(tmp_path: Path) -> None:
    status, reason = failures.report(OSError(errno.EDQUOT, "Disk quota exceeded"), tmp_path)
    assert status == "disk full" and "quota of the disk at " in reason


@pytest.mark.parametrize(
    ("error", "report"),
    [
        (ValueError("x"), ("failed", "ValueError: x")),
        (ImportError("no m"), ("unavailable", "ImportError: no m")),
        (Unavailable("no card"), ("unavailable", "no card")),
        (
            OSError(errno.ENOENT, "No such file"),
            ("failed", "FileNotFoundError: [Errno 2] No such file"),
        ),
    ],
)
def test_other_failures_are_as_they_are(error: Exception, report: tuple[str, str]) -> None:
    assert failures.report(error, None) == report


def test_a_log_that_cannot_be_written_hides_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(error: Exception) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("traceback.print_exception", full)
    assert failures.report(ValueError("x"), None) == ("failed", "ValueError: x")
