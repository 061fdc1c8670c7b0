from __future__ import annotations

import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads.datasets.contract import Archive, DatasetCorrupt
from workloads.datasets.unpack import MEMBERS, SLACK, unpack_archive

ARCHIVE = Archive("http://there", 0, "", "", "folder", {"a.bin": 3, "b.bin": 4})


def honest(tar: Any) -> Any:
    tar.add("folder", kind=tarfile.DIRTYPE).add("folder/readme.html", b"<p>")
    return tar.add("folder/a.bin", b"aaa").add("folder/b.bin", b"bbbb")


def attempt(data: bytes, room: Path) -> list[str]:
    """Unpack into room/in; returns every file that is then under `room`, the archive aside."""
    packed = room / "x.tar.gz"
    packed.write_bytes(data)
    (room / "in").mkdir(exist_ok=True)
    try:
        unpack_archive(packed, ARCHIVE, room / "in")
    finally:
        packed.unlink()
    return sorted(str(p.relative_to(room)) for p in room.rglob("*") if not p.is_dir())


def test_writes_the_wanted_files_and_no_others(tar: Any, tmp_path: Path) -> None:
    assert attempt(honest(tar).packed(), tmp_path) == ["in/a.bin", "in/b.bin"]
    assert (tmp_path / "in/b.bin").read_bytes() == b"bbbb"


@pytest.mark.parametrize(
    ("member", "says"),
    [
        ({"name": "../evil.bin", "data": b"!"}, "would leave"),
        ({"name": "folder/../../evil.bin", "data": b"!"}, "would leave"),
        ({"name": "/evil.bin", "data": b"!"}, "would leave"),
        ({"name": "folder/a.bin", "kind": tarfile.SYMTYPE, "to": "/etc/passwd"}, "link or a dev"),
        ({"name": "folder/c", "kind": tarfile.SYMTYPE, "to": ".."}, "link or a device"),
        ({"name": "folder/c", "kind": tarfile.LNKTYPE, "to": "folder/a.bin"}, "link or a device"),
        ({"name": "folder/c", "kind": tarfile.CHRTYPE}, "link or a device"),
        ({"name": "folder/c", "kind": tarfile.FIFOTYPE}, "link or a device"),
        ({"name": "folder/a.bin", "data": b"aaaa"}, r"4 bytes, expected once, with 3"),
        ({"name": "bomb", "data": bytes(SLACK + 8)}, "more than was published"),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_refuses(tar: Any, tmp_path: Path, member: dict[str, Any], says: str) -> None:
    with pytest.raises(DatasetCorrupt, match=says):
        attempt(honest(tar.add(**member)).packed(), tmp_path)
    assert not list(tmp_path.rglob("*.bin"))


def test_refuses_a_file_twice_and_too_many(tar: Any, tmp_path: Path) -> None:
    with pytest.raises(DatasetCorrupt, match="expected once"):
        attempt(honest(tar).add("folder/a.bin", b"aaa").packed(), tmp_path)


def test_refuses_too_many_members(tar: Any, tmp_path: Path) -> None:
    for i in range(MEMBERS + 1):
        tar.add(f"{i}")
    with pytest.raises(DatasetCorrupt, match="more than was published"):
        attempt(tar.packed(), tmp_path)


def test_says_what_is_lacking(tar: Any, tmp_path: Path) -> None:
    with pytest.raises(DatasetCorrupt, match=r"lacks b\.bin"):
        attempt(tar.add("folder/a.bin", b"aaa").packed(), tmp_path)


def test_a_truncated_or_damaged_archive_never_passes(tar: Any, tmp_path: Path) -> None:
    noise = np.random.PCG64(0).random_raw(2000).tobytes()  # which gzip cannot make smaller
    whole = honest(tar.add("noise", noise)).packed()
    for cut in (0, 5, len(whole) // 2):
        room = tmp_path / str(cut)
        room.mkdir()
        with pytest.raises(DatasetCorrupt, match="broken or truncated"):
            attempt(whole[:cut], room)
    with pytest.raises(DatasetCorrupt, match="broken or truncated"):
        attempt(b"<html>" + whole, tmp_path)


NAMES = st.lists(st.sampled_from(["..", ".", "", "folder", "a.bin", "x", "~"]), min_size=1)


@given(path=NAMES.map("/".join), kind=st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE]))
def test_no_name_whatever_writes_outside(tar_of: Any, path: str, kind: bytes) -> None:
    with tempfile.TemporaryDirectory() as room:
        inner = Path(room) / "deep" / "down"
        inner.mkdir(parents=True)
        data = b"aaa" if kind == tarfile.REGTYPE else b""
        with suppress(DatasetCorrupt):
            attempt(tar_of().add(path, data, kind).add("folder/b.bin", b"bbbb").packed(), inner)
        files = {str(p.relative_to(room)) for p in Path(room).rglob("*") if not p.is_dir()}
        assert files <= {"deep/down/in/a.bin", "deep/down/in/b.bin"}
