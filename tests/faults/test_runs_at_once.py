"""Promise: runs that write into one folder of results at once leave each its own, and one history."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.kills import results
from harness.report import formats
from harness.results import history_db, store
from tests.conftest import ROOT

BEGIN = """
import sys
from pathlib import Path
from harness.report import formats
from harness.runner.run import execute
from tests.toy_request import brief_request
root = Path(sys.argv[1])
pythons = dict.fromkeys(("faulty", "reference"), Path(sys.executable))
asked = brief_request(root, modes=["well"], interpreters=pythons, epochs=1, parity_steps=2)
sys.exit(execute(asked, lambda event: None, root, finish=formats.write)[1])
"""


def test_two_runs_in_one_folder_at_once_are_both_whole(toy_root: Path) -> None:
    environment = {
        **os.environ,
        "SAMESTEP_CACHE": str(toy_root / "cache"),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-c", BEGIN, str(toy_root)]
    runs = [subprocess.Popen(command, env=environment, cwd=toy_root) for _ in range(2)]
    assert [process.wait(120) for process in runs] == [0, 0]
    first, second = store.folders(toy_root / "results")
    assert results(first)["status"] == results(second)["status"]
    assert results(first)["slices"] == results(second)["slices"] != set()
    assert {path.name for path in first.iterdir()} >= {"report.html", "summary.csv"}
    assert not [path for path in (toy_root / "results").iterdir() if path.name.startswith(".draft")]
    runs_told = set(history_db.table(toy_root / "results")["run"])
    assert runs_told == {first.name, second.name}
    formats.write(store.read(first))  # and can be reported again
