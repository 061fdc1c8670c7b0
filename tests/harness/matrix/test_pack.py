"""Machines that share no disk: a pack goes there, and a tar of each unit comes back."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from harness.matrix import collect, pack, status
from harness.matrix.folders import UnitFolder
from harness.matrix.reading import MatrixError
from harness.paths import cache_folder
from harness.results import store
from tests.faults.conftest import Shell
from tests.harness.matrix.conftest import matrix_file, planned
from workloads import spec

LABELS = np.arange(40) % 2


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


def test_data_of_ones_own_goes_with_the_pack(toys: Shell, tmp_path: Path) -> None:
    """A real run, on a node that has neither the file nor the cache."""
    mine = tmp_path / "mine"
    mine.mkdir()
    np.savez(mine / "my.npz", inputs=np.random.default_rng(0).random((40, 2)), labels=LABELS)
    text = (spec.CATALOGUE / "mlp-2-3-2.toml").read_text()
    keys = 'file = "my.npz"\ntest = 0.5\nbatch = 4'
    (mine / "net.toml").write_text(re.sub(r'dataset = "xor"\nbatch = \d+', keys, text))
    file = matrix_file(mine)
    file.write_text(file.read_text().replace("mlp-2-3-2", "net.toml"))
    plan = planned(toys, file)
    code, _, errors = toys.run("matrix", "prepare", "--pack")
    assert code == 0, errors
    away = tmp_path / "away"
    away.mkdir()
    shutil.move(plan.folder / "pack.tar", away / "pack.tar")
    shutil.rmtree(mine)
    shutil.rmtree(toys.root / "cache" / "datasets")
    back = f"--hand-back={away}"
    unit = ["matrix", "unit", "0", f"--pack={away / 'pack.tar'}", back]
    code, printed, errors = toys.run(*unit, TMPDIR=str(away))
    assert code == 0 and printed.startswith("unit 0: "), printed + errors
    with tarfile.open(away / "unit-00000.tar") as tar:
        journal = next(name for name in tar.getnames() if name.endswith("events.jsonl"))
        content = tar.extractfile(journal)
        assert content is not None
        events = [json.loads(line) for line in content.read().splitlines()]
    (data,) = (event for event in events if event["event"] == "dataset")
    assert data["name"] == "my.npz" and data["images"] is None
    assert any(event["event"] == "trained" for event in events)
    assert str(mine) not in json.dumps(events)


REAL = """
[always]
framework = ["reference"]
quick = true

[over]
workload = ["mlp-2-3-2"]
"""


@pytest.mark.slow
def test_a_real_environment_runs_where_it_is_unpacked(toys: Shell, tmp_path: Path) -> None:
    """The smallest that there is, on a node that has no other: not even the cache it was built in."""
    away = tmp_path / "away"
    away.mkdir()
    (tmp_path / "real.toml").write_text(REAL)
    plan = planned(toys, tmp_path / "real.toml")
    code, _, errors = toys.run("matrix", "prepare", "--pack", SAMESTEP_CACHE=str(cache_folder()))
    assert code == 0, errors
    shutil.move(plan.folder / "pack.tar", away / "pack.tar")
    plan.folder.rename(tmp_path / "here")
    unit = ["matrix", "unit", "0", f"--pack={away / 'pack.tar'}", f"--hand-back={away}"]
    places = {name: str(away) for name in ("HOME", "TMPDIR", "SAMESTEP_CACHE", "XDG_CACHE_HOME")}
    code, printed, errors = toys.run(*unit, **places)
    assert (code, printed) == (0, "unit 0: done\n"), errors
    (tmp_path / "here").rename(plan.folder)
    assert collect.collect(plan, [away / "unit-00000.tar"]) == 1
    (attempt,) = UnitFolder(plan.folder, 0).attempts()
    (ready,) = store.read(attempt.folder / "run").every("framework-ready")
    assert Path(ready["python"]).is_relative_to(away) and ready["origin"] != "interpreter"


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
        (["NAME/00000/done.json"], r"a.tar: no tar of a unit: \S*/00000/done.json: not JSON"),
        (["NAME/00000/log", "NAME/00001/log"], "no folder MATRIX/NUMBER alone"),
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


def test_a_pipe_is_no_tar_and_is_not_waited_for(shell: Shell, tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe.tar")
    plan = planned(shell, matrix_file(tmp_path))
    with pytest.raises(MatrixError, match="is no regular file"):
        pack.unpacked(pipe)
    with pytest.raises(MatrixError, match="is no regular file"):
        collect.collect(plan, [pipe])
