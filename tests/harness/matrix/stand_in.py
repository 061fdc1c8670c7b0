"""A stand-in for `run` in a toy project: it leaves a made-up run of two cells after some seconds.

    python stand_in.py run --seed=1 --out=FOLDER ...

What engines do to units is tested with it: it takes no processor, so it takes as long on a busy machine.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from harness.machine import host, node
from tests.runs import MadeUpRun

CELLS = ("mlp-2-3-2/faulty/well/cpu/float32", "mlp-2-3-2/faulty/slow/cpu/float32")


def made_up(
    results: Path,
    seed: int = 0,
    node: str = "",
    unit: str | None = None,
    noise: str = "",
    **machine: Any,
) -> MadeUpRun:
    """A run in three launches in which the second cell is half as fast; `machine` as in a manifest.

    The same seed on the same node gives the same figures.
    """
    chance = random.Random(f"{seed} {node}")
    manifest = {
        "command": ["python", "cli.py", "run"],
        "machine": {"cpu": "Toy 1", "cores_usable": 2, **machine},
        "options": {"seed": seed, "data": "real"},
        "workloads": {"mlp-2-3-2": {"title": "toy", "data": {"dataset": "xor", "seed": seed}}},
        "cells": [*CELLS],
    }
    run = MadeUpRun(results, manifest | ({"unit": unit} if unit else {}))
    run("run-started", cells=2, folder=str(run.folder), slices=12)
    run.dataset("mlp-2-3-2", "xor").framework("faulty", version="1")
    for cell in CELLS:
        run.first_step(cell).parity(cell).trained(cell).memory(cell)
        run("evaluated", cell, accuracy=0.9 + seed / 100, examples=100)
    for launch in (1, 2, 3):
        run.calibrate(1000, launch, workload="mlp-2-3-2")
        for number in (1, 2):
            for cell, rate in zip(CELLS, (2000.0, 1000.0), strict=True):
                for kind in ("train", "predict"):
                    jitter = chance.gauss(1, 0.01)
                    speed = rate * jitter
                    run.slice(cell, speed, launch=launch, number=number, kind=kind, noise=noise)
    for cell in CELLS:
        run.done(cell)
    return run


def main() -> None:
    """Take the time that STAND_IN_SECONDS says, then leave the run; end by a signal as `run` does."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    options = dict(word.lstrip("-").partition("=")[::2] for word in sys.argv[2:])
    print("the stand-in has begun", flush=True)
    time.sleep(float(os.environ.get("STAND_IN_SECONDS", "1")))
    if os.environ.get("STAND_IN_FAILS") == options["seed"]:
        sys.exit("the stand-in fails")
    name = os.environ.get("SLURMD_NODENAME", "")
    about = {"unit": node.unit(), "cpu": host.describe()["cpu"]}
    run = made_up(Path(options["out"]), int(options["seed"]), name, **about)
    if (jobs := node.neighbours()) is not None:
        run("neighbours", jobs=jobs)
    run.end().read()


if __name__ == "__main__":
    main()
