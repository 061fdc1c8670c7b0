"""How long the default run takes and how narrow its intervals are, of this tree and of another commit.

    python benchmarks/default_run.py [--against REF] [--runs 1] [--load] [--workload NAMES]

Environments have to be built. `--against` checks REF out into a temporary folder and runs its default
there, in turn with this tree's; `--load` has another process keep one processor busy half of the time
meanwhile. Prints the table of docs/evidence/measuring.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from harness.environments.git import git  # noqa: E402
from harness.machine import host  # noqa: E402
from harness.outcomes import INCONCLUSIVE  # noqa: E402
from harness.results import pairwise, store  # noqa: E402

HALF_PERIOD = 0.05
"""Seconds that the load computes, and then rests."""

KINDS = ("train", "predict")


def busy() -> None:
    """Keep one processor busy half of the time."""
    while True:
        end = time.monotonic() + HALF_PERIOD
        while time.monotonic() < end:
            pass
        time.sleep(HALF_PERIOD)


@contextmanager
def loaded(is_on: bool) -> Iterator[None]:
    """Have `busy` run meanwhile."""
    if not is_on:
        yield
        return
    process = multiprocessing.Process(target=busy, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()


@contextmanager
def checked_out(ref: str | None) -> Iterator[Path | None]:
    """The tree of a commit, in a temporary folder; None for none."""
    if ref is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        git(ROOT, "worktree", "add", "--detach", str(tree), ref)
        try:
            yield tree
        finally:
            git(ROOT, "worktree", "remove", "--force", str(tree))


def timed(tree: Path, workloads: str, results: Path) -> tuple[store.Record, float]:
    """Run the default of a tree; return its record and the seconds that it took."""
    command = [sys.executable, "cli.py", "run", "--workload", workloads, "--out", str(results)]
    began = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    took = time.monotonic() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {(done.stderr or done.stdout)[-2000:]}")
    (folder,) = (path.parent for path in results.glob("*/manifest.json"))
    return store.read(folder), took


def row(name: str, record: store.Record, workload: str) -> list[str]:
    """What the table says of one workload of a run."""
    pairs = record.pairs[record.pairs["workload"] == workload]
    by_kind = [pairs[pairs["kind"] == kind] for kind in KINDS]
    widths = [f"{pairwise.half_width(table).median():.1%}" for table in by_kind]
    training = by_kind[0]
    decided = int((training["verdict"] != INCONCLUSIVE).sum())
    launches = pd.to_numeric(training["launches"])
    threads = record.manifest["options"]["threads"]
    words = [f"{launches.min()} to {launches.max()}", *widths, f"{decided} of {len(training)}"]
    return [name, workload, str(threads), *words]


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--against", metavar="REF", help="another commit, whose default is run too")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--load", action="store_true")
    parser.add_argument("--workload", default="mlp-digits,cnn-digits")
    options = parser.parse_args()
    load = "half of one processor taken by another process" if options.load else "quiet"
    commit = git(ROOT, "describe", "--always", "--dirty=+").decode().strip()
    print(
        f"{date.today()}, {host.describe()['cpu']}, {len(host.usable_cpus())} processors, {load}\n"
    )
    heads = ["commit", "workload", "threads", "launches", "training ±", "inference ±"]
    print(f"| {' | '.join([*heads, 'training pairs different', 'whole run, s'])} |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    with checked_out(options.against) as other, loaded(options.load):
        trees = [(commit, ROOT), *([(options.against, other)] if other else [])]
        for name, tree in trees * options.runs:
            with tempfile.TemporaryDirectory() as folder:
                record, took = timed(tree, options.workload, Path(folder))
                for workload in options.workload.split(","):
                    print(
                        f"| {' | '.join([*row(name, record, workload), f'{took:.0f}'])} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
