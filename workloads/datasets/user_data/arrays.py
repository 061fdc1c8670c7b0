"""Arrays of numpy: a .npz, or a folder of .npy. Never pickled objects: to read one is to run code.

They are `inputs` and `labels`, parted by a seed, or `train_inputs`, `train_labels`, `test_inputs` and
`test_labels`. Inputs are vectors (N, features); sequences (N, steps, features); or, with a `layout`,
images (N, height, width), (N, channels, height, width) or (N, height, width, channels).
"""

from __future__ import annotations

import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from workloads.datasets.contract import PARTS, Array
from workloads.datasets.user_data import checks
from workloads.datasets.user_data.records import DataFileError, Options, Outline

KEYS = frozenset({"layout", "classes"})

WHOLE = ("inputs", "labels")

_BROKEN = (
    ArithmeticError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,  # NotImplementedError and RecursionError are some
    SyntaxError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What the standard library and numpy raise of a file that is damaged, encrypted or of another kind."""


class _Header(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype


def reads(path: Path) -> bool:
    """Whether these are such files."""
    return path.suffix.lower() == ".npz" or (path.is_dir() and any(path.glob("*.npy")))


def files(path: Path) -> dict[str, Path]:
    """The .npz, or every .npy that is read, by name."""
    if not path.is_dir():
        return {path.name: path}
    return {f"{name}.npy": path / f"{name}.npy" for name in _wanted(path)}


def outline(path: Path, options: Options) -> Outline:
    """Look at the headers, and read the labels."""
    wanted = _wanted(path)
    prefixes = [name.removesuffix("inputs") for name in wanted if name.endswith("inputs")]
    headers = {f"{prefix}inputs": _header(path, f"{prefix}inputs") for prefix in prefixes}
    shapes = {name: _shape(header.shape, options, path, name) for name, header in headers.items()}
    dtypes = {
        name: checks.prepared_dtype(header.dtype, f"{path.name}: {name}")
        for name, header in headers.items()
    }
    labels = {}
    for prefix in prefixes:
        inputs, name = f"{prefix}inputs", f"{prefix}labels"
        labels[prefix.removesuffix("_") or "all"] = checks.whole_labels(
            _load(path, name), headers[inputs].shape[0], f"{path.name}: {name}", inputs
        )
    for facts in (shapes, dtypes):
        if len(set(facts.values())) > 1:
            words = ", ".join(f"{name} {fact}" for name, fact in facts.items())
            raise DataFileError(f"{path.name}: train and test examples have to be alike: {words}")
    training = labels["train" if "train" in labels else "all"]
    classes = checks.class_names(training, options.classes, f"{path.name}: {prefixes[0]}labels")
    return Outline(next(iter(shapes.values())), next(iter(dtypes.values())), classes, labels)


def inputs(path: Path, options: Options, part: str, rows: Array | None) -> Array:
    """Read a part's inputs, or some rows of it, channels first, checked number by number."""
    name = "inputs" if part == "all" else f"{part}_inputs"
    header, where = _header(path, name), f"{path.name}: {name}"

    def arranged(piece: Array) -> Array:
        if options.layout and piece.ndim == 3:
            return piece[:, np.newaxis]
        return np.moveaxis(piece, 3, 1) if options.layout == "nhwc" else piece

    dtype = checks.prepared_dtype(header.dtype, where)
    return checks.converted(_load(path, name), rows, dtype, arranged, where)


def _wanted(path: Path) -> tuple[str, ...]:
    """The names of the arrays to read: those of PARTS or of WHOLE. Raises DataFileError."""
    if path.is_dir():
        names = {file.stem for file in path.glob("*.npy")}
    else:
        with _archive(path) as archive:
            members = [name for name in archive.namelist() if name.endswith(".npy")]
            names = {name.removesuffix(".npy") for name in members}
    both = [wanted for wanted in (PARTS, WHOLE) if names >= {*wanted}]
    if len(both) != 1:
        problem = "has both kinds" if both else f"has {', '.join(sorted(names)[:8]) or 'no array'}"
        raise DataFileError(
            f"{path.name}: {problem}; it has to have {' and '.join(WHOLE)}, or {', '.join(PARTS)}"
        )
    return both[0]


def _shape(shape: tuple[int, ...], options: Options, path: Path, name: str) -> tuple[int, ...]:
    """An example's shape as workloads have it. Raises DataFileError."""
    where = f"{path.name}: {name}: has shape {shape}"
    if len(shape) < 2:
        raise DataFileError(f"{where}; expected (N, features): give each example an axis")
    if len(shape) == 4 and not options.layout:
        raise DataFileError(
            f'{where}: images? say layout = "nhwc" (channels last) or layout = "nchw" (channels first)'
        )
    if len(shape) > 4 or (options.layout and len(shape) < 3):
        raise DataFileError(
            f"{where}; expected vectors (N, features), sequences (N, steps, features), or with a"
            " `layout` images (N, h, w), (N, c, h, w) or (N, h, w, c)"
        )
    if not options.layout:
        return shape[1:]
    if len(shape) == 3:
        return (1, *shape[1:])
    return shape[1:] if options.layout == "nchw" else (shape[3], shape[1], shape[2])


def _header(path: Path, name: str) -> _Header:
    """Shape and dtype of an array, without its numbers. Raises DataFileError."""
    with _stream(path, name) as stream:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        else:
            shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    where = f"{path.name}: {name}"
    if dtype.hasobject:
        raise DataFileError(
            f"{where}: holds Python objects, which are never read; allowed: numbers"
        )
    checks.check_size(shape, max(dtype.itemsize, 1), where)
    return _Header(tuple(int(length) for length in shape), dtype)


def _load(path: Path, name: str) -> Array:
    """An array: of a folder memory-mapped, of a .npz in memory. Raises DataFileError."""
    _header(path, name)  # of which no size or kind is left to surprise
    if path.is_dir():
        try:
            mapped: Array = np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        except _BROKEN as error:
            raise DataFileError(f"{path.name}: {name}.npy: {_reason(error)}") from error
        return mapped
    with _stream(path, name) as stream:
        array: Array = np.lib.format.read_array(stream, allow_pickle=False)
        return array


@contextmanager
def _stream(path: Path, name: str) -> Iterator[IO[bytes]]:
    """The bytes of an array's file. What goes wrong while they are read is a DataFileError."""
    with ExitStack() as stack:
        archive = None if path.is_dir() else stack.enter_context(_archive(path))
        try:
            file = f"{name}.npy"
            opened = archive.open(file) if archive else (path / file).open("rb")
            yield stack.enter_context(opened)
        except _BROKEN as error:
            raise DataFileError(f"{path.name}: {name}: cannot be read: {_reason(error)}") from error


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except _BROKEN as error:
        raise DataFileError(f"{path.name}: no .npz of numpy: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """An error in a line, without a path."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(words.split())[:200]
