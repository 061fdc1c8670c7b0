"""What a dataset is: its description, where its arrays come from, and how it can fail.

A module of this folder that offers a `DATASET` is a dataset; nothing else lists it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from workloads.errors import UserError

Array = NDArray[Any]
Progress = Callable[[int, int], None]  # (bytes done, bytes in all)

PARTS = ("train_inputs", "train_labels", "test_inputs", "test_labels")


class DatasetError(UserError):
    """Anything that keeps a dataset from being used; its text is one line for the user."""


class DatasetMissing(DatasetError):
    """The data is not here; the text says what to do."""


class DatasetCorrupt(DatasetError):
    """The data is here and is not what it should be; the text says where and what."""


class DownloadFailed(DatasetError):
    """The data could not be brought here; the text says what to do."""


class Splits(NamedTuple):
    """The arrays in memory: inputs (N, *shape) of the dataset's dtype, labels (N, *label_shape) int64.

    A label a step may be -1: there is nothing to predict there.
    """

    train_inputs: Array
    train_labels: Array
    test_inputs: Array
    test_labels: Array


@dataclass(frozen=True)
class Published:
    """A file on the web that is wanted as it is: where it is, and what it must be."""

    url: str
    size: int  # bytes
    sha256: str
    md5: str

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def wanted(self) -> dict[str, int]:
        """The files that come of it, by name, with the exact size of each in bytes."""
        return {self.name: self.size}


@dataclass(frozen=True)
class Archive(Published):
    """A published gzipped tar, and what is wanted from it."""

    folder: str  # the folder in the archive that holds the files
    files: dict[str, int]  # wanted file -> its exact size in bytes

    @property
    def wanted(self) -> dict[str, int]:
        """The wanted files, by name, with the exact size of each in bytes."""
        return self.files


@dataclass(frozen=True)
class Embedded:
    """Comes with an installed package, or with Python itself: the arrays of the one that made them."""

    load: Callable[[], Splits]


@dataclass(frozen=True)
class Seeded:
    """Made from a seed."""

    draw: Callable[[int], Splits]


@dataclass(frozen=True)
class Filed:
    """Read from published files: fetched, or from a folder of the user's."""

    published: tuple[Published, ...]
    read: Callable[[Path], Splits]  # the folder that holds the files -> arrays
    folder: str = (
        ""  # where the files lie below a folder of the user's, where they do not lie in it
    )

    @property
    def files(self) -> dict[str, int]:
        """Every wanted file, by name, with its exact size in bytes."""
        return {name: size for source in self.published for name, size in source.wanted.items()}


class Files(Protocol):
    """Files of the user's own, at hand."""

    @property
    def sha256(self) -> Mapping[str, str]:
        """Of what is read, as "source/<name>"."""

    def read(self, identity: str) -> Splits:
        """Read them. Raises DatasetError, also where they are not those of that `identity`."""


@dataclass(frozen=True)
class UserFiles:
    """Read from files of the user's own; its arrays stand in the cache under `identity`.

    `files` is None where they are not at hand: then only arrays that were made before are there.
    """

    identity: str
    words: str  # how they are read
    files: Files | None


@dataclass(frozen=True)
class Dataset:
    """One dataset, described. `shape` is one input's: images (C, H, W), points (2,), tokens (steps,).

    `tokens` is how many different tokens its inputs are made of, 0 where they are numbers that measure;
    `label_shape` is one input's labels': () for one, (steps,) for one a step.
    """

    name: str
    title: str
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    train: int  # number of inputs
    test: int
    dtype: str  # of the inputs, by numpy's name
    top: int  # the largest value of an input; synthetic inputs are drawn up to it
    licence: str  # licence and citation, one line
    origin: Embedded | Seeded | Filed | UserFiles
    tokens: int = 0
    label_shape: tuple[int, ...] = ()

    @property
    def download(self) -> int:
        """Bytes to fetch before the first use; 0 for none."""
        if not isinstance(self.origin, Filed):
            return 0
        return sum(source.size for source in self.origin.published)


@dataclass(frozen=True)
class Arrays:
    """Prepared arrays in a folder, which a run and all its workers share, unchanged.

    `sha256` has every .npy file, and each file they were read from as "source/<file>".
    """

    name: str
    folder: Path
    source: str  # "embedded", "made from seed 0", "official archive", "data-dir", "synthetic, ..."
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    sha256: dict[str, str] = field(default_factory=dict)

    @property
    def synthetic(self) -> bool:
        """True where accuracy means nothing."""
        return self.source.startswith("synthetic")

    def open(self, part: str) -> Array:
        """One of PARTS, memory-mapped, read-only."""
        array: Array = np.load(self.folder / f"{part}.npy", mmap_mode="r", allow_pickle=False)
        return array


@dataclass(frozen=True)
class State:
    """Whether a dataset can be used now, and one line about it (what to do, where it cannot)."""

    ready: bool
    note: str

    def __str__(self) -> str:
        return self.note


@dataclass(frozen=True)
class Finding:
    """What verifying one thing found."""

    path: Path
    ok: bool
    note: str
