"""Labels and numbers of the user's own files, checked and made what workloads take."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from workloads.datasets.contract import Array
from workloads.datasets.user_data.records import MOST_BYTES, NAME_BYTES, DataFileError

MOST_CLASSES = 65_536
EXACT = 2**24
"""Whole numbers up to this have a float32 of their own."""

_PIECE_BYTES = 2**26

_SHAPE_HINTS = {True: ": take labels.ravel()", False: ": of one-hot rows take labels.argmax(1)"}
_KIND_HINTS = {
    "f": ': take labels.astype("int64")',
    "U": ": number the classes from 0, and give their names as `classes`",
}


def prepared_dtype(dtype: np.dtype, where: str) -> str:
    """Return what inputs of `dtype` become: uint8 stays and booleans become it, the rest float32.

    Raises DataFileError where they are no numbers.
    """
    if dtype.kind not in "biuf":
        raise DataFileError(f"{where}: holds {dtype}; allowed: whole numbers, floats and booleans")
    return "uint8" if dtype == np.uint8 or dtype.kind == "b" else "float32"


def check_size(shape: Sequence[int], itemsize: int, where: str) -> None:
    """Raise DataFileError where an array of that shape is empty, or too large to be read."""
    count = 1
    for length in shape:
        count *= int(length)  # of Python's: numpy's would run over
    if not count:
        raise DataFileError(f"{where}: has shape {tuple(shape)}: it is empty")
    if count * itemsize > MOST_BYTES:
        raise DataFileError(
            f"{where}: has shape {tuple(shape)}, {count * itemsize:,} bytes; at most {MOST_BYTES:,}"
            " are read"
        )


def converted(
    source: Array,
    rows: Array | None,
    dtype: str,
    arranged: Callable[[Array], Array],
    where: str,
) -> Array:
    """Return `rows` of `source` (all where it is None), `arranged`, in `dtype`, piece by piece.

    Raises DataFileError where a number is not finite or no float32 has it.
    """
    rows = np.arange(len(source)) if rows is None else rows
    first = arranged(source[:1])
    out = np.empty((len(rows), *first.shape[1:]), dtype)
    step = max(1, _PIECE_BYTES // max(1, first.nbytes))
    for start in range(0, len(rows), step):
        piece = rows[start : start + step]
        raw = arranged(source[piece])
        with np.errstate(over="ignore", invalid="ignore"):
            out[start : start + step] = raw
        _check_numbers(raw, out[start : start + step], piece, where)
    return out


def _check_numbers(raw: Array, numbers: Array, rows: Array, where: str) -> None:
    if raw.dtype.kind in "iu" and raw.dtype.itemsize > 2:
        wrong = (raw > EXACT) | (raw < -EXACT)
        need = f"float32 has whole numbers up to {EXACT:,} only: scale them"
    elif raw.dtype.kind == "f":
        wrong = ~np.isfinite(numbers)
        need = "every number has to be finite in float32"
    else:
        return
    if wrong.any():
        place = np.argwhere(wrong)[0]
        value = raw[tuple(place)]
        raise DataFileError(
            f"{where}: {value} in example {rows[place[0]]:,} (at {place[1:].tolist()} of it): {need}"
        )


def whole_labels(labels: Array, examples: int, where: str, inputs: str) -> Array:
    """Return labels as int64 (N,). Raises DataFileError where they are none for `examples` inputs."""
    if labels.shape != (examples,):
        hint = _SHAPE_HINTS.get(labels.shape[1:] == (1,), "") if labels.ndim == 2 else ""
        raise DataFileError(
            f"{where}: has shape {labels.shape}; expected ({examples},), a label for each of"
            f" {inputs}{hint}"
        )
    if labels.dtype.kind not in "biu":
        hint = _KIND_HINTS.get(labels.dtype.kind, "")
        raise DataFileError(f"{where}: holds {labels.dtype}; allowed: whole numbers{hint}")
    if (wrong := np.flatnonzero((labels < 0) | (labels >= MOST_CLASSES))).size:
        raise DataFileError(
            f"{where}: label {labels[wrong[0]]} of example {wrong[0]:,}; allowed: 0 to"
            f" {MOST_CLASSES - 1:,} at most"
        )
    return labels.astype(np.int64)


def class_names(labels: Array, names: Sequence[str] | None, where: str) -> tuple[str, ...]:
    """Return `names`, or the numbers up to the largest of the training `labels`.

    Raises DataFileError where a class has no name or, without names, no example.
    """
    counts = np.bincount(labels)
    if names is None:
        if (gaps := np.flatnonzero(counts == 0)).size:
            raise DataFileError(
                f"{where}: no example has label {gaps[0]}, and the largest is {len(counts) - 1}:"
                " number them from 0 without gaps, or name all classes with `classes`"
            )
        return tuple(map(str, range(len(counts))))
    if len(counts) > len(names):
        raise DataFileError(
            f"{where}: label {len(counts) - 1}, and `classes` names {len(names)}, for 0 to"
            f" {len(names) - 1}"
        )
    return tuple(names)


def check_classes(classes: Sequence[str], where: str) -> None:
    """Raise DataFileError for a single class, and for names that no report could show."""
    if len(classes) < 2:
        raise DataFileError(
            f"{where}: one class only ({', '.join(classes)}): at least two are needed"
        )
    for name in classes:
        if not name.isprintable() or not name.strip() or len(name.encode()) > NAME_BYTES:
            raise DataFileError(
                f"{where}: a class is named {name[:40]!a}: has to be printable, of {NAME_BYTES} bytes"
                " at most"
            )


def check_test(labels: Array, classes: Sequence[str], where: str) -> None:
    """Raise DataFileError where a test label is no class of the training's."""
    if labels.max() >= len(classes):
        raise DataFileError(
            f"{where}: label {labels.max()}; the training's are 0 to {len(classes) - 1}"
        )
