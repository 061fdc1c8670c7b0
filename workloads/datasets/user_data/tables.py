"""Tables in CSV, read by pandas: a column of labels, and columns of numbers, the features.

One file that is parted by a seed, or a folder with train.csv and test.csv. The first line names the
columns; fields are parted by commas, numbers have a decimal point, the text is UTF-8. Classes are the
texts of the label's column, spaces at their ends left out, in alphabetical order, or in that of their
numbers where all are whole ones. Features are in the order of their columns, in float32. Errors count
rows from 1, below the names.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from workloads.datasets.contract import Array, DatasetMissing
from workloads.datasets.user_data import checks
from workloads.datasets.user_data.records import DataFileError, Options, Outline
from workloads.reading import nearest

KEYS = frozenset({"label"})

MOST_FILE_BYTES = 2**28
"""Of a CSV: its texts take ten times as much while they are read."""

_APART = ("train", "test")


def reads(path: Path) -> bool:
    """Whether these are such files."""
    parts = (path / f"{part}.csv" for part in _APART)
    return path.suffix.lower() == ".csv" or any(part.is_file() for part in parts)


def files(path: Path) -> dict[str, Path]:
    """The file, or both of a folder, by name."""
    return {file.name: file for file in _files(path).values()}


def outline(path: Path, options: Options) -> Outline:
    """Read the tables, all of them, for the labels' sake."""
    tables = {part: _table(file, options) for part, file in _files(path).items()}
    columns = {part: _features(table, options) for part, table in tables.items()}
    if len({tuple(names) for names in columns.values()}) > 1:
        odd = sorted({*columns["train"]} ^ {*columns["test"]}) or ["their order"]
        raise DataFileError(
            f"{path.name}: train.csv and test.csv have to have the same columns; they differ in"
            f" {', '.join(odd[:5])}"
        )
    texts = {part: _labels(table, options, path) for part, table in tables.items()}
    first, *_ = texts.values()
    classes = _classes(first)
    numbers = {name: i for i, name in enumerate(classes)}
    labels = {}
    for part, names in texts.items():
        if unknown := sorted({*names} - {*numbers}):
            raise DataFileError(
                f"{path.name}: {part}.csv: {options.label} is {unknown[0]!r}, which train.csv has not"
            )
        labels[part] = np.array([numbers[name] for name in names], np.int64)
    features, *_ = columns.values()
    return Outline((len(features),), "float32", classes, labels)


def inputs(path: Path, options: Options, part: str, rows: Array | None) -> Array:
    """Read a part's features, or some rows of them: (N, features) float32."""
    file = _files(path)[part]
    table = _table(file, options)
    names = _features(table, options)
    out = np.empty((len(table), len(names)), np.float64)
    for i, name in enumerate(names):
        out[:, i] = _column(table[name], file, name)
    with np.errstate(over="ignore"):
        numbers = out.astype(np.float32)
    if not (finite := np.isfinite(numbers)).all():
        row, column = np.argwhere(~finite)[0]
        raise DataFileError(
            f"{file.name}: row {row + 1}: {names[column]} is {out[row, column]}: every number has to"
            " be finite in float32"
        )
    return numbers if rows is None else numbers[rows]


def _files(path: Path) -> dict[str, Path]:
    if not path.is_dir():
        return {"all": path}
    if lacking := [f"{part}.csv" for part in _APART if not (path / f"{part}.csv").is_file()]:
        raise DataFileError(
            f"{path.name}: lacks {lacking[0]}: give train.csv and test.csv, or name one file"
        )
    return {part: path / f"{part}.csv" for part in _APART}


def _table(file: Path, options: Options) -> Any:
    """The file as pandas has it, the labels as texts."""
    pandas = _pandas()
    if options.label is None:
        raise DataFileError(f'{file.name}: say which column is the label, as label = "species"')
    if (size := file.stat().st_size) > MOST_FILE_BYTES:
        raise DataFileError(
            f"{file.name}: {size:,} bytes; at most {MOST_FILE_BYTES:,} are read of a CSV: give more as"
            " .npz"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)  # of fields left out
            table = _read(pandas, file)
    except UnicodeDecodeError as error:
        raise DataFileError(f"{file.name}: is not in UTF-8: save it as UTF-8") from error
    except pandas.errors.EmptyDataError as error:
        raise DataFileError(f"{file.name}: is empty") from error
    except pandas.errors.ParserWarning as error:
        raise DataFileError(
            f"{file.name}: some row has more fields than there are names"
        ) from error
    except (OSError, ValueError) as error:
        words = " ".join((getattr(error, "strerror", None) or str(error)).split())[:200]
        raise DataFileError(f"{file.name}: no CSV that pandas reads: {words}") from error
    _check_columns(table, file, options.label)
    return table


def _read(pandas: Any, file: Path) -> Any:
    return pandas.read_csv(
        file,
        compression=None,
        dtype=str,  # numbers are read below, as Python reads them, whatever the version of pandas
        encoding="utf-8-sig",
        index_col=False,
        keep_default_na=False,
        low_memory=False,
        na_values=[""],
        skipinitialspace=True,
    )


def _check_columns(table: Any, file: Path, label: str) -> None:
    names = [str(name) for name in table.columns]
    for number, name in enumerate(names, 1):
        if name.startswith("Unnamed: "):
            raise DataFileError(
                f"{file.name}: column {number} has no name: remove it (an index that pandas wrote,"
                " to_csv(index=False) leaves out), or name it"
            )
    if label not in names:
        shown = ", ".join(names)
        shown = shown if len(shown) < 200 else f"{shown[:200]}..."
        hint = "; are its fields parted by commas?" if len(names) == 1 else ""
        raise DataFileError(
            f'{file.name}: no column "{label}"{nearest(label, names)}; it has {shown}{hint}'
        )
    if len(names) == 1:
        raise DataFileError(f"{file.name}: has the column {label} alone, and no features")
    if not len(table):
        raise DataFileError(f"{file.name}: has names of columns and no lines below them")
    checks.check_size((len(table), len(names) - 1), 4, file.name)


def _features(table: Any, options: Options) -> list[str]:
    return [name for name in table.columns if name != options.label]


def _labels(table: Any, options: Options, path: Path) -> list[str]:
    column = table[options.label]
    if (gaps := np.flatnonzero(column.isna().to_numpy())).size:
        raise DataFileError(
            f"{path.name}: row {gaps[0] + 1}: {options.label} is empty: give every row its class"
        )
    texts = [str(value).strip() for value in column]
    fractions = [value for value in texts if re.fullmatch(r"-?\d+\.\d*[1-9]\d*", value)]
    if fractions:
        raise DataFileError(
            f"{path.name}: {options.label} holds numbers like {fractions[0]}: a label names a class; to"
            " predict a number is not possible"
        )
    return texts


def _classes(texts: list[str]) -> tuple[str, ...]:
    names = {*texts}
    if all(re.fullmatch(r"-?\d{1,18}", name) for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def _column(column: Any, file: Path, name: str) -> list[float]:
    """A column's numbers. Raises DataFileError with the row of what is none."""
    numbers = []
    for row, text in enumerate(column, 1):
        try:
            numbers.append(float(text if isinstance(text, float) else text.replace("_", "?")))
        except ValueError as error:
            raise DataFileError(
                f"{file.name}: row {row}: {name} is {text[:40]!r}, no number: features are numbers;"
                " remove the column or the row, or code it as numbers"
            ) from error
        if isinstance(text, float):  # how pandas has what is missing
            raise DataFileError(
                f"{file.name}: row {row}: {name} is empty: features are numbers; fill it, or remove"
                " the column or the row"
            )
    return numbers


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise DatasetMissing(
            f"a CSV is read by pandas, which cannot be imported ({error}): run `pip install pandas`"
        ) from error
    return pandas
