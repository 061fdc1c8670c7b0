"""Whatever bytes a file of one's own has, it is read or refused in one line."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from workloads.datasets.user_data import DataFileError, resolved
from workloads.reading import SpecError

LABELS = np.arange(8) % 2
Write = Callable[[Path, bytes], dict[str, object]]


def npz_bytes() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, inputs=np.arange(16.0).reshape(8, 2), labels=LABELS)
    return stream.getvalue()


def npy_bytes() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.arange(16.0).reshape(8, 2))
    return stream.getvalue()


def image_bytes(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (5, 4), (10, 200, 30)).save(stream, kind)
    return stream.getvalue()


def as_npz(folder: Path, content: bytes) -> dict[str, object]:
    (folder / "x.npz").write_bytes(content)
    return {"file": "x.npz", "test": 0.5}


def as_npy(folder: Path, content: bytes) -> dict[str, object]:
    (folder / "mine").mkdir()
    (folder / "mine" / "inputs.npy").write_bytes(content)
    np.save(folder / "mine" / "labels.npy", LABELS)
    return {"file": "mine", "test": 0.5}


def as_csv(folder: Path, content: bytes) -> dict[str, object]:
    (folder / "x.csv").write_bytes(content)
    return {"file": "x.csv", "label": "kind", "test": 0.5}


def as_image(folder: Path, content: bytes) -> dict[str, object]:
    for name in ("a", "b"):
        (folder / "pets" / name).mkdir(parents=True)
        (folder / "pets" / name / "1.png").write_bytes(content)
        (folder / "pets" / name / "2.png").write_bytes(image_bytes("PNG"))
    return {"file": "pets", "test": 0.5}


KINDS: dict[str, tuple[Write, bytes]] = {
    "npz": (as_npz, npz_bytes()),
    "npy": (as_npy, npy_bytes()),
    "csv": (as_csv, b"x,kind\n" + b"".join(b"%d,%c\n" % (i, 97 + i % 2) for i in range(8))),
    "png": (as_image, image_bytes("PNG")),
    "jpeg": (as_image, image_bytes("JPEG")),
    "webp": (as_image, image_bytes("WEBP")),
    "bmp": (as_image, image_bytes("BMP")),
    "ppm": (as_image, image_bytes("PPM")),
}

damages = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@example(damage=[], cut=0, tail=b"")
@given(damage=damages, cut=st.integers(0, 40), tail=st.binary(max_size=4))
def test_damaged_bytes_are_read_or_refused(
    kind: str, damage: list[tuple[int, int]], cut: int, tail: bytes
) -> None:
    write, whole = KINDS[kind]
    content = bytearray(whole[: len(whole) - cut] + tail)
    for place, value in damage:
        content[place % len(content)] = value
    with tempfile.TemporaryDirectory() as folder:
        table = write(Path(folder), bytes(content))
        try:
            got, source = resolved({**table, "batch": 2}, "net", Path(folder))
            assert source is not None
            splits = source.read(got["user_data"].sha256)
        except (DataFileError, SpecError) as error:
            assert damage or cut or tail
            assert str(error).isprintable() and folder not in str(error)
        else:
            described = got["user_data"]
            assert splits.train_inputs.shape == (described.train, *described.shape)
            assert splits.test_inputs.dtype == described.dtype
            assert np.isfinite(splits.train_inputs).all()


@given(st.text(max_size=20))
def test_whatever_path_is_given_it_is_found_or_refused(path: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            resolved({"file": path}, "net", Path(folder))
        except (DataFileError, SpecError) as error:
            assert str(error)
