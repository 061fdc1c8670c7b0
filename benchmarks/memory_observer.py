"""Does the peak memory that we tell agree with an observer outside?

    python benchmarks/memory_observer.py [--framework NAME]... [--workload NAME]... [--steps N]

Prints a table, which docs/evidence/memory.md sums up. A worker of each framework and mode trains on
synthetic data while a thread here reads the resident sets of all its process tree every few milliseconds.
Both peaks are of the same span: the training, after the proof. They should agree within 5%.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from harness import protocol  # noqa: E402
from harness.environments import builder, framework_spec  # noqa: E402
from harness.environments.framework_spec import FrameworkSpec  # noqa: E402
from harness.machine import host  # noqa: E402
from harness.paths import cache_folder  # noqa: E402
from harness.runner.process import WorkerProcess  # noqa: E402
from workloads import cost, datasets, init, spec  # noqa: E402
from workloads.spec import Workload  # noqa: E402

MIB = 2**20
AGREED = 0.05
PATIENCE = 900.0


class Observer(threading.Thread):
    """Reads the resident sets of a process and all below it, and keeps the largest sum since a mark."""

    interval = 0.002
    family_interval = 0.1
    """Seconds; to find a process's children takes a walk over all processes."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._root = psutil.Process(pid)
        self._over = threading.Event()
        self.mark()

    def mark(self) -> None:
        """Begin a new span."""
        self.peak, self.processes, self.looks = 0, 0, 0

    def run(self) -> None:
        """Look until it is over."""
        family, looked = [self._root], 0.0
        while not self._over.wait(self.interval):
            if time.monotonic() - looked > self.family_interval:
                family, looked = [self._root, *self._children()], time.monotonic()
            sizes = [size for size in map(_resident, family) if size]
            self.peak = max(self.peak, sum(sizes))
            self.processes = max(self.processes, len(sizes))
            self.looks += 1

    def _children(self) -> list[psutil.Process]:
        try:
            return self._root.children(recursive=True)
        except psutil.Error:
            return []

    def end(self) -> None:
        """Look no more."""
        self._over.set()
        self.join()


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:  # it has ended
        return 0


@dataclass(frozen=True)
class Seen:
    """One cell: peaks in bytes, and the most processes seen at a time."""

    ours: int
    observed: int
    processes: int
    before: int
    """The most processes seen before the span: compilers work then."""
    looks: int

    @property
    def ratio(self) -> float:
        return self.ours / self.observed


@contextmanager
def started(framework: FrameworkSpec, threads: int, folder: Path) -> Iterator[WorkerProcess]:
    """A worker of a framework, ended at the end."""
    python = builder.prepare(framework, "cpu").python
    variables = framework.worker_variables(device="cpu", threads=threads, scratch=folder)
    cpus = sorted(host.affinity())[:threads]
    worker = WorkerProcess(python, ROOT, folder / "log", variables, cpus)
    try:
        yield worker
    finally:
        worker.close()


def prepared(workload: Workload, steps: int, folder: Path) -> dict[str, str]:
    """Write start weights and order; return where a worker finds these and the data."""
    arrays = datasets.prepare(workload.dataset, cache_folder() / "datasets", seed=0, synthetic=True)
    examples = len(arrays.open("train_labels"))
    for name, array in init.start_weights(workload).items():
        np.save(folder / f"{name}.npy", array)
    np.save(folder / "order.npy", init.batch_order(workload, examples, steps))
    return {"arrays": str(arrays.folder), "start": str(folder)}


def observe(
    framework: FrameworkSpec, mode: str, workload: Workload, options: argparse.Namespace
) -> Seen:
    """Have one worker prove and train, observed."""
    with (
        tempfile.TemporaryDirectory() as name,
        started(framework, options.threads, Path(name)) as worker,
    ):
        where = prepared(workload, options.steps, Path(name))
        observer = Observer(worker.pid)
        observer.start()

        def ask(job: str, **arguments: Any) -> dict[str, Any]:
            return worker.ask(job, PATIENCE, **arguments)

        ask("open", framework=framework.name, version=protocol.VERSION, folder=name)
        how = {"mode": mode, "device": "cpu", "precision": "float32", "threads": options.threads}
        ask("build", workload=workload.to_dict(), **where, **how)
        ask("first_step")
        ask("answer", steps=2, file="proof.npz")  # its end sets the worker's peak back
        before = observer.processes
        observer.mark()
        ask("train", steps=options.steps)
        ours = ask("memory")["peak_rss"]
        observer.end()
    return Seen(ours, observer.peak, observer.processes, before, observer.looks)


def row(workload: Workload, framework: FrameworkSpec, mode: str, seen: Seen) -> str:
    """Return one line of the table."""
    ratio = f"{seen.ratio:.3f}" + ("" if abs(seen.ratio - 1) <= AGREED else " **off**")
    cells = (
        workload.name,
        framework.title,
        mode,
        f"{seen.ours / MIB:.1f}",
        f"{seen.observed / MIB:.1f}",
        ratio,
        seen.processes,
        seen.before,
        f"{seen.looks:,}",
        f"{cost.training_bytes(workload) / MIB:.1f}",
    )
    return f"| {' | '.join(map(str, cells))} |"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = sorted(framework_spec.discover())
    parser.add_argument("--framework", action="append", choices=names, help="default: all")
    parser.add_argument("--mode", action="append", help="default: all of the framework's")
    parser.add_argument("--workload", action="append", help="default: cnn-digits, cifar-cnn-128")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=100)
    return parser.parse_args()


def main() -> None:
    """Observe and print line by line."""
    options = arguments()
    here = host.describe()
    print(
        f"{date.today()}, {here['cpu']}, {here['kernel']}; {options.steps} steps, "
        f"threads: {options.threads}, a look every {Observer.interval * 1000:g} ms\n"
    )
    titles = (
        "workload",
        "framework",
        "mode",
        "ours, MiB",
        "observer, MiB",
        "ratio",
        "processes",
        "before",
        "looks",
        "floor, MiB",
    )
    print(f"| {' | '.join(titles)} |\n|{' --- |' * 3}{' ---: |' * (len(titles) - 3)}")
    for name in options.workload or ("cnn-digits", "cifar-cnn-128"):
        workload = spec.load(name)
        for framework in framework_spec.discover().values():
            if framework.reference or framework.name not in (options.framework or [framework.name]):
                continue
            for mode in [
                mode
                for mode in framework.modes_on("cpu")
                if mode in (options.mode or framework.modes)
            ]:
                seen = observe(framework, mode, workload, options)
                print(row(workload, framework, mode, seen), flush=True)


if __name__ == "__main__":
    main()
