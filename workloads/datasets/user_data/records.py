"""What is said of data of the user's own: in a workload's file, and once it was looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from workloads.datasets.contract import Array, Dataset, DatasetError, Files, UserFiles
from workloads.reading import number, one_of, text

MOST_BYTES = 2**33
"""Of what is read, unpacked: a file of a few bytes may announce any size."""

NAME_BYTES = 120
"""The most of a file's or a class's name."""


class DataFileError(DatasetError):
    """A file of the user's is not what it has to be; the text begins with its name, not its path.

    What cannot be printed of names and values in it is escaped, so that it is one line anywhere.
    """

    def __init__(self, message: str) -> None:
        super().__init__("".join(c if c.isprintable() else ascii(c)[1:-1] for c in message))


@dataclass(frozen=True)
class Options:
    """The keys of [data] that say how files of the user's are read; None where one is left out."""

    file: str = field(metadata=text(meant="a file's or a folder's path"))
    test: float | None = field(default=None, metadata=number(above=0, below=1))
    split_seed: int | None = field(default=None, metadata=number(low=0))
    layout: str | None = field(default=None, metadata=one_of("nchw", "nhwc"))
    classes: tuple[str, ...] | None = None
    label: str | None = field(default=None, metadata=text())
    size: tuple[int, ...] | None = field(default=None, metadata=number(low=1))
    colour: str | None = field(default=None, metadata=one_of("grey", "rgb"))


@dataclass(frozen=True)
class UserData:
    """What everybody needs to know of the data, and all that a report may show besides its name.

    `sha256` is of the files' contents and of how they are read: the arrays stand under it in the
    cache. `shape` is one example's. `source` says in words how train and test were parted.
    """

    sha256: str = field(metadata=text("[0-9a-f]{64}", "a sha256"))
    shape: tuple[int, ...] = field(metadata=number(low=1))
    classes: tuple[str, ...]
    train: int = field(metadata=number(low=1))
    test: int = field(metadata=number(low=1))
    dtype: str = field(metadata=one_of("uint8", "float32"))
    source: str = field(metadata=text())

    def dataset(self, name: str, files: Files | None) -> Dataset:
        """Describe it as data sets are; `files` are None where they are not here."""
        return Dataset(
            name=name,
            title="data of the user's own",
            shape=self.shape,
            classes=self.classes,
            train=self.train,
            test=self.test,
            dtype=self.dtype,
            top=255 if self.dtype == "uint8" else 1,
            licence="the user's",
            origin=UserFiles(self.sha256, self.source, files),
        )


@dataclass(frozen=True)
class Outline:
    """What files hold, found without reading the inputs.

    `shape` and `dtype` are one input's once it is prepared; `labels` has "train" and "test", or "all".
    """

    shape: tuple[int, ...]
    dtype: str
    classes: tuple[str, ...]
    labels: Mapping[str, Array]


class Reader(Protocol):
    """One way to read files; a module has these names."""

    KEYS: frozenset[str]
    """The options that it knows besides `file`, `test` and `split_seed`."""

    def reads(self, path: Path) -> bool:
        """Whether these are files of its kind."""

    def files(self, path: Path) -> dict[str, Path]:
        """Every file that is read, by what it is called in hashes."""

    def outline(self, path: Path, options: Options) -> Outline:
        """Look at the files. Raises DataFileError."""

    def inputs(self, path: Path, options: Options, part: str, rows: Array | None) -> Array:
        """Read a part's inputs, or some of its `rows`, prepared. Raises DataFileError."""
