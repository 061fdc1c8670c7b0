"""Machines that share no disk: a pack goes there, and a tar of each unit comes back."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

import pytest

from harness.matrix import collect, pack, status
from harness.matrix.plan import MatrixError
from tests.faults.conftest import Shell
from tests.harness.matrix.conftest import matrix_file, planned


def test_a_unit_runs_from_a_pack_and_comes_back_as_a_tar(shell: Shell, tmp_path: Path) -> None:
    plan = planned(shell, matrix_file(tmp_path))
    code, printed, errors = shell.run("matrix", "prepare", "--pack")
    assert code == 0 and printed.endswith("pack.tar\n"), errors
    away, back = tmp_path / "away", tmp_path / "back"
    away.mkdir()
    back.mkdir()
    shutil.move(plan.folder / "pack.tar", away / "pack.tar")
    results = plan.folder.parent
    results.rename(tmp_path / "here")

    unit = ["matrix", "unit", "0", f"--pack={away / 'pack.tar'}", f"--hand-back={back}"]
    code, printed, errors = shell.run(*unit, TMPDIR=str(away))
    assert (code, printed) == (0, "unit 0: done\n"), errors
    assert not results.exists()
    assert shell.run(*unit, TMPDIR=str(away))[0] == 0  # done already, from the same unpacked pack
    (unpacked,) = away.glob("samestep-pack-*[!k]")
    assert (unpacked / "cache" / "datasets" / "xor").is_dir()

    (tmp_path / "here").rename(results)
    tar = str(back / "unit-00000.tar")
    code, printed, errors = shell.run("matrix", "collect", tar, tar)
    assert code == 0 and "1 new result" in printed, errors
    assert status.look(plan).counts == {"done": 1}
    assert "1 unit: 1 done" in shell.run("matrix", "report", "--format", "md")[1]


def tar_of(path: Path, *names: str) -> Path:
    with tarfile.open(path, "w") as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    return path


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["../outside"], "no tar of a unit"),
        (["other-1/00000/done.json"], "is of other-1"),
        (["NAME/units/done.json"], "no tar of a unit"),
        (["NAME/00009/done.json"], "no unit 9"),
        ([], "no tar of a unit"),
    ],
)
def test_a_foreign_tar_is_refused(
    shell: Shell, tmp_path: Path, names: list[str], says: str
) -> None:
    plan = planned(shell, matrix_file(tmp_path))
    tar = tar_of(tmp_path / "a.tar", *(name.replace("NAME", plan.name) for name in names))
    with pytest.raises(MatrixError, match=says):
        collect.collect(plan, [tar])
    assert not [*plan.folder.glob(".collect-*")] and not (plan.folder / "units").exists()
    assert not (tmp_path / "outside").exists() and not (plan.folder / "outside").exists()


def test_a_pack_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(MatrixError, match="make it with `prepare --pack`"):
        pack.unpacked(tmp_path / "pack.tar")
