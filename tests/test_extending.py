"""A framework is a folder, a workload a file, a layer a class, a metric a row: shown with toys."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks import expected as expectations

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]

TWIN = '''
"""A framework added by one folder; its maths is the reference's."""

import os

from frameworks.reference.adapter import Reference


class Twin(Reference):
    """The reference under another name."""

    def settings(self) -> dict[str, object]:
        return {**super().settings(), "deterministic": "TWIN" in os.environ}
'''

FLAGS = """
import os


def deterministic():
    return {"variable": os.environ.get("TWIN", "")}


def precision(name):
    return {"products": name}
"""

EXPECTED = """
precisions = ["float32"]
resident = false
deterministic = { off = { variable = "" }, on = { variable = "1" } }

[precision]
float32 = { products = "float32" }
tf32 = { products = "tf32" }
bfloat16 = { products = "bfloat16" }
"""

LOOP = """
def build(mode):
    return lambda batches: [0.0 for _ in batches]
"""

SPEC = """
title = "Twin"
python = "3.11"
package = "numpy"
module = "numpy"
modes = ["plain"]
devices = ["cpu"]

[requirements]
cpu = ["numpy"]

[deterministic]
TWIN = "1"
"""

WORKLOAD = """
title = "A workload added by one file"
loss = "cross-entropy"
layers = [{ kind = "flatten" }, { kind = "dense", units = 10 }]
data = { dataset = "digits", batch = 100, epochs = 1, scale = 16 }
init = { kind = "xavier-normal" }
optimiser = { kind = "sgd", lr = 0.1 }
"""


CUBE = '''
@dataclass(frozen=True)
class Cube(Layer):
    """x^3."""

    kind: ClassVar[str] = "cube"
    group: ClassVar[str] = "cube"
'''

CUBED = """
class Cube(Function):
    def forward(self, x):
        self.x = x
        return self.arithmetic.each(x**3, roundings=2)

    def backward(self, dy):
        return self.arithmetic.each(3 * dy * self.x**2, roundings=3)


FUNCTIONS[spec.KINDS["cube"]] = Cube
"""
MEASURED = '"page_faults": resource.getrusage(resource.RUSAGE_SELF).ru_minflt, '
ROWS = "METRICS: tuple[Metric, ...] = (\n"
ROW = """    Metric(
        "page-faults", "page_faults", "faults of pages", "faults", "how often a page was not there",
        whole, better="lower", type="integer", source=EventField("memory", "page_faults"), priority=5,
        gate=Gate(events=(EventField("memory", "page_faults"), EventField("peaked", "page_faults"))),
        history=True, bisect=True, compare=True,
    ),
"""
CHECK = """
from pathlib import Path
from harness.gate.evaluate import verdict
from harness.report.gate import outputs
from harness.results import store
folder = store.resolve(Path("results"), "latest")
outputs.write(folder, verdict(store.read(folder)))
"""
"""What `check` does when its run has ended."""


def samestep(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return python(root, "cli.py", *arguments)


def python(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)


def summary(root: Path, *arguments: str) -> list[dict[str, Any]]:
    done = samestep(root, "run", "--json", "--quick", "--threads", "1", *arguments)
    assert done.returncode == 0, done.stderr
    (run,) = json.loads(done.stdout)["runs"]
    return run["cells"]


def add_twin(root: Path) -> Path:
    folder = root / "frameworks" / "twin"
    folder.mkdir()
    (folder / "loops").mkdir()
    files = {"adapter.py": TWIN, "flags.py": FLAGS, "loops/mlp_2_3_2.py": LOOP}
    for name, text in (files | {"environment.toml": SPEC, "expected.toml": EXPECTED}).items():
        (folder / name).write_text(text)
    return folder


def worker(root: Path, *words: str, **variables: str) -> Any:
    """What a script of ours prints last, run as in a framework's environment."""
    command, environment = [sys.executable, "-P", *words], os.environ | variables
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout.splitlines()[-1])


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def test_a_framework_is_one_folder(toy_root: Path) -> None:
    add_twin(toy_root)
    assert "Twin" in samestep(toy_root, "list", "frameworks").stdout
    mine = ["--framework", "twin", "--interpreter", f"twin={sys.executable}"]
    (cell,) = summary(toy_root, *mine, "--workload", "mlp-2-3-2")
    assert (cell["framework"], cell["status"]) == ("twin", "ok")
    assert cell["train_samples_per_s"] > 0


def test_a_frameworks_folder_says_what_the_tests_expect_of_it(toy_root: Path) -> None:
    expected = expectations.load(add_twin(toy_root))
    shutil.copytree(ROOT / "tests" / "frameworks", toy_root / "tests" / "frameworks")
    scripts = "tests/frameworks/check_determinism.py", "tests/frameworks/check_precisions.py"
    for asked, variables, which in (("no", {}, "off"), ("yes", {"TWIN": "1"}, "on")):
        told = worker(toy_root, scripts[0], "twin", "plain", asked, **variables)
        assert told["flags"] == expected.deterministic[which]
        assert told["setting"] is (which == "on")
    assert worker(toy_root, scripts[1], "flags", "twin") == expected.precision


def test_a_frameworks_plain_loop_is_found_in_its_folder(toy_root: Path) -> None:
    add_twin(toy_root)
    (toy_root / "benchmarks").mkdir()
    shutil.copy(ROOT / "benchmarks" / "alternate.py", toy_root / "benchmarks")
    job = {"framework": "twin", "mode": "plain", "workload": "mlp-2-3-2", "batch": 4}
    job |= {"threads": 1, "rounds": 2, "slice_s": 1e-4}
    told = worker(toy_root, "benchmarks/alternate.py", json.dumps(job))
    assert len(told["ratios"]) == 2
    assert max(told["ratios"]) < 1  # that loop does nothing


def test_a_layer_is_a_class_and_one_in_the_reference(toy_root: Path) -> None:
    path = toy_root / "workloads" / "catalogue" / "cubed.toml"
    path.write_text(WORKLOAD.replace('{ kind = "dense"', '{ kind = "cube" }, { kind = "dense"'))
    append(toy_root / "workloads" / "layers" / "activations.py", CUBE)
    mine = ["--framework", "reference", "--interpreter", f"reference={sys.executable}"]
    mine += ["--workload", "cubed"]
    refused = samestep(toy_root, "run", "--quick", "--threads", "1", *mine)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stdout + refused.stderr
    assert "reference has no cube: " in refused.stdout + refused.stderr
    unproved = samestep(toy_root, "run", "--quick", "--threads", "1", "--no-parity", *mine)
    assert "unavailable: reference has no cube: " in " ".join(unproved.stdout.split())
    append(toy_root / "frameworks" / "reference" / "layers.py", CUBED)
    (cell,) = summary(toy_root, *mine)
    assert (cell["workload"], cell["status"]) == ("cubed", "ok")


def test_a_workload_is_one_file(toy_root: Path) -> None:
    (toy_root / "workloads" / "catalogue" / "linear.toml").write_text(WORKLOAD)
    assert "linear" in samestep(toy_root, "list", "workloads").stdout
    mine = ["--framework", "reference", "--interpreter", f"reference={sys.executable}"]
    (cell,) = summary(toy_root, *mine, "--workload", "linear")
    assert (cell["workload"], cell["status"]) == ("linear", "ok")


@pytest.fixture
def measured_root(toy_root: Path) -> Path:
    """A project with one more metric: a line in the worker measures it, a row says what it is."""
    for path, before, after in (
        ("worker.py", "import platform\n", "import platform\nimport resource\n"),
        ("worker.py", 'return {"peak_rss"', f'return {{{MEASURED}"peak_rss"'),
        ("results/metrics.py", ROWS, ROWS + ROW),
    ):
        file = toy_root / "harness" / path
        text = file.read_text()
        assert text.count(before) == 1
        file.write_text(text.replace(before, after))
    shutil.copytree(ROOT / "docs/reference/schema", toy_root / "docs/reference/schema")
    for name in ("columns.py", "reference/run-folder.md"):
        shutil.copy(ROOT / "docs" / name, toy_root / "docs" / name)
    return toy_root


def test_a_metric_is_one_row(measured_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = measured_root
    monkeypatch.setenv("COLUMNS", "200")
    mine = ["--framework", "faulty", "--mode", "well", "--mode", "slow", "--workload", "mlp-2-3-2"]
    mine += [f"--interpreter={name}={sys.executable}" for name in ("faulty", "reference")]
    cells = summary(root, *mine)
    assert all(cell["page_faults"] > 0 for cell in cells)
    (run,) = (path for path in (root / "results").iterdir() if (path / "manifest.json").is_file())
    assert "page_faults" in (run / "summary.csv").read_text().splitlines()[0]
    assert "| faults of pages |" in (run / "report.md").read_text()
    assert ">faults of pages</button>" in (run / "report.html").read_text()
    terminal = samestep(root, "report", "latest", "--details").stdout
    assert "faults: faults of pages" in " ".join(terminal.split())
    check_of(run, cells, root)
    told = json.loads((run / "check.json").read_text())["findings"]
    (mean,) = {one["after"] for one in told if one["metric"] == "page-faults"}
    assert mean == pytest.approx(cells[0]["page_faults"])
    assert 'name="page-faults"' in (run / "check.xml").read_text()
    history = json.loads(samestep(root, "history", "--metric=page-faults", "--format=json").stdout)
    assert {one["points"][0]["value"] for one in history["series"]} == {
        cell["page_faults"] for cell in cells if not cell["reference"]
    }
    assert "page-faults" in samestep(root, "bisect", "--help").stdout
    compared = json.loads(samestep(root, "compare", run.name, run.name, "--format=json").stdout)
    assert "page_faults" in {change["figure"] for change in compared["changes"]}
    python(root, "docs/columns.py")
    assert "| `page_faults` | page-faults | " in (root / "docs/reference/run-folder.md").read_text()
    schema = json.loads((root / "docs" / "reference" / "schema" / "report.schema.json").read_text())
    assert "page_faults" in schema["$defs"]["cell"]["required"]


def check_of(run: Path, cells: list[dict[str, Any]], root: Path) -> None:
    """Make a check of a run: its first cell is held against its second."""
    first, second, *_ = (cell["cell"] for cell in cells if not cell["reference"])
    asked = {"against": "slow", "pairs": [[first, second]], "stored": False}
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["check"] = {**asked, "threshold": 0.03, "margin": 0.005}
    (run / "manifest.json").write_text(json.dumps(manifest))
    python(root, "-c", CHECK)


def test_a_workload_may_lie_anywhere(toy_root: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(WORKLOAD)
    mine = ["--framework", "reference", "--interpreter", f"reference={sys.executable}"]
    (cell,) = summary(toy_root, *mine, "--workload", str(path))
    assert cell["workload"] == "mine"
