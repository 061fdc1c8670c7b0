"""Where prepared arrays stand: one folder a dataset and source, written once, checked at every use.

    <folder>/train_inputs.npy  train_labels.npy  test_inputs.npy  test_labels.npy  meta.json

A folder appears whole or not at all: it is written as a sibling and renamed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from workloads.datasets.contract import PARTS, Arrays, Dataset, DatasetCorrupt, DatasetError, Splits

LAYOUT = 1  # raise it when the same source is to be decoded differently: old folders are passed by
DRAFT = ".draft-"  # how the names of half-written folders begin
STALE = 6 * 3600.0  # seconds after which a half-written folder was surely left by a killed process


@dataclass(frozen=True)
class Label:
    """What stands on the folder: the source in words, and the hashes of what was read."""

    source: str
    sha256: dict[str, str] = field(default_factory=dict)


def digest(path: Path) -> str:
    """The file's sha256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def put(folder: Path, dataset: Dataset, label: Label, splits: Splits) -> Arrays:
    """Write the arrays; of several processes at once one wins, and all get whole arrays.

    Raises DatasetCorrupt where the arrays are not what the dataset's description says, and
    DatasetError where they cannot be written.
    """
    _conform(dataset, splits)
    try:
        _write(folder, dataset, label, splits)
    except OSError as error:
        raise DatasetError(f"{folder}: {error}; is the disk full or read-only?") from error
    arrays = get(folder)
    if arrays is None:
        raise DatasetCorrupt(f"{folder}: removed by another process while it was made; run again")
    return arrays


def _write(folder: Path, dataset: Dataset, label: Label, splits: Splits) -> None:
    """Write a draft and publish it; nothing of it is left where that fails."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder.parent)
    draft = folder.parent / f"{DRAFT}{folder.name}-{uuid.uuid4().hex}"
    draft.mkdir()
    try:
        sha256 = dict(label.sha256)
        for part, array in zip(PARTS, splits, strict=True):
            file = draft / f"{part}.npy"
            np.save(file, array, allow_pickle=False)
            sha256[file.name] = digest(file)
        meta = {
            "layout": LAYOUT,
            "name": dataset.name,
            "source": label.source,
            "classes": dataset.classes,
            "shape": dataset.shape,
            "sha256": sha256,
        }
        (draft / "meta.json").write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
        _publish(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def get(folder: Path) -> Arrays | None:
    """The arrays in the folder, every byte checked; None where there is no such folder.

    Hashing costs about half a second for CIFAR-10, so that a result names what was really used.
    Raises DatasetCorrupt with the file and both hashes.
    """
    if not folder.is_dir():
        return None
    arrays = peek(folder)
    for part in PARTS:
        file = folder / f"{part}.npy"
        expected = arrays.sha256.get(file.name)
        try:
            got = digest(file)
        except OSError as error:
            raise DatasetCorrupt(f"{file}: cannot be read ({error.strerror})") from error
        if got != expected:
            raise DatasetCorrupt(f"{file}: sha256 is {got}, expected {expected}")
    return arrays


def peek(folder: Path) -> Arrays:
    """What stands in the folder, unchecked. Raises DatasetCorrupt where nothing says so."""
    meta = _meta(folder)
    return Arrays(
        name=meta["name"],
        folder=folder,
        source=meta["source"],
        classes=tuple(meta["classes"]),
        shape=tuple(meta["shape"]),
        sha256=meta["sha256"],
    )


def _meta(folder: Path) -> dict[str, Any]:
    """The folder's meta.json; raises DatasetCorrupt where it is missing or cannot be understood."""
    file = folder / "meta.json"
    try:
        meta: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        missing = {"name", "source", "classes", "shape", "sha256"} - meta.keys()
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise DatasetCorrupt(f"{file}: cannot be read ({error})") from error
    if missing:
        raise DatasetCorrupt(f"{file}: lacks {', '.join(sorted(missing))}")
    return meta


def _conform(dataset: Dataset, splits: Splits) -> None:
    """Raise DatasetCorrupt unless shapes, dtypes and labels are as the description says."""
    sizes = {"train": dataset.train, "test": dataset.test}
    for part, array in zip(PARTS, splits, strict=True):
        split, kind = part.split("_")
        shape = (sizes[split], *(dataset.shape if kind == "inputs" else dataset.label_shape))
        dtype = dataset.dtype if kind == "inputs" else "int64"
        if array.shape != shape or array.dtype != dtype:
            raise DatasetCorrupt(
                f"{dataset.name}: {part} is {array.dtype} {array.shape}, expected {dtype} {shape}"
            )
        lowest = -1 if dataset.label_shape else 0
        if kind == "labels" and (array.min() < lowest or array.max() >= len(dataset.classes)):
            most = len(dataset.classes) - 1
            raise DatasetCorrupt(f"{dataset.name}: {part} leaves {lowest}..{most}")
        if kind == "inputs" and dataset.tokens and array.max() >= dataset.tokens:
            raise DatasetCorrupt(f"{dataset.name}: {part} leaves 0..{dataset.tokens - 1}")


def _publish(draft: Path, folder: Path) -> None:
    """Rename the draft to its place. What stands there already stays if it is whole, else goes."""
    for _ in range(3):
        try:
            draft.rename(folder)
            return
        except OSError:  # a folder that is not empty is in the way
            if not folder.exists():
                raise
        try:
            if get(folder) is not None:
                return
        except DatasetCorrupt:
            broken = folder.with_name(f"{DRAFT}broken-{uuid.uuid4().hex}")
            try:
                folder.rename(broken)
            except FileNotFoundError:  # another process was faster
                continue
            shutil.rmtree(broken, ignore_errors=True)
    raise DatasetCorrupt(f"{folder}: cannot be replaced; remove it by hand")


def _sweep(room: Path) -> None:
    """Remove what killed processes left half written."""
    for draft in room.glob(f"{DRAFT}*"):
        try:
            if time.time() - draft.stat().st_mtime > STALE:
                shutil.rmtree(draft, ignore_errors=True)
        except FileNotFoundError:
            pass
