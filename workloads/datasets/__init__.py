"""The data that workloads train on: found, fetched, checked, decoded, and shared memory-mapped.

Every module of this folder that offers a `DATASET` is a dataset. Arrays are kept in a cache folder
that the caller names:

    <cache>/<name>/<source>/            the arrays of one source: "embedded", "official", ...
    <cache>/<name>/*.part               a download that is not complete
    <cache>/user-data/<hash>/arrays/    the arrays of files of a user's own

What can be made again is made again where it is found broken; what was fetched is not.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import pkgutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from workloads.datasets import array_cache
from workloads.datasets.contract import (
    PARTS,
    Arrays,
    Dataset,
    DatasetCorrupt,
    DatasetError,
    DatasetMissing,
    DownloadFailed,
    Embedded,
    Filed,
    Finding,
    Progress,
    Seeded,
    Splits,
    State,
    UserFiles,
)
from workloads.datasets.download import download_file, lock
from workloads.datasets.synthetic import draw as draw_synthetic
from workloads.datasets.unpack import unpack
from workloads.places import program

__all__ = [
    "PARTS",
    "Arrays",
    "Dataset",
    "DatasetCorrupt",
    "DatasetError",
    "DatasetMissing",
    "DownloadFailed",
    "Finding",
    "State",
    "describe",
    "fetch",
    "names",
    "prepare",
    "state",
    "user_data_folders",
    "verify",
    "verify_user_data",
]


USER_DATA = "user-data"
"""The folder of the cache with the arrays of users' own files, each under its hash."""

_OFFICIAL = "official archive"


@dataclass(frozen=True)
class _Source:
    """One way to a dataset's arrays: where they are kept, and how they are made."""

    folder: Path
    words: str
    make: Callable[[], Splits]
    sha256: dict[str, str] = field(default_factory=dict)  # of the files that `make` reads


def _found() -> dict[str, Dataset]:
    """Every dataset of this folder, by name."""
    modules = (f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__))
    offered = (getattr(importlib.import_module(name), "DATASET", None) for name in modules)
    return {dataset.name: dataset for dataset in offered if dataset is not None}


def names() -> list[str]:
    """All datasets' names, sorted."""
    return sorted(_found())


def describe(name: str) -> Dataset:
    """The dataset of that name; raises DatasetMissing, with the nearest right name."""
    available = _found()
    if name not in available:
        near = difflib.get_close_matches(name, available, n=1)
        hint = f", did you mean {near[0]!r}?" if near else "."
        raise DatasetMissing(f"no dataset {name!r}{hint} There are: {', '.join(sorted(available))}")
    return available[name]


def state(name: str, cache: Path, data_dir: Path | None = None) -> State:
    """Whether `prepare` can work now, and one line about it. Reads no data: it is quick."""
    dataset = describe(name)
    if isinstance(dataset.origin, Embedded):
        return State(True, "embedded")
    if not isinstance(dataset.origin, Filed):
        return State(True, "made from the seed")
    if data_dir is not None:
        try:
            return State(True, f"read from {_locate(dataset, dataset.origin, data_dir)}")
        except DatasetMissing as error:
            return State(False, f"absent: {error}")
    if (_official(dataset, cache) / "meta.json").is_file():
        return State(True, f"{_OFFICIAL}, fetched")
    return State(False, f"absent: {_advice(dataset)}")


def prepare(
    dataset: str | Dataset,
    cache: Path,
    *,
    seed: int,
    data_dir: Path | None = None,
    synthetic: bool = False,
) -> Arrays:
    """The dataset's arrays, made where they are not there yet, every byte checked where they are.

    `dataset` is a name, or what describes data of the user's own, which has none.

    `data_dir` holds the published files; it is passed by for datasets that read no files.
    `synthetic` gives stand-ins of the same shapes. Raises DatasetMissing, DatasetCorrupt.
    """
    dataset = describe(dataset) if isinstance(dataset, str) else dataset
    source = _source(dataset, cache, seed, data_dir, synthetic)
    try:
        if (arrays := array_cache.get(source.folder)) is not None:
            return arrays
    except DatasetCorrupt as error:
        if source.folder == _official(dataset, cache):
            raise DatasetCorrupt(f"{error}; run `{program()} data fetch {dataset.name}`") from error
    label = array_cache.Label(source.words, source.sha256)
    return array_cache.put(source.folder, dataset, label, source.make())


def fetch(name: str, cache: Path, progress: Progress | None = None) -> None:
    """Download, check, unpack and decode what is published, unless it is here already, whole.

    `progress` is called with (bytes done, bytes in all). Nothing happens for datasets that need
    no download. Raises DownloadFailed, DatasetCorrupt.
    """
    dataset = describe(name)
    if not isinstance(dataset.origin, Filed):
        return
    try:
        with lock(cache / name / ".fetch.lock"):
            _fetch(dataset, dataset.origin, cache, progress)
    except OSError as error:
        raise DownloadFailed(f"{name}: {error}; is the disk full or read-only?") from error


def verify(name: str, cache: Path, data_dir: Path | None = None) -> list[Finding]:
    """Hash again every array of the dataset in the cache, and check `data_dir`'s files.

    Empty where there is nothing to verify yet.
    """
    dataset = describe(name)
    findings = [_verified(meta.parent) for meta in sorted((cache / name).glob("[!.]*/meta.json"))]
    if data_dir is not None and isinstance(dataset.origin, Filed):
        try:
            folder = _locate(dataset, dataset.origin, data_dir)
            _hashes(folder, dataset.origin)
            dataset.origin.read(folder)
            findings.append(Finding(data_dir, True, "every record as the layout has it"))
        except DatasetError as error:
            findings.append(Finding(data_dir, False, str(error)))
    return findings


def user_data_folders(cache: Path) -> list[Path]:
    """Where arrays of users' own files stand; `array_cache.get` opens them."""
    return [meta.parent for meta in sorted((cache / USER_DATA).glob("*/[!.]*/meta.json"))]


def verify_user_data(cache: Path) -> list[Finding]:
    """Hash again every array of users' own files in the cache."""
    return [_verified(folder) for folder in user_data_folders(cache)]


def _verified(folder: Path) -> Finding:
    try:
        arrays = array_cache.get(folder)
    except DatasetCorrupt as error:
        return Finding(folder, False, str(error))
    return Finding(folder, True, arrays.source if arrays else "removed")


def _source(
    dataset: Dataset, cache: Path, seed: int, data_dir: Path | None, synthetic: bool
) -> _Source:
    """Which arrays are asked for. Raises DatasetMissing where `data_dir` lacks the files."""
    room, origin = _room(dataset, cache), dataset.origin
    if synthetic:
        words = f"synthetic, made from seed {seed}"
        return _Source(room / f"synthetic-{seed}", words, partial(draw_synthetic, dataset, seed))
    if isinstance(origin, Embedded):
        return _Source(room / "embedded", "embedded", origin.load)
    if isinstance(origin, Seeded):
        return _Source(room / f"seed-{seed}", f"made from seed {seed}", partial(origin.draw, seed))
    if isinstance(origin, UserFiles):
        if origin.files is None:
            return _Source(room / "arrays", origin.words, partial(_elsewhere, dataset, room))
        read = partial(origin.files.read, origin.identity)
        return _Source(room / "arrays", origin.words, read, dict(origin.files.sha256))
    if data_dir is None:
        return _Source(_official(dataset, cache), _OFFICIAL, partial(_absent, dataset))
    folder = _locate(dataset, origin, data_dir)
    sha256 = _hashes(folder, origin)
    identity = hashlib.sha256("".join(sha256.values()).encode()).hexdigest()[:16]
    return _Source(room / f"data-dir-{identity}", "data-dir", partial(origin.read, folder), sha256)


def _fetch(dataset: Dataset, origin: Filed, cache: Path, progress: Progress | None) -> None:
    """`fetch` for a dataset of published files; call it under the lock."""
    room, folder = cache / dataset.name, _official(dataset, cache)
    with suppress(DatasetCorrupt):  # which is replaced
        if array_cache.get(folder) is not None:
            return
    _download(dataset, origin, room, progress)
    sha256 = {f"source/{source.name}": source.sha256 for source in origin.published}
    try:
        with tempfile.TemporaryDirectory(dir=room, prefix=array_cache.DRAFT) as draft:
            for source in origin.published:
                unpack(room / source.name, source, Path(draft))
            sha256 |= _hashes(Path(draft), origin)
            splits = origin.read(Path(draft))
        array_cache.put(folder, dataset, array_cache.Label(_OFFICIAL, sha256), splits)
    except DatasetCorrupt:
        _remove(origin, room)
        raise
    _remove(origin, room)  # not before: a full disk must not cost the download


def _download(dataset: Dataset, origin: Filed, room: Path, progress: Progress | None) -> None:
    """Fetch one published file after the other; what is here already is checked and not fetched."""
    before = 0
    for source in origin.published:

        def report(done: int, _: int, before: int = before) -> None:
            if progress:
                progress(before + done, dataset.download)

        download_file(source, room / source.name, report)
        before += source.size


def _remove(origin: Filed, room: Path) -> None:
    for source in origin.published:
        (room / source.name).unlink(missing_ok=True)


def _locate(dataset: Dataset, origin: Filed, data_dir: Path) -> Path:
    """The folder with the published files: `data_dir`, or the folder in it that they come in.

    Raises DatasetMissing, which names what is not there.
    """
    best = sorted(origin.files)
    for folder in dict.fromkeys((data_dir, data_dir / origin.folder)):
        missing = [name for name in sorted(origin.files) if not (folder / name).is_file()]
        if not missing:
            return folder
        best = min(best, missing, key=len)
    packed = [source.url for source in origin.published if {*best} & {*source.wanted}]
    raise DatasetMissing(
        f"{dataset.name}: neither {data_dir} nor {origin.folder}/ in it has {', '.join(best)}; "
        f"put there what {', '.join(packed)} holds, or run `{program()} data fetch {dataset.name}`"
    )


def _elsewhere(dataset: Dataset, room: Path) -> Splits:
    """Say what to do where neither arrays nor files of the user's are here; raises DatasetMissing."""
    raise DatasetMissing(
        f"{dataset.name}: its arrays are not in {room}, and its file is not here: prepare the run"
        " where the file is"
    )


def _absent(dataset: Dataset) -> Splits:
    """Say what to do where the official arrays are not here. Always raises DatasetMissing."""
    raise DatasetMissing(f"{dataset.name} is not here: {_advice(dataset)}")


def _advice(dataset: Dataset) -> str:
    """How to get a dataset that is published as files."""
    size = dataset.download / 2**20
    return (
        f"run `{program()} data fetch {dataset.name}` ({size:.0f} MiB), "
        "or give its files with --data-dir"
    )


def _hashes(folder: Path, origin: Filed) -> dict[str, str]:
    """The sha256 of each wanted file, as "source/<file>"; of another size, none is read.

    A file that is published as it is has to be that very file. Raises DatasetCorrupt.
    """
    for name, expected in origin.files.items():
        if (size := (folder / name).stat().st_size) != expected:
            raise DatasetCorrupt(f"{folder / name}: {size:,} bytes, expected {expected:,}")
    sha256 = {name: array_cache.digest(folder / name) for name in sorted(origin.files)}
    for source in origin.published:
        if (got := sha256.get(source.name, source.sha256)) != source.sha256:
            raise DatasetCorrupt(
                f"{folder / source.name}: sha256 is {got}, expected {source.sha256},"
                f" as {source.url} has"
            )
    return {f"source/{name}": digest for name, digest in sha256.items()}


def _room(dataset: Dataset, cache: Path) -> Path:
    """Where all of a dataset stands: under its name, or under what it holds, if it is the user's."""
    if isinstance(dataset.origin, UserFiles):
        return cache / USER_DATA / dataset.origin.identity[:16]
    return cache / dataset.name


def _official(dataset: Dataset, cache: Path) -> Path:
    """Where the arrays of the fetched files stand."""
    return cache / dataset.name / "official"
