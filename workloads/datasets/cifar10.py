"""CIFAR-10: 60,000 colour images of 32x32 in ten classes, from the official *binary* archive.

Never from the pickled one: to read a pickle is to run code. The layout, from
https://www.cs.toronto.edu/~kriz/cifar.html: six files of 10,000 records, a record one label byte
(0 to 9) and 3,072 pixel bytes, the red, green and blue planes, each 32 rows of 32.

That page gives the archive's MD5. Its sha256 and its size come from independent public programs
that fetch and check the same archive, and agree.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from workloads.datasets.contract import Archive, Array, Dataset, DatasetCorrupt, Filed, Splits

SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32  # bytes
PER_FILE = 10_000  # records
TRAIN_FILES = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST_FILE = "test_batch.bin"
CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


def encode(images: Array, labels: Array) -> bytes:
    """Records from images (N, 3, 32, 32) uint8 and labels (N,) 0 to 9: the inverse of `decode`."""
    pixels = images.reshape(len(images), -1)
    return np.concatenate([labels.astype(np.uint8)[:, np.newaxis], pixels], axis=1).tobytes()


def decode(
    file: Path, records: int = PER_FILE, label_bytes: int = 1, classes: int = len(CLASSES)
) -> tuple[Array, Array]:
    """One file's images (N, 3, 32, 32) uint8 and labels (N,) int64; the images are views.

    The last of a record's `label_bytes` is the label, below `classes`. Exactly `records` are
    demanded: fewer images are another dataset, and no result on them may be called by its name.
    Raises DatasetCorrupt with the file and the offset of what is wrong.
    """
    record = RECORD - 1 + label_bytes
    try:
        size = file.stat().st_size  # looked at first: it may be more than memory holds
        data = np.fromfile(file, dtype=np.uint8, count=min(size, records * record))
    except OSError as error:
        raise DatasetCorrupt(f"{file}: cannot be read ({error.strerror})") from error
    if size != records * record:
        complete, remainder = divmod(size, record)
        raise DatasetCorrupt(
            f"{file}: {size:,} bytes, expected {records * record:,} ({records:,} records of "
            f"{record:,}); found {complete:,} whole records and {remainder:,} bytes from offset "
            f"{complete * record:,}"
        )
    table = data.reshape(records, record)
    labels = table[:, label_bytes - 1].astype(np.int64)
    wrong = np.flatnonzero(labels >= classes)
    if wrong.size:
        first = int(wrong[0])
        raise DatasetCorrupt(
            f"{file}: label {labels[first]} at offset {first * record + label_bytes - 1:,} "
            f"(record {first:,}), expected 0 to {classes - 1}"
        )
    return table[:, label_bytes:].reshape(records, *SHAPE), labels


def read(folder: Path, records: int = PER_FILE) -> Splits:
    """The folder's six files: 50,000 train and 10,000 test images, in the files' own order.

    inputs (N, 3, 32, 32) uint8, labels (N,) int64. Raises DatasetCorrupt.
    """
    images = np.empty((len(TRAIN_FILES) * records, *SHAPE), dtype=np.uint8)
    labels = np.empty(len(images), dtype=np.int64)
    for i, name in enumerate(TRAIN_FILES):
        rows = slice(i * records, (i + 1) * records)
        images[rows], labels[rows] = decode(folder / name, records)
    return Splits(images, labels, *decode(folder / TEST_FILE, records))


DATASET = Dataset(
    name="cifar10",
    title="CIFAR-10: colour images, 32x32, ten classes",
    shape=SHAPE,
    classes=CLASSES,
    train=len(TRAIN_FILES) * PER_FILE,
    test=PER_FILE,
    dtype="uint8",
    top=255,
    licence=(
        "no licence stated; cite A. Krizhevsky, "
        "Learning Multiple Layers of Features from Tiny Images, 2009"
    ),
    origin=Filed(
        published=(
            Archive(
                url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                size=170_052_171,
                sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                md5="c32a1d4ab5d03f1284b67883e8d87530",
                folder="cifar-10-batches-bin",
                files=dict.fromkeys((*TRAIN_FILES, TEST_FILE), PER_FILE * RECORD),
            ),
        ),
        read=read,
        folder="cifar-10-batches-bin",
    ),
)
