"""Adding a framework is one folder, adding a workload one file: shown with toys, in a real process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

TWIN = '''
"""A framework added by one folder; its maths is the reference's."""

from frameworks.reference.adapter import Reference


class Twin(Reference):
    """The reference under another name."""
'''

RECIPE = """
title = "Twin"
python = "3.11"
package = "numpy"
module = "numpy"
modes = ["plain"]
devices = ["cpu"]

[requirements]
cpu = ["numpy"]
"""

WORKLOAD = """
title = "A workload added by one file"
loss = "cross-entropy"
layers = [{ kind = "flatten" }, { kind = "dense", units = 10 }]
data = { dataset = "digits", batch = 100, epochs = 1, scale = 16 }
init = { kind = "xavier-normal" }
optimiser = { kind = "sgd", lr = 0.1 }
"""


def samestep(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "cli.py", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)


def summary(root: Path, *arguments: str) -> list[dict[str, Any]]:
    done = samestep(root, "run", "--json", "--quick", "--threads", "1", *arguments)
    assert done.returncode == 0, done.stderr
    (run,) = json.loads(done.stdout)["runs"]
    return run["cells"]


def test_a_framework_is_one_folder(toy_root: Path) -> None:
    folder = toy_root / "frameworks" / "twin"
    folder.mkdir()
    (folder / "adapter.py").write_text(TWIN)
    (folder / "environment.toml").write_text(RECIPE)
    assert "Twin" in samestep(toy_root, "list", "frameworks").stdout
    mine = ["--framework", "twin", "--interpreter", f"twin={sys.executable}"]
    (cell,) = summary(toy_root, *mine, "--workload", "mlp-2-3-2")
    assert (cell["framework"], cell["status"]) == ("twin", "ok")
    assert cell["train_samples_per_s"] > 0


def test_a_workload_is_one_file(toy_root: Path) -> None:
    (toy_root / "workloads" / "catalogue" / "linear.toml").write_text(WORKLOAD)
    assert "linear" in samestep(toy_root, "list", "workloads").stdout
    mine = ["--framework", "reference", "--interpreter", f"reference={sys.executable}"]
    (cell,) = summary(toy_root, *mine, "--workload", "linear")
    assert (cell["workload"], cell["status"]) == ("linear", "ok")


def test_a_workload_may_lie_anywhere(toy_root: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(WORKLOAD)
    mine = ["--framework", "reference", "--interpreter", f"reference={sys.executable}"]
    (cell,) = summary(toy_root, *mine, "--workload", str(path))
    assert cell["workload"] == "mine"
