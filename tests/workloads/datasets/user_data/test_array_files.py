"""Damaged, evil, huge and changing files of arrays are refused before they are used."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.workloads.datasets.user_data.conftest import Files
from tests.workloads.datasets.user_data.made_arrays import LABELS, SPLIT, VECTORS, whole
from workloads import datasets
from workloads.datasets.user_data import checks


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def announced(shape: tuple[int, ...], descr: str = "|u1") -> bytes:
    """A .npy of no content whose header says anything."""
    stream = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)  # type: ignore[arg-type]
    return stream.getvalue()


class Evil:
    """Unpickling it would leave a trace."""

    def __reduce__(self) -> Any:
        return (os.mkdir, ("trace",))


LABELS_NPY = npy(LABELS)


@pytest.mark.parametrize(
    ("members", "says"),
    [
        (
            {"inputs": b"no array"},
            "my.npz: inputs: cannot be read: the magic string is not correct",
        ),
        ({"inputs": npy(VECTORS)[:-5]}, "my.npz: inputs: cannot be read:"),
        ({"inputs": npy(VECTORS)[:9]}, "my.npz: inputs: cannot be read:"),
        (
            {"inputs": announced((8, 2**40))},
            "has shape (8, 1099511627776), 8,796,093,022,208 bytes; at",
        ),
        ({"inputs": announced((8, 2**62, 2**62))}, "at most 8,589,934,592 are read"),
        ({"inputs": announced((8, 3), "|O")}, "holds Python objects"),
        ({"inputs": announced((8, -3))}, "my.npz: inputs:"),
        ({"inputs": pickle.dumps(Evil())}, "cannot be read"),
        ({"inputs": announced((8, 3), "|O") + pickle.dumps([Evil()])}, "holds Python objects"),
        (
            {"inputs": b"\x93NUMPY\x01\x00" + struct.pack("<H", 60_000) + b" " * 60_000},
            "inputs: cannot",
        ),
    ],
)
def test_a_damaged_or_evil_npz_is_refused(
    files: Files, members: dict[str, bytes], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files.folder)
    with zipfile.ZipFile(files.folder / "my.npz", "w") as archive:
        for name, content in {"labels": LABELS_NPY, **members}.items():
            archive.writestr(f"{name}.npy", content)
    assert says in files.refusal(SPLIT)
    assert not (files.folder / "trace").exists()
    folder = files.folder / "mine"
    folder.mkdir()
    for name, content in {"labels": LABELS_NPY, **members}.items():
        (folder / f"{name}.npy").write_bytes(content)
    assert "inputs" in files.refusal('file = "mine"\ntest = 0.25')
    assert not (files.folder / "trace").exists()


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip", b"\x93NUMPY" + bytes(90)])
def test_what_is_no_npz_is_refused(files: Files, content: bytes) -> None:
    (files.folder / "my.npz").write_bytes(content)
    assert "my.npz: no .npz of numpy: " in files.refusal(SPLIT)


def test_a_changed_byte_is_found(files: Files) -> None:
    path = files.npz(**whole())
    content = bytearray(path.read_bytes())
    content[content.index(VECTORS.tobytes()[:16])] ^= 1
    path.write_bytes(content)
    assert "Bad CRC-32" in files.refusal(SPLIT)


def test_a_bomb_is_not_unpacked(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(
        files.folder / "my.npz", inputs=np.zeros((1000, 1000)), labels=np.arange(1000) % 2
    )
    assert (files.folder / "my.npz").stat().st_size < 20_000
    monkeypatch.setattr(checks, "MOST_BYTES", 10**6)
    text = files.refusal(SPLIT)
    assert "has shape (1000, 1000), 8,000,000 bytes; at most 1,000,000 are read" in text


def test_a_huge_file_is_not_read(files: Files) -> None:
    path = files.npz(**whole())
    with path.open("ab") as stream:
        stream.truncate(2**42)
    assert "my.npz: 4,398,046,511,104 bytes; at most" in files.refusal(SPLIT)


def test_a_file_that_changed_since_is_told(files: Files) -> None:
    files.npz(**whole())
    workload = files.load(SPLIT)
    files.npz(**whole(inputs=VECTORS + 1))
    with pytest.raises(
        datasets.DatasetError, match=r"my\.npz: changed since the workload was read"
    ):
        datasets.prepare(workload.dataset, files.cache, seed=0)


def test_a_file_that_may_not_be_read_is_told(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.npz(**whole())

    def refuse(self: Path, *arguments: Any, **options: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(zipfile.ZipFile, "__init__", refuse)
    assert "my.npz: no .npz of numpy: Permission denied" in files.refusal(SPLIT)
