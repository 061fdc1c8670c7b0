"""Keeps a real matrix as the example in docs/: it goes through a Slurm of two nodes on this machine.

    python benchmarks/matrix_example.py docs/example/matrix

The folder has the matrix.toml; the three reports are written beside it. Slurm is begun and ended here, as
in the tests, so this needs root, slurm-wlm and munge. The nodes share the processors, so their units wait
for each other: a node more takes no less time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from tests.harness.matrix.cluster import Cluster, missing  # noqa: E402

WIDTH = 120
"""Letters a line of what the terminal shows."""


def main(folder: Path) -> None:
    """Take the matrix from its plan to its reports."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        cluster = Cluster(Path(scratch) / "slurm")
        variables = {**os.environ, **cluster.variables, "COLUMNS": str(WIDTH)}

        def matrix(*words: str, out: int | None = None) -> str:
            command = [sys.executable, str(ROOT / "cli.py"), "matrix", *words]
            command.append(f"--out={scratch}/results")
            done = subprocess.run(command, env=variables, stdout=out, text=True, check=True)
            return done.stdout or ""

        try:
            cluster.begin()
            matrix("plan", str(folder / "matrix.toml"))
            matrix("prepare")
            matrix("submit", "--on", "slurm")
            matrix("status", "--watch")
            (folder / "terminal.txt").write_text(matrix("report", out=subprocess.PIPE))
            page = matrix("report", "--format", "md", out=subprocess.PIPE)
            (folder / "report.md").write_text(page)
            html = matrix("report", "--format", "html", out=subprocess.PIPE).strip()
            shutil.copyfile(html, folder / "report.html")
        finally:
            cluster.end()
    print(f"{folder}: {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if reason := missing():
        sys.exit(reason)
    main(Path(sys.argv[1]))
