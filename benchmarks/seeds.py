"""Does the proof cry wolf? Every workload, framework and mode, honest, on many seeds.

    python benchmarks/seeds.py [--seeds 50] [--steps 20] [--batch N] [--workload NAME]...

Prints the table of docs/parity.md: how many of the proofs failed (none should), and the largest error
over its bound that was seen. Data is real where it needs no download, else made from a seed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from harness import environments, machine, recipes  # noqa: E402
from harness.parity import DEFAULT_STEPS, Standard, Verdict, judge, rehearse  # noqa: E402
from harness.places import cache_folder  # noqa: E402
from harness.process import worker_environment  # noqa: E402
from harness.recipes import Recipe  # noqa: E402
from workloads import datasets, init, spec  # noqa: E402
from workloads.batches import Batches  # noqa: E402
from workloads.datasets import Arrays  # noqa: E402
from workloads.spec import Workload  # noqa: E402

SCRIPT = Path(__file__).with_name("seeds_worker.py")


def arrays_of(workload: Workload) -> Arrays:
    """The data set, or what is made in its stead where it would have to be fetched."""
    name, cache = workload.data.dataset, cache_folder() / "datasets"
    fetched = datasets.describe(name).download > 0
    return datasets.prepare(name, cache, seed=0, synthetic=fetched)


def standards(workload: Workload, steps: int, seeds: range, folder: Path) -> Iterator[Standard]:
    """Rehearse every seed, and leave its weights and order in `folder` for the workers."""
    arrays = arrays_of(workload)
    train = arrays.open("train_inputs"), arrays.open("train_labels")
    for seed in seeds:
        own = workload.with_data(seed=seed)
        start, order = init.start_weights(own), init.batch_order(own, len(train[1]), steps)
        np.savez(folder / f"start-{seed}.npz", **start)  # type: ignore[arg-type]
        np.save(folder / f"order-{seed}.npy", order)
        standard = rehearse(own, start, Batches(*train, order, own).take(0, steps))
        yield replace(standard, batches=standard.batches[:1])  # the rest is not needed any more


def verdicts(
    recipe: Recipe,
    mode: str,
    workload: Workload,
    known: dict[int, Standard],
    steps: int,
    folder: Path,
) -> list[Verdict]:
    """Have one process answer for all seeds, with a model that is built and compiled once."""
    python = environments.prepare(recipe, "cpu").python
    variables = recipe.worker_variables(device="cpu", threads=1, scratch=folder / "scratch")
    environment = worker_environment(variables)
    job = {
        "framework": recipe.name, "mode": mode, "workload": workload.name, "steps": steps,
        "batch": workload.data.batch, "seeds": list(known), "folder": str(folder),
        "arrays": str(arrays_of(workload).folder),
    }  # fmt: skip
    command = [str(python), "-P", str(SCRIPT), json.dumps(job)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{recipe.name} {mode}: {done.stderr[-2000:]}")
    found = []
    for seed, standard in known.items():
        path = folder / f"answers-{seed}.npz"
        with np.load(path) as arrays:
            found.append(judge(dict(arrays), standard, "float32"))
        path.unlink()
    return found


def main() -> None:
    """Print line by line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--steps", type=int, default=DEFAULT_STEPS)
    parser.add_argument("--batch", type=int, help="instead of the workload's own")
    parser.add_argument("--workload", action="append", choices=spec.names())
    parser.add_argument("--framework", action="append")
    asked = parser.parse_args()
    ranked = {n: r for n, r in recipes.discover().items() if not r.arbiter}
    print(
        f"{date.today()}, {machine.describe()['cpu']}; {asked.seeds} seeds, {asked.steps} steps\n"
    )
    print("| workload | framework | mode | failed | largest error / bound | where | seconds |")
    print("| --- | --- | --- | ---: | ---: | --- | ---: |")
    for name in asked.workload or spec.names():
        with tempfile.TemporaryDirectory() as scratch:
            folder, workload = Path(scratch), spec.load(name)
            workload = workload.with_data(batch=asked.batch or workload.data.batch)
            seeds = range(asked.seeds)
            known = dict(zip(seeds, standards(workload, asked.steps, seeds, folder), strict=True))
            for recipe in ranked.values():
                if asked.framework and recipe.name not in asked.framework:
                    continue
                for mode in recipe.modes_on("cpu"):
                    began = time.monotonic()
                    found = verdicts(recipe, mode, workload, known, asked.steps, folder)
                    worst = max((one.worst for one in found), key=lambda check: check.share)
                    failed = sum(not one.ok for one in found)
                    print(
                        f"| {name} | {recipe.name} | {mode} | {failed} of {len(found)} |"
                        f" {worst.share:.2f} | {worst.tensor} {worst.when} |"
                        f" {time.monotonic() - began:.0f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
