"""Arrays that a worker hands back in files: a broken one may have written anything there."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from harness.runner.process import WorkerFailed

_NUMBERS = "biuf"
"""The kinds of NumPy's types that a tensor may have."""


def array(job: str, path: str) -> NDArray:
    """Read the list of numbers, one or more, that a job left in a file. Raises WorkerFailed."""
    with _readable(job, path):
        values = np.load(path)
        if not isinstance(values, np.ndarray) or values.ndim != 1 or not len(values):
            raise ValueError("it holds no list of numbers")
        return _numbers("it", values)


def arrays(job: str, path: str) -> dict[str, NDArray]:
    """Read the arrays that a job left in a file, by their names. Raises WorkerFailed."""
    with _readable(job, path):
        loaded = np.load(path)
        if isinstance(loaded, np.ndarray):
            raise ValueError("it holds no names")
        with loaded:
            return {name: _numbers(name, loaded[name]) for name in loaded.files}


def _numbers(name: str, values: NDArray) -> NDArray:
    if values.dtype.kind not in _NUMBERS:
        raise ValueError(f"{name} is of type {values.dtype}, not numbers")
    return values


@contextmanager
def _readable(job: str, path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise WorkerFailed("crashed", f"{job}: {path} cannot be read: {error}") from error
