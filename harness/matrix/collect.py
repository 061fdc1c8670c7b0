"""Units from machines that share no disk: each comes back as one tar, and is put into the matrix."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

from harness.matrix import folders
from harness.matrix.folders import DONE, UnitFolder
from harness.matrix.plan import Plan
from harness.matrix.reading import MatrixError, require_file
from harness.matrix.stored import DoneTable

_HIDDEN = "."


def hand_back(plan: Plan, number: int, tar_file: Path) -> None:
    """Write all that there is of the unit of that number to `tar_file`, whole. Raises OSError."""
    folder = UnitFolder(plan.folder, number).folder
    draft = tar_file.with_name(f"{_HIDDEN}{tar_file.name}")
    with tarfile.open(draft, "w") as tar:
        tar.add(folder, f"{plan.name}/{folder.name}")
    draft.replace(tar_file)


def collect(plan: Plan, tar_files: Iterable[Path]) -> int:
    """Put what came back into the matrix; return how many units got a result by it.

    Raises:
        MatrixError: a file is no such tar, or is of another matrix.
    """
    return sum(_collect(plan, tar_file) for tar_file in tar_files)


def _collect(plan: Plan, tar_file: Path) -> bool:
    require_file(tar_file)
    draft = Path(tempfile.mkdtemp(prefix=".collect-", dir=plan.folder))
    try:
        with tarfile.open(tar_file) as tar:
            tar.extractall(draft, filter="data")  # what comes from outside stays inside
        units = [*draft.glob("*/*")]
        if len(units) != 1 or not units[0].name.isdecimal():
            raise MatrixError(
                "holds no folder MATRIX/NUMBER alone, as `unit --hand-back` writes it"
            )
        (unit,) = units
        if unit.parent.name != plan.name:
            raise MatrixError(f"is of {unit.parent.name}, and this matrix is {plan.name}")
        plan.unit(int(unit.name))
        result = folders.result(unit / DONE)
    except (tarfile.TarError, MatrixError, OSError) as error:
        reason = str(error).replace(f"{draft}/", "")
        raise MatrixError(f"{tar_file}: no tar of a unit: {reason}") from error
    else:
        return _adopt(UnitFolder(plan.folder, int(unit.name)), unit, result)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _adopt(folder: UnitFolder, unit: Path, result: DoneTable | None) -> bool:
    """Move a unit's attempts into its folder, and let its result count if it is the first."""
    attempts = folder.folder / "attempts"
    attempts.mkdir(parents=True, exist_ok=True)
    for attempt in sorted((unit / "attempts").glob("*")):
        if not (attempts / attempt.name).exists():
            attempt.rename(attempts / attempt.name)
    return result is not None and folders.publish(folder.target, result)
