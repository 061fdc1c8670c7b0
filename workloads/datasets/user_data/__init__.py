"""Data of the user's own: files that a workload names, in place of a data set of samestep's.

The files are looked at when the workload is read: shapes, labels and classes are checked then, and
`UserData` holds what anybody else needs to know. So a worker, a node of a cluster or a report needs
neither the files nor their path. The numbers are read, checked one by one, and put into the cache of
arrays when they are needed first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from workloads.datasets import array_cache
from workloads.datasets.contract import Splits
from workloads.datasets.splitting import stratified
from workloads.datasets.user_data import arrays, checks, images, tables
from workloads.datasets.user_data.records import (
    MOST_BYTES,
    NAME_BYTES,
    DataFileError,
    Options,
    Outline,
    Reader,
    UserData,
)
from workloads.reading import SpecError, nearest, read

__all__ = ["KEYS", "DataFileError", "Options", "Source", "UserData", "resolved"]

KEYS = tuple(field.name for field in fields(Options))
"""The keys of [data] that go with `file`, and with no `dataset`."""

_ANYWHERE = ("file", "test", "split_seed")
"""Those that go with files of every kind."""

_LAYOUT = 1  # raise it when the same files are to be read differently: other arrays, another hash

_READERS: tuple[Reader, ...] = (arrays, tables, images)


@dataclass(frozen=True)
class Source:
    """Where the files are, how they are read, and the sha256 of each, by its name."""

    path: Path
    options: Options
    hashes: Mapping[str, str]

    @property
    def name(self) -> str:
        """The file's name, or the folder's with a slash."""
        return self.path.name + ("/" if self.path.is_dir() else "")

    @property
    def sha256(self) -> dict[str, str]:
        """What a result has of the hashes: a folder of many files has one, and none of them is named."""
        if self.path.is_file():
            return {f"source/{self.name}": digest for digest in self.hashes.values()}
        words = json.dumps(sorted(self.hashes.items()))
        return {f"source/{self.name}": hashlib.sha256(words.encode()).hexdigest()}

    @property
    def identity(self) -> str:
        """One hash of the files' contents and of how they are read."""
        how = {key: value for key, value in asdict(self.options).items() if key != "file"}
        contents = sorted(self.hashes.items()) if self.path.is_dir() else [*self.hashes.values()]
        words = json.dumps([_LAYOUT, contents, how], sort_keys=True)
        return hashlib.sha256(words.encode()).hexdigest()

    def read(self, identity: str) -> Splits:
        """Read everything. Raises DataFileError, also where the files are not those of `identity`."""
        try:
            splits = self._splits()
            present = replace(self, hashes=_hashes(self.path, self._reader()))
        except MemoryError as error:
            raise DataFileError(f"{self.name}: needs more memory than there is") from error
        except OSError as error:
            raise DataFileError(f"{self.name}: cannot be read: {error.strerror}") from error
        if present.identity != identity:
            raise DataFileError(f"{self.name}: changed since the workload was read: run again")
        return splits

    def _splits(self) -> Splits:
        reader, outline = self._reader(), self._outline()
        labels = outline.labels
        if "all" not in labels:
            train, test = (
                reader.inputs(self.path, self.options, part, None) for part in ("train", "test")
            )
            return Splits(train, labels["train"], test, labels["test"])
        rows = self._rows(outline)
        inputs = reader.inputs(self.path, self.options, "all", np.concatenate(rows))
        train, test = np.split(inputs, [len(rows[0])])
        return Splits(train, labels["all"][rows[0]], test, labels["all"][rows[1]])

    def look(self) -> UserData:
        """Look at the files, and check all but the inputs' numbers. Raises DataFileError."""
        outline = self._outline()
        if "all" in outline.labels:
            sizes = [*map(len, self._rows(outline))]
            words = f"test = {self.options.test:g} by split_seed {self.options.split_seed or 0}"
        else:
            sizes = [len(outline.labels[part]) for part in ("train", "test")]
            words = "train and test given apart"
        return UserData(
            sha256=self.identity,
            shape=outline.shape,
            classes=outline.classes,
            train=sizes[0],
            test=sizes[1],
            dtype=outline.dtype,
            source=f"the user's own files, {words}",
        )

    def _reader(self) -> Reader:
        return _reader_of(self.path, self.name)

    def _outline(self) -> Outline:
        outline = self._reader().outline(self.path, self.options)
        checks.check_classes(outline.classes, self.name)
        if "all" in outline.labels and self.options.test is None:
            raise DataFileError(
                f"{self.name}: say which part of it is the test's, as test = 0.2; or give train and"
                " test apart"
            )
        for key in ("test", "split_seed"):
            if "all" not in outline.labels and getattr(self.options, key) is not None:
                raise DataFileError(f"{self.name}: has train and test apart: leave {key} out")
        if "test" in outline.labels:
            checks.check_test(outline.labels["test"], outline.classes, f"{self.name}: test_labels")
        return outline

    def _rows(self, outline: Outline) -> tuple[Any, Any]:
        """The rows of train and test. Raises DataFileError where one has none, or lacks a class."""
        labels, share = outline.labels["all"], self.options.test or 0.0
        train, test = stratified(labels, share, self.options.split_seed or 0)
        if not len(train) or not len(test):
            raise DataFileError(
                f"{self.name}: test = {share:g} of {len(labels):,} examples leaves {len(train):,} to"
                f" train and {len(test):,} to test"
            )
        counts = np.bincount(labels, minlength=len(outline.classes))
        trained = np.bincount(labels[train], minlength=len(outline.classes))
        if (lacking := np.flatnonzero((counts > 0) & (trained == 0))).size:
            number = lacking[0]
            raise DataFileError(
                f"{self.name}: class {outline.classes[number]} has {counts[number]} examples, and"
                " the split leaves none of them to train: give it more, or another split_seed"
            )
        return train, test


def _reader_of(path: Path, name: str) -> Reader:
    for reader in _READERS:
        if reader.reads(path):
            return reader
    raise DataFileError(
        f"{name}: of no kind that is read; allowed: .npz, .csv, a folder of .npy, of train.csv and"
        " test.csv, or of images by class"
    )


def resolved(
    table: Mapping[str, Any], where: str, folder: Path
) -> tuple[dict[str, Any], Source | None]:
    """Put what is in the user's files in the place of the keys of [data] that name them.

    Other tables stay as they are. A table that has both was resolved before, where the files are: they
    may be absent, and have to be the same if not.

    Raises:
        SpecError: keys of a `dataset` and of files together, or a wrong one; `where` begins it.
        DataFileError: the files are not there, or not what they have to be.
    """
    keys = [key for key in KEYS if key in table]
    plain = {key: value for key, value in table.items() if key not in KEYS}
    if "user_data" in plain:
        plain["user_data"] = read(UserData, plain["user_data"], f"{where}: user_data")
        _check_name(str(plain.get("dataset", "")))
        checks.check_classes(plain["user_data"].classes, "user_data")
    if not keys:
        return plain, None
    if "file" not in table:
        raise SpecError(f'{where}: {keys[0]} goes with file = "...", and with no data set')
    before = plain.pop("user_data", None)
    if before is None and "dataset" in plain:
        raise SpecError(f"{where}: dataset and file exclude each other: leave one out")
    options = read(Options, {key: table[key] for key in keys}, where)
    if before is not None and not _is_there(folder / options.file):
        return {**plain, "user_data": before}, None
    present, source = _resolve(options, folder)
    if before is not None and present != before:
        raise DataFileError(f"{source.name}: changed since the matrix was planned: plan it again")
    return {**plain, "dataset": source.name, "user_data": present}, source


def _resolve(options: Options, folder: Path) -> tuple[UserData, Source]:
    """Find the files, from `folder` on, and look at them. Raises DataFileError."""
    path = _find(options.file, folder)
    name = path.name
    reader = _reader_of(path, name)
    for key in KEYS:
        if getattr(options, key) is not None and key not in (*_ANYWHERE, *reader.KEYS):
            allowed = ", ".join(sorted(reader.KEYS))
            raise DataFileError(f"{name}: takes no {key}, but {allowed}")
    try:
        source = Source(path, options, _hashes(path, reader))
        return source.look(), source
    except MemoryError as error:
        raise DataFileError(f"{name}: needs more memory than there is") from error
    except OSError as error:
        raise DataFileError(f"{name}: cannot be read: {error.strerror}") from error


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _check_name(name: str) -> None:
    if not name.isprintable() or not 0 < len(name.encode()) <= NAME_BYTES:
        raise DataFileError(
            f"file {name[:40]!a}: its name has to be printable, of {NAME_BYTES} bytes at most"
        )


def _find(file: str, folder: Path) -> Path:
    try:
        path = folder.absolute() / Path(file).expanduser()
        path = path.resolve() if path.name == ".." else path
        is_there, is_link = path.exists(), path.is_symlink()
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataFileError(f"file = {file[:40]!r}: cannot be a path: {reason}") from error
    _check_name(path.name)
    if not is_there:
        beside: list[str] = []
        with suppress(OSError):
            beside = [entry.name for entry in path.parent.iterdir()]
        link = ", but a link to none" if is_link else ""
        raise DataFileError(
            f"file = {file!r}: no such file or folder{link}{nearest(path.name, beside)}; it is looked"
            " for from the workload's folder on"
        )
    if not path.is_dir() and not path.is_file():
        raise DataFileError(f"{path.name}: is neither a file nor a folder")
    return path


def _hashes(path: Path, reader: Reader) -> dict[str, str]:
    """The sha256 of each file.

    Raises DataFileError where one is a pipe or a device, or they are too large; OSError.
    """
    files = reader.files(path)
    for name, file in files.items():
        if file.exists() and not file.is_file():  # to open a pipe would wait for ever
            raise DataFileError(f"{path.name}: {name}: is no regular file: put one in its place")
    if (size := sum(file.stat().st_size for file in files.values())) > MOST_BYTES:
        raise DataFileError(f"{path.name}: {size:,} bytes; at most {MOST_BYTES:,} are read")
    return {name: array_cache.digest(file) for name, file in files.items()}
