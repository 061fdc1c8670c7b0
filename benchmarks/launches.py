"""What makes one launch of a worker differ from the next? Splits the noise into its parts.

    python benchmarks/launches.py [--batches 3] [--launches 6] [--rounds 16] [--treatment NAME]...

Under each treatment, `launches` workers of one and the same cell are alive at once, warm and frozen,
and take turns in `rounds`; that is repeated `batches` times. Prints the table of
docs/evidence/measuring.md: the standard deviation of log throughput between launches, between
rounds (which hits all alike and cancels in a ratio) and of what is left, a slice.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from unittest import mock

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from harness import protocol  # noqa: E402
from harness.environments import builder, framework_spec  # noqa: E402
from harness.machine import host  # noqa: E402
from harness.paths import cache_folder  # noqa: E402
from harness.runner import process  # noqa: E402
from harness.runner.context import Task  # noqa: E402
from harness.runner.process import WorkerProcess  # noqa: E402
from harness.runner.scratch import write_start  # noqa: E402
from workloads import datasets, spec  # noqa: E402

WAIT = 300.0


@dataclass(frozen=True)
class Treatment:
    """Something done to every worker alike, and what one hopes from it."""

    hope: str
    variables: Mapping[str, str] = field(default_factory=dict)
    threads: int | None = None
    rebuild: bool = False
    keeps_memory: bool = False
    """As all workers of a run are told to; the other treatments leave the allocator alone."""


TREATMENTS = {
    "none": Treatment("as it comes"),
    "one thread": Treatment("no waiting for another thread", threads=1),
    "bound threads": Treatment("no migration", {"OMP_PROC_BIND": "true", "OMP_PLACES": "cores"}),
    "passive waiting": Treatment("no spinning", {"OMP_WAIT_POLICY": "passive"}),
    "huge pages": Treatment("fewer page faults", {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}),
    "memory kept": Treatment("no memory given back and faulted in anew", keeps_memory=True),
    "rebuilt": Treatment("a new draw of addresses in every slice", rebuild=True),
}


class Launch:
    """One worker, warm and frozen."""

    def __init__(self, options: argparse.Namespace, treatment: Treatment, task: Task) -> None:
        framework = framework_spec.discover()[options.framework]
        self._threads = treatment.threads or options.threads
        scratch = Path(tempfile.mkdtemp(dir=task.scratch))
        variables = framework.worker_variables(device="cpu", threads=self._threads, scratch=scratch)
        python = builder.prepare(framework, "cpu").python
        cpus = host.usable_cpus()[: self._threads]
        variables = {**variables, **treatment.variables}
        allocator = process.ALLOCATOR if treatment.keeps_memory else {}
        with mock.patch.object(process, "ALLOCATOR", allocator):
            self._worker = WorkerProcess(python, ROOT, scratch / "log", variables, cpus)
        self._task, self._mode, self._rebuild = task, options.mode, treatment.rebuild
        self._worker.ask(
            "open", WAIT, framework=options.framework, version=protocol.VERSION, folder=str(scratch)
        )
        self._build()
        self.slice(options.seconds)
        self.slice(options.seconds)

    def _build(self) -> None:
        task = self._task
        self._worker.ask(
            "build",
            WAIT,
            workload=task.workload.to_dict(),
            start=str(task.start),
            arrays=str(task.arrays.folder),
            mode=self._mode,
            device="cpu",
            precision="float32",
            threads=self._threads,
        )
        self._worker.ask("first_step", WAIT)

    def slice(self, seconds: float) -> float:
        """Return the logarithm of the slice's samples a second."""
        self._worker.thaw()
        if self._rebuild:
            self._build()
        took = self._worker.ask("slice", WAIT, kind="train", start=0, seconds=seconds)
        self._worker.freeze()
        return math.log(took["samples"] / took["seconds"])

    def end(self) -> None:
        self._worker.kill()


def measure(options: argparse.Namespace, treatment: Treatment, task: Task) -> np.ndarray:
    """Return log throughput, (launches, rounds), of launches that are alive at the same time."""
    alive: list[Launch] = []
    try:
        for _ in range(options.launches):
            alive.append(Launch(options, treatment, task))
        rates = np.empty((options.launches, options.rounds))
        turns = list(range(options.launches))
        for number in range(options.rounds):
            random.shuffle(turns)
            for turn in turns:
                rates[turn, number] = alive[turn].slice(options.seconds)
        return rates
    finally:
        for launch in alive:
            launch.end()


def components(batches: list[np.ndarray]) -> dict[str, float]:
    """Return the standard deviations of a two-way layout without replicates, pooled over batches.

    Launches by rounds: mean squares of rows, columns and the rest (Searle et al., Variance
    Components, 1992, chapter 4); a component below 0 is reported as 0.
    """
    parts = []
    for x in batches:
        launches, rounds = x.shape
        rows, columns = x.mean(1, keepdims=True), x.mean(0, keepdims=True)
        rest = ((x - rows - columns + x.mean()) ** 2).sum() / ((launches - 1) * (rounds - 1))
        launch = rows.var(ddof=1) - rest / rounds
        drift = columns.var(ddof=1) - rest / launches
        parts.append((launch, drift, rest))
    launch, drift, rest = (math.sqrt(max(0.0, part)) for part in np.mean(parts, axis=0))
    return {"launch": launch, "round": drift, "slice": rest}


def main() -> None:
    """Print a line a treatment."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batches", type=int, default=3)
    parser.add_argument("--launches", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--framework", default="pytorch")
    parser.add_argument("--mode", default="eager")
    parser.add_argument("--workload", default="cifar-cnn-128", choices=spec.names())
    parser.add_argument("--threads", type=int, default=len(host.usable_cpus()))
    parser.add_argument("--treatment", action="append", choices=TREATMENTS)
    options = parser.parse_args()
    workload = spec.load(options.workload)
    arrays = datasets.prepare(workload.dataset, cache_folder() / "datasets", seed=0, synthetic=True)
    print(
        f"{date.today()}, {host.describe()['cpu']}; {options.workload}, {options.framework}"
        f" {options.mode}, {options.threads} threads; {options.batches} x {options.launches} launches,"
        f" {options.rounds} rounds of {options.seconds} s\n"
    )
    print("| treatment | between launches | between rounds | a slice | images/s |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name in options.treatment or TREATMENTS:
        with tempfile.TemporaryDirectory() as scratch:
            task = Task(workload, arrays, 300, Path(scratch))
            write_start(task)
            rates = [measure(options, TREATMENTS[name], task) for _ in range(options.batches)]
        sd = components(rates)
        rate = math.exp(np.median(np.concatenate(rates)))
        print(
            f"| {name} | {sd['launch']:.3f} | {sd['round']:.3f} | {sd['slice']:.3f} |"
            f" {rate:,.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
