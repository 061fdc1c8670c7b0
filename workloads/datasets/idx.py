"""Gzipped IDX files, the format of MNIST and of the sets that stand in for it.

A file is a header of big-endian 32-bit numbers, 0x803, images, rows, columns, or 0x801, labels, and
then its bytes. Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from workloads.datasets.contract import Array, DatasetCorrupt, Filed, Published, Splits

SHAPE = (1, 28, 28)
CLASSES = 10
TRAIN, TEST = 60_000, 10_000
IMAGES, LABELS = 0x803, 0x801
FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def origin(
    address: str, folder: str, sizes: tuple[int, ...], md5: tuple[str, ...], sha256: tuple[str, ...]
) -> Filed:
    """Return the four files of FILES, in that order, as published at `address`.

    `sizes` are in bytes; `folder` is the one that they often lie in, below a folder of data.
    """
    published = tuple(
        Published(f"{address}/{name}", size, sha, md)
        for name, size, sha, md in zip(FILES, sizes, sha256, md5, strict=True)
    )
    return Filed(published, read, folder)


def read(folder: Path, train: int = TRAIN, test: int = TEST) -> Splits:
    """The folder's four files: inputs (N, 1, 28, 28) uint8, labels (N,) int64 below 10.

    Exactly `train` and `test` examples are demanded. Raises DatasetCorrupt.
    """
    arrays: list[Array] = []
    for images, labels, count in ((*FILES[:2], train), (*FILES[2:], test)):
        pixels = decode(folder / images, (IMAGES, count, *SHAPE[1:]))
        arrays.append(pixels.reshape(count, *SHAPE))
        classes = decode(folder / labels, (LABELS, count)).astype(np.int64)
        if (wrong := np.flatnonzero(classes >= CLASSES)).size:
            first = int(wrong[0])
            raise DatasetCorrupt(
                f"{folder / labels}: label {classes[first]} (number {first:,}), expected 0 to"
                f" {CLASSES - 1}"
            )
        arrays.append(classes)
    return Splits(*arrays)


def encode(kind: int, array: Array) -> bytes:
    """A gzipped IDX file of a uint8 array; `kind` is IMAGES or LABELS: the inverse of `decode`."""
    header = struct.pack(f">{1 + array.ndim}I", kind, *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes(), 1, mtime=0)


def decode(file: Path, header: tuple[int, ...]) -> Array:
    """The bytes of a file that has exactly this `header`: uint8, flat.

    No more is unpacked than that header announces. Raises DatasetCorrupt.
    """
    form = f">{len(header)}I"
    start, size = struct.calcsize(form), int(np.prod(header[1:]))
    try:
        with gzip.open(file) as unpacked:
            content = unpacked.read(start + size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetCorrupt(f"{file}: cannot be unpacked ({error})") from error
    if len(content) >= start and (got := struct.unpack_from(form, content)) != header:
        raise DatasetCorrupt(f"{file}: its header is {_words(got)}, expected {_words(header)}")
    if len(content) != start + size:
        excess = "more" if len(content) > start + size else f"{len(content):,}"
        raise DatasetCorrupt(f"{file}: unpacks to {excess} bytes, expected {start + size:,}")
    return np.frombuffer(content, np.uint8, offset=start)


def _words(header: tuple[int, ...]) -> str:
    magic, *shape = header
    return f"{magic:#x} {'x'.join(map(str, shape))}"
