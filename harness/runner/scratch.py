"""Where workers keep what they compile, and what they exchange with the harness, while a task runs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.paths import cache_folder
from harness.runner.context import Task
from workloads import init
from workloads.errors import UserError

_LETTERS = r"\w@%+=:,.~\-"
"""Letters that compilers take as they are: some frameworks put paths into commands without quotes."""

_PLAIN = re.compile(rf"[{_LETTERS}/]+", re.ASCII)


@contextlib.contextmanager
def scratch(run: Path, name: str) -> Iterator[Path]:
    """Yield a fresh folder called `name`, in the run's folder where code can be compiled there.

    Else it is in the folder for temporary files or in the cache; where no place will do, it is in the
    run's folder all the same, and modes that compile say what they lack.
    """
    shutil.rmtree(run / "scratch", ignore_errors=True)  # a run that was killed left it
    if compiles_in(run):
        parent = run / "scratch"
    else:
        parent = Path(tempfile.mkdtemp(prefix="samestep-", dir=_elsewhere() or run))
    folder = parent / plain_name(name)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(parent, ignore_errors=True)


def write_start(task: Task, seed: int | None = None) -> dict[str, str]:
    """Write start weights and batch order as .npy files, once for everyone; return their sha256.

    They are of the workload's own seed, or of `seed`.
    """
    folder, workload = task.start_of(seed), task.seeded(seed)
    folder.mkdir()
    examples = len(task.arrays.open("train_labels"))
    arrays: dict[str, NDArray] = {**init.start_weights(workload)}
    arrays["order"] = init.batch_order(workload, examples, task.steps)
    hashes = {}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
        hashes[name] = hashlib.sha256(array.tobytes()).hexdigest()
    return hashes


def plain_name(name: str) -> str:
    """A name for a folder, of letters that compilers take as they are."""
    return re.sub(rf"[^{_LETTERS}]", "_", name, flags=re.ASCII)


def compiles_in(folder: Path) -> bool:
    """Whether compiled code can be kept in a folder: no `noexec` mount, no blank in its path."""
    path = folder.resolve()
    return bool(_PLAIN.fullmatch(str(path))) and not _is_noexec(path)


def _elsewhere() -> Path | None:
    places = [Path(tempfile.gettempdir())]
    with contextlib.suppress(UserError):
        places.append(cache_folder())
    return next((place for place in places if place.is_dir() and compiles_in(place)), None)


def _is_noexec(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_NOEXEC)
