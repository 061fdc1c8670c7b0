"""Why a file cannot be written; and a line that the disk has no room for leaves nothing behind."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import disk

LIMITED = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from harness import disk
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with Path(sys.argv[2]).open("ab", buffering=0) as file:
    for _ in range(5):
        try:
            disk.append(file, b"x" * 299 + b"\\n")
        except OSError as error:
            print(error)
"""


def test_a_line_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", LIMITED, str(root), str(tmp_path / "file")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (tmp_path / "file").read_bytes() == (b"x" * 299 + b"\n") * 3
    assert done.stdout.count("No space left on device") == 2


def test_reasons_name_the_disk_where_it_is_the_cause(tmp_path: Path) -> None:
    absent = tmp_path / "not" / "there"
    full = disk.reason(absent, OSError(errno.ENOSPC, "x"))
    mount = next(up for up in (tmp_path, *tmp_path.parents) if os.path.ismount(up))
    assert full.startswith(f"the disk at {mount} is full (")
    assert disk.reason(absent, OSError(errno.EROFS, "x")) == f"the disk at {mount} is read-only"
    assert disk.reason(absent, PermissionError(errno.EACCES, "denied")) == "denied"


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.EDQUOT, "this user's quota of the disk at / is used up"),
        (errno.EFBIG, "no file may be larger here (`ulimit -f`, or the kind of disk)"),
    ],
)
def test_a_limit_is_not_taken_for_a_full_disk(number: int, says: str) -> None:
    assert disk.is_full(OSError(number, "x"))  # nothing can be written, and the run stops
    assert disk.reason(Path("/"), OSError(number, "x")) == says


def test_a_library_s_words_are_held_against_the_limit_of_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = OSError("1000 requested and 16 written")  # NumPy's, which has no number
    assert disk.reason(Path("/"), error).startswith("the disk at / is full (")
    monkeypatch.setattr("resource.getrlimit", lambda kind: (2**20, 2**20))
    assert disk.reason(Path("/"), error).startswith("no file may be larger here")


def test_a_disk_that_takes_no_more_files_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = list(os.statvfs("/"))
    counts[5], counts[7] = 12, 0  # files in all, and those that are free for a user
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(counts))
    reason = disk.reason(Path("/"), OSError(errno.ENOSPC, "x"))
    assert reason.endswith(" MiB and 0 of 12 files free)")


@pytest.mark.parametrize("error", [ValueError("a requested value"), OSError(errno.EIO, "x")])
def test_other_errors_are_no_full_disk(error: Exception) -> None:
    assert not disk.is_full(error)
