"""What a matrix.toml may say, and the plan that comes of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.commands.matrix.plan import _check
from harness.matrix import plan as planning
from harness.matrix.plan import Plan
from harness.matrix.reading import MatrixError
from tests.damaged import GONE, damaged
from workloads.errors import UserError

GOOD = """
[always]
framework = ["reference"]
quick = true
epochs = 2

[over]
workload = ["mlp-digits", "cnn-digits"]
seed = [0, 1]
device = ["cpu"]

[nodes]
replicates = 3

[options.slurm]
partition = "long"
time = 30
"""


def make(folder: Path, text: str = GOOD) -> Plan:
    file = folder / "my matrix.toml"
    file.write_text(text)
    return planning.make(file, folder / "results", _check)


def test_units_are_the_product_with_replicates_side_by_side(tmp_path: Path) -> None:
    plan = make(tmp_path)
    assert len(plan.units) == 12
    assert [unit.replicate for unit in plan.units[:4]] == [1, 2, 3, 1]
    assert len({*plan.units}) == 12
    assert plan.arguments(plan.units[3]) == [
        "--framework=reference",
        "--quick",
        "--epochs=2",
        "--workload=mlp-digits",
        "--device=cpu",
        "--seed=1",
    ]
    assert plan.slurm == {"partition": "long", "time": 30}


def test_a_plan_is_read_back_and_never_changed(tmp_path: Path) -> None:
    plan = make(tmp_path)
    assert planning.load(plan.folder) == plan
    written = (plan.folder / "plan.json").stat().st_mtime_ns
    assert make(tmp_path) == plan
    assert (plan.folder / "plan.json").stat().st_mtime_ns == written
    other = make(tmp_path, GOOD.replace("[0, 1]", "[0, 2]"))
    assert other.folder != plan.folder and planning.load(plan.folder) == plan


def test_a_workloads_own_file_is_copied_into_the_matrix(tmp_path: Path) -> None:
    catalogue = Path(planning.spec.CATALOGUE) / "mlp-2-3-2.toml"
    (tmp_path / "own.toml").write_text(catalogue.read_text())
    plan = make(tmp_path, '[over]\nworkload = ["own.toml"]\n')
    (tmp_path / "own.toml").unlink()
    (workload,) = (word for word in plan.arguments(plan.units[0]) if "workload" in word)
    assert Path(workload.partition("=")[2]).read_text() == catalogue.read_text()


def test_two_workloads_of_one_name_are_refused(tmp_path: Path) -> None:
    text = (Path(planning.spec.CATALOGUE) / "mlp-2-3-2.toml").read_text()
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "net.toml").write_text(text)
    with pytest.raises(MatrixError, match=r'"b/net.toml": "a/net.toml" is named net too'):
        make(tmp_path, '[over]\nworkload = ["a/net.toml", "b/net.toml"]\n')


def test_a_workload_on_data_of_ones_own_is_copied_with_what_is_in_it(tmp_path: Path) -> None:
    np.savez(tmp_path / "my.npz", inputs=np.zeros((8, 2)), labels=np.arange(8) % 2)
    text = (Path(planning.spec.CATALOGUE) / "mlp-2-3-2.toml").read_text()
    keys = 'file = "my.npz"\ntest = 0.5\nbatch = 2'
    text = re.sub(r'dataset = "xor"\nbatch = \d+', keys, text)
    (tmp_path / "mine.toml").write_text(text)
    before = planning.spec.load(str(tmp_path / "mine.toml"))
    plan = make(tmp_path, '[over]\nworkload = ["mine.toml"]\n')
    path = plan.workload(plan.units[0].workload)
    here = planning.spec.load(path)
    assert here == before and here.files and here.files.path == tmp_path / "my.npz"
    (tmp_path / "my.npz").rename(tmp_path / "other.npz")
    away = planning.spec.load(path)  # as on a node that has no such file
    assert away == before and away.files is None
    np.savez(tmp_path / "my.npz", inputs=np.ones((8, 2)), labels=np.arange(8) % 2)
    with pytest.raises(UserError, match=r"my\.npz: changed since the matrix was planned"):
        planning.spec.load(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[over]\nworkload = ["mlp-digits"]\nframework = ["reference"]', "share a machine"),
        ('[over]\nworkload = ["mlp-digits"]\nmode = ["eager"]', "put it in [always]"),
        ('[over]\nworkload = ["mlp-digits"]\nthreads = [1, 2]', "threads = [1, 2]: units differ"),
        ('[over]\nworkload = ["mlp-digits"]\nseeds = [1]', 'did you mean "seed"'),
        ("[over]\nworkload = []", "workload = []: name at least one"),
        ("[over]\nworkload = [3]", "workload = 3: a workload's name"),
        ('[over]\nworkload = ["mlp-digits"]\nseed = []', "seed = []: name at least one"),
        ('[over]\nworkload = ["mlp-digits"]\nseed = [true]', "seed = true: a whole number"),
        (f'[over]\nworkload = ["mlp-digits"]\nseed = [{2**63}]', f"seed = {2**63}: a whole number"),
        ('[over]\nworkload = ["mlp-digits"]\ndevice = ["gpu"]', 'device = "gpu": cpu, cuda'),
        ('[over]\nworkload = ["mlp-digits"]\ndevice = ["cuda", "cuda:0"]', "is there twice"),
        ("[over]\nseed = [1]", "no workload"),
        ('[over]\nworkload = ["mlp-digit"]', 'did you mean "mlp-digits"'),
        ('[over]\nworkload = ["mlp-digits"]\ndevice = ["auto"]', "auto would hang on the node"),
        ('[over]\nworkload = ["mlp-digits", "mlp-digits"]', "is there twice"),
        ('[over]\nworkload = ["mlp-digits"]\nseed = ["a"]', 'seed = "a": a whole number'),
        ('[over]\nworkload = ["mlp-digits"]\nseed = [-1]', "seed = -1: a whole number from 0"),
        ('[over]\nworkload = ["mlp-digits"]\n[always]\nseed = 1', "belongs in [over]"),
        ('[over]\nworkload = ["mlp-digits"]\n[always]\nout = "x"', "kept in the matrix"),
        (
            '[over]\nworkload = ["mlp-digits"]\n[always]\nfaster = true',
            "faster = true: no option of",
        ),
        ('[over]\nworkload = ["mlp-digits"]\n[always]\nquick = "yes"', 'quick = "yes": true or'),
        ('[over]\nworkload = ["mlp-digits"]\n[always]\nepochs = true', "epochs = true: a value"),
        ('[over]\nworkload = ["mlp-digits"]\n[always]\nepochs = [1, 2]', "one value, not a list"),
        ('[over]\nworkload = ["mlp-digits"]\n[always]\nepochs = 0', "epochs = 0: 0 is not in"),
        ('[over]\nworkload = ["mlp-digits"]\n[always]\nhelp = true', "leave it out"),
        ('[over]\nworkload = ["mlp-digits"]\n[always]\nframework = []', "name at least one"),
        ('[over]\nworkload = ["mlp-digits"]\n[always]\nmode = "egaer"', 'did you mean "eager"'),
        (
            '[over]\nworkload = ["mlp-digits"]\n[always]\nframework = "jax"\nmode = "graph"',
            'on "cpu": no framework asked for has the mode graph',
        ),
        ('[over]\nworkload = ["mlp-digits"]\n[always]\nsteps = 1\nepochs = 1', "give one"),
        ('[over]\nworkload = ["mlp-digits"]\n[always]\nbatch = [4, 8]', "a workload file for each"),
        ('[over]\nworkload = ["mlp-digits"]\n[always]\nthreads = [1, 2]', "give one number"),
        ('[over]\nworkload = ["mlp-digits"]\n[always]\nthreads = "1,2"', "give one number"),
        ('[over]\nworkload = ["mlp-digits"]\n[always]\nseeds = 5', "seed in [over]"),
        ('[over]\nworkload = ["mlp-digits"]\n[always]\nframework = "torch"', "no framework"),
        ('[over]\nworkload = ["mlp-digits"]\n[always]\ndata-dir = "x"', "absolute path"),
        ('[over]\nworkload = ["mlp-digits"]\n[always]\nepochs = {a = 1}', "give a text"),
        (
            '[over]\nworkload = ["mlp-digits"]\n[nodes]\nreplicates = 0',
            "= 0: a whole number from 1",
        ),
        ('[over]\nworkload = ["mlp-digits"]\n[nodes]\nreplicates = true', "a whole number from 1"),
        ('[over]\nworkload = ["mlp-digits"]\n[nodes]\ncount = 1', "count = 1: no key of [nodes]"),
        ('[over]\nworkload = ["mlp-digits"]\n[options]\nslurm = "long"', "write [options.slurm]"),
        ('[over]\nworkload = ["mlp-digits"]\n[options.slurm]\ntime = 1.5', "time = 1.5: a text"),
        ('[over]\nworkload = ["mlp-digits"]\n[options.slurm]\nqos = "a\\nb"', "of one line"),
        ('[over]\nworkload = ["mlp-digits"]\n[options.slurm]\nqos = ""', "of one line"),
        ('[over]\nworkload = ["mlp-digits"]\n[options.slurm]\nmem = 1', "sets it itself"),
        ('[over]\nworkload = ["mlp-digits"]\n[options.slurm]\n"a b" = 1', "without its dashes"),
        ('[over]\nworkload = ["mlp-digits"]\n[options.pbs]\nqueue = 1', "slurm] alone"),
        ('[ever]\nworkload = ["mlp-digits"]', "did you mean"),
        ("over = 1", "write [over]"),
        ("[over", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_written(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UserError) as refusal:
        make(tmp_path, text)
    assert says in str(refusal.value) and "\n" not in str(refusal.value)
    assert str(refusal.value).startswith(f"{tmp_path / 'my matrix.toml'}: ")
    assert not (tmp_path / "results").exists()


def test_a_matrix_is_found_by_name_by_its_beginning_and_as_the_newest(tmp_path: Path) -> None:
    results, plan = tmp_path / "results", make(tmp_path)
    for text in (None, plan.name, plan.name[:12], str(plan.folder)):
        assert planning.resolve(results, text) == plan.folder
    with pytest.raises(MatrixError, match="names 0 matrices"):
        planning.resolve(results, "other")
    with pytest.raises(MatrixError, match="matrix plan FILE"):
        planning.resolve(tmp_path / "nothing", None)


@pytest.mark.parametrize(
    ("text", "says"), [("{", "no plan"), ('{"schema": 99}', "update samestep"), ("[]", "no plan")]
)
def test_a_damaged_plan_is_refused(tmp_path: Path, text: str, says: str) -> None:
    plan = make(tmp_path)
    (plan.folder / "plan.json").write_text(text)
    with pytest.raises(MatrixError, match=says):
        planning.load(plan.folder)


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (("always",), [], "always is '[]', expected an object"),
        (("units",), [None], "units[0] is null"),
        (("units", 0, "workload"), 3, "units[0].workload is '3', expected a text"),
        (("units", 0, "device"), GONE, "units[0].device is missing"),
        (("units", 0, "seed"), "1", "units[0].seed is '1', expected a whole number"),
        (("schema",), None, "schema is null"),
        (("schema",), 7, "has schema 7, this samestep reads 1"),
    ],
)
def test_a_damaged_plan_is_named_with_its_field(
    tmp_path: Path, place: tuple[str | int, ...], value: Any, says: str
) -> None:
    path = make(tmp_path).folder / "plan.json"
    path.write_text(json.dumps(damaged(json.loads(path.read_text()), place, value)))
    with pytest.raises(MatrixError) as caught:
        planning.load(path.parent)
    assert str(caught.value).startswith(f"{path}: ") and says in str(caught.value)


def test_a_plan_that_nests_too_deep_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path).folder / "plan.json"
    path.write_text("[" * 100_000)
    with pytest.raises(MatrixError, match="no plan of a matrix"):
        planning.load(path.parent)
