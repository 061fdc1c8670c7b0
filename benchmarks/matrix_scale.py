"""What it takes to plan, look at, merge and report a matrix of many units: seconds and memory.

    python benchmarks/matrix_scale.py            # 10,000 units
    python benchmarks/matrix_scale.py --units 500

The runs are made up: nine cells each, on 100 nodes of two kinds, every 50th unit without a result. Only
the commands are timed, not the making up.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from harness.matrix import folders  # noqa: E402
from harness.matrix import plan as planning  # noqa: E402
from harness.matrix.folders import Attempt, UnitFolder  # noqa: E402
from harness.matrix.plan import Plan  # noqa: E402

WORKLOADS = ("mlp-2-3-2", "mlp-digits", "cnn-digits", "cifar-cnn-128", "mlp-cifar")
MODES = ("a", "b", "c", "d", "e", "f", "g", "h", "i")
SEEDS = 20
NODES = 100
LOST = 50


def main() -> None:
    """Time the commands, and print a line each; of the reports the slowest counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=10_000, help="a multiple of 100")
    units = parser.parse_args().units
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scale.toml"
        file.write_text(
            f"[over]\nworkload = {[*WORKLOADS]}\nseed = {[*range(SEEDS)]}\n"
            f"[nodes]\nreplicates = {units // (len(WORKLOADS) * SEEDS)}\n"
        )
        out = f"--out={folder}"
        total = timed("plan", str(file), out)
        plan = planning.load(planning.resolve(Path(folder), None))
        for number in range(len(plan.units)):
            make_up(plan, number)
        total += timed("status", out)
        total += max(timed("report", f"--format={form}", out) for form in ("table", "md", "html"))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    took = f"{total:.1f} s to plan, look, merge and report once"
    print(f"{len(plan.units):,} units: {took}, peak memory {peak:,.0f} MiB")


def timed(*words: str) -> float:
    """Run a command of `matrix`; print and return its seconds."""
    began = time.perf_counter()
    command = [sys.executable, str(ROOT / "cli.py"), "matrix", *words]
    with Path(os.devnull).open("w") as nowhere:
        subprocess.run(command, stdout=nowhere, check=True)
    seconds = time.perf_counter() - began
    print(f"matrix {' '.join(words[:1])}: {seconds:.1f} s")
    return seconds


def make_up(plan: Plan, number: int) -> None:
    """Leave what a unit leaves, but for the run itself."""
    unit, chance = plan.units[number], random.Random(number)  # noqa: S311 - no secret
    node = chance.randrange(NODES)
    folder = UnitFolder(plan.folder, number)
    attempt = Attempt.begin(folder.folder, {"node": f"n{node}", "host": f"n{node}", "pid": 1})
    if number % LOST == 0:
        attempt.end(state="lost", reason="NODE_FAIL")
        return
    attempt.end(state="done", reason="")
    contents = {
        "state": "done",
        "attempt": attempt.folder.name,
        "node": f"n{node}",
        "neighbours": [],
        "block": block(unit.workload, unit.seed or 0, node % 2, chance),
    }
    folders.publish(folder.target, contents)


def block(workload: str, seed: int, kind: int, chance: random.Random) -> dict[str, Any]:
    """A run's block: each cell is a tenth slower than the one before it, in five launches."""
    speeds = [-0.1 * place + chance.gauss(0, 0.03) for place in range(len(MODES))]
    rows = [
        [a, b, speeds[a] - speeds[b], 5, 0.0004, 0.004]
        for a, b in combinations(range(len(MODES)), 2)
    ]
    return {
        "schema": 1,
        "run": "20260101T000000Z-0000",
        "sources": "0" * 64,
        "synthetic": False,
        "quick": False,
        "machine": f"made-up processor {kind}",
        "fingerprint": f"{kind:012x}",
        "kernel_rate": 1000 + chance.gauss(0, 10),
        "contaminated": 0.01,
        "versions": {"toy": "1"},
        "pairs": {"train": rows, "predict": rows},
        "cells": [
            {
                "cell": f"{workload}/toy/{mode}/cpu/float32",
                "status": "ok",
                "reason": "",
                "reference": False,
                "parity": "equivalent",
                "accuracy": 0.9 + seed / 1000,
                "peak_memory_bytes": 10**8,
            }
            for mode in MODES
        ],
    }


if __name__ == "__main__":
    main()
