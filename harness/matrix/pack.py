"""What units need and never make: environments and data, prepared once, and packed for other disks.

A pack is one tar with the plan, the environments and the data. A node unpacks it to its own disk once,
and all units that run there use that.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.environments import builder, variants
from harness.environments.framework_spec import FrameworkSpec
from harness.machine import devices, node
from harness.matrix.plan import PLAN, Plan, Unit
from harness.matrix.reading import MatrixError, as_list, require_file
from harness.paths import cache_folder, expanded, project_root
from harness.results import serialise
from workloads import datasets, spec
from workloads.places import program

PACK = "pack.tar"
_CACHE, _MATRIX = "cache", "matrix"
_SHARED_PARTS = ("locks", "refs")
"""Of the cache: locks of other releases and adapters of other commits; all, for they are small."""


def prepare(plan: Plan, report: builder.Report) -> list[Path]:
    """Make every environment and data set of a matrix ready; return their folders in the cache.

    Raises MatrixError with all that cannot be had.
    """
    folders, problems = set(), []
    for kind in sorted({devices.kind(unit.device) for unit in plan.units}):
        results = builder.prepare_all(_specs(plan, kind), kind, report=report)
        for label, result in results.items():
            if isinstance(result, builder.Unavailable):
                problems.append(f"{label} on {kind}: {result}")
            else:
                folders.add(result.python.parent.parent)
    for name, seed in sorted({(unit.workload, unit.seed) for unit in plan.units}, key=str):
        try:
            folders.add(_data(plan, name, seed))
        except datasets.DatasetError as error:
            problems.append(str(error))
    if problems:
        raise MatrixError("; ".join(dict.fromkeys(problems)))
    return sorted(folders)


def require_environments(plan: Plan, unit: Unit) -> None:
    """Raise MatrixError where an environment of a unit is not there: a unit builds none."""
    kind = devices.kind(unit.device)
    for framework_spec in _specs(plan, kind):
        if not builder.stands(framework_spec, kind):
            raise MatrixError(
                f"{framework_spec.label}: no environment in {cache_folder()} whose Python is on this"
                f" machine, and a unit builds none: run `{program()} matrix prepare` where units find"
                " it, or give them a pack"
            )


def write(plan: Plan, folders: list[Path]) -> Path:
    """Write the pack of a prepared matrix into its folder, whole; return its path."""
    path, cache = plan.folder / PACK, cache_folder()
    draft = path.with_name(f".{PACK}")
    parts = [*folders, *(cache / name for name in _SHARED_PARTS if (cache / name).is_dir())]
    with tarfile.open(draft, "w") as tar:
        for name in (PLAN, "workloads"):
            if (plan.folder / name).exists():
                tar.add(plan.folder / name, f"{_MATRIX}/{plan.name}/{name}")
        for part in parts:
            tar.add(part, f"{_CACHE}/{part.relative_to(cache)}")
    draft.replace(path)
    return path


def unpacked(path: Path) -> Path:
    """The cache of a pack on this machine's own disk, unpacked by the first that asks."""
    return _unpack(path) / _CACHE


def matrix_of(path: Path) -> Path:
    """The folder of a pack's matrix on this machine's own disk."""
    (folder,) = (_unpack(path) / _MATRIX).iterdir()
    return folder


def _unpack(path: Path) -> Path:
    try:
        state = path.stat()
    except OSError as error:
        raise MatrixError(
            f"{path}: no pack: {error.strerror}; make it with `prepare --pack`"
        ) from error
    require_file(path)
    mark = serialise.digest([str(path.absolute()), state.st_size, state.st_mtime_ns], 12)
    place = node.scratch() / f"samestep-pack-{os.getuid()}-{mark}"
    with _held(place.with_name(f"{place.name}.lock")):
        if not place.exists():
            draft = place.with_name(f"{place.name}.part")
            shutil.rmtree(draft, ignore_errors=True)
            try:
                with tarfile.open(path) as tar:
                    tar.extractall(draft, filter="tar")
            except (tarfile.TarError, OSError) as error:
                shutil.rmtree(draft, ignore_errors=True)
                raise MatrixError(
                    f"{path}: cannot be unpacked to {place.parent}: {error}"
                ) from error
            draft.rename(place)
    return place


@contextmanager
def _held(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _specs(plan: Plan, kind: str) -> list[FrameworkSpec]:
    """The frameworks of a matrix that have an environment of ours on a kind of device."""
    root = project_root()
    chosen = variants.choose(as_list(plan.always.get("framework")) or ["all"], root)
    pythons = [str(word).partition("=")[0] for word in as_list(plan.always.get("interpreter"))]
    supplied = variants.choose(pythons, root) if pythons else {}
    return [
        framework_spec
        for label, framework_spec in chosen.items()
        if label not in supplied and kind in framework_spec.devices
    ]


def _data(plan: Plan, name: str, seed: int | None) -> Path:
    """Make a workload's data ready; return its folder. Raises DatasetError."""
    workload = spec.load(plan.workload(name))
    workload = workload if seed is None else workload.with_data(seed=seed)
    data_dir = plan.always.get("data-dir")
    return datasets.prepare(
        workload.dataset,
        cache_folder() / "datasets",
        seed=workload.data.seed,
        data_dir=Path(expanded(data_dir)) if data_dir else None,
        synthetic=plan.always.get("data") == "synthetic",
    ).folder
