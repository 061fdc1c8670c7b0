"""One command for a machine with a card: parity, speed, memory and limits of all that runs there.

    python benchmarks/gpu_acceptance.py --interpreter pytorch=/usr/bin/python3 --out FOLDER

Needs nothing but this folder of sources and Pythons that have the frameworks: data is made, nothing
is built and nothing is fetched. A framework without an --interpreter, or whose Python cannot import
it, is `unavailable`. Takes under nine minutes: what does not fit is cut off or left out, and named.
Leaves runs with their reports in FOLDER, under 10 MB. With --device cpu it shows that it works.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from harness import defaults  # noqa: E402
from harness.environments.framework_spec import discover  # noqa: E402
from harness.machine import devices, host  # noqa: E402
from harness.report import formats, parity_tables  # noqa: E402
from harness.results import store, tables  # noqa: E402
from harness.runner import run  # noqa: E402
from harness.runner.context import Measuring  # noqa: E402
from harness.runner.request import Options, request  # noqa: E402
from harness.verdicts import BEFORE, UNDECIDED  # noqa: E402

SECONDS = 9 * 60 - 30
"""What an acceptance may take; ending workers and writing a report take the rest of nine minutes."""

MOST_BYTES = 10 * 2**20

HARMLESS = (
    tables.OK,
    UNDECIDED,
    tables.UNAVAILABLE,
    tables.INTERRUPTED,
    tables.NOT_RUN,
)
"""What may become of a cell that did not fail: its framework is not there, or time is up."""

ABSENT = Path("no-interpreter-was-given")
"""Given for frameworks without one, so that nothing is built: they are then unavailable."""


@dataclass(frozen=True)
class Part:
    """One run: a workload in one arithmetic, and how much of it."""

    workload: str
    parity_steps: int
    train_steps: int
    dtype: str = "float32"
    launches: int = 2

    @property
    def name(self) -> str:
        """What is printed of it."""
        return f"{Path(self.workload).stem} in {self.dtype}"


LARGE = "workloads/large/cifar-cnn-4096.toml"

# The smallest and surest first: what a wrong set-up shows, it shows soon, and what is cut off is the
# last. The reference takes seconds for each step of a large batch or a deep net, so the check follows
# few.
PARTS = (
    Part("cifar-cnn-128", 5, 50),
    Part("cifar-cnn-128", 5, 50, "tf32", launches=1),
    Part("cifar-cnn-128", 5, 50, "bfloat16", launches=1),
    Part(LARGE, 1, 20),
    Part(LARGE, 1, 20, "bfloat16", launches=1),
    Part("cifar-resnet20", 1, 20, launches=1),
)
SMALL = (Part("mlp-digits", defaults.PARITY_STEPS, 50), Part("cnn-digits", 5, 20, launches=1))


def _path(workload: str) -> str:
    """Return the catalogue's name as it is, a file of this folder as its whole path."""
    return str(ROOT / workload) if workload.endswith(".toml") else workload


def conduct(part: Part, options: argparse.Namespace, command: Sequence[str]) -> None:
    """Run one part; its folder is the latest under options.out, even where it is cut off."""
    kind, framework_specs = devices.kind(options.device), discover()
    # One that has no build for the device says why itself.
    interpreters = {name: ABSENT for name, spec in framework_specs.items() if kind in spec.devices}
    interpreters |= {
        name: Path(sys.executable) for name, spec in framework_specs.items() if spec.reference
    }
    interpreters |= dict(options.interpreter)
    asked_for = request(
        Options(
            frameworks=["all"],
            workloads=[_path(part.workload)],
            modes=options.mode,
            device=options.device,
            dtype=part.dtype,
            threads=None,
            seed=0,
            data="synthetic",
            data_dir=None,
            interpreters=interpreters,
            out=options.out,
            command=command,
            steps=part.train_steps,
            parity_steps=part.parity_steps,
        )
    )
    asked_for = replace(asked_for, measuring=Measuring(part.launches, rounds=3, seconds=0.2))
    run.execute(asked_for, show, finish=formats.write)


def show(event: dict[str, Any]) -> None:
    """Print what a watcher wants to know."""
    if event["event"] == "parity" and event["when"] == BEFORE:
        share = parity_tables.size(event["worst_share"])
        print(f"  {event['cell']}: {event['verdict']}, nearest its bound: {share} of it")
    elif event["event"] == "cell-failed":
        print(f"  {event['cell']}: {event['status']}: {event['reason']}")
    elif event["event"] == "framework-unavailable":
        print(f"  {event['framework']} on {event['device']}: unavailable: {event['reason']}")
    elif event["event"] == "clock":
        print(f"  {event['cell']}: our clock / the device's {event['ratio']:.3f}")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what fits the time; 0 where every cell that could run is equivalent and was timed.

    3 where nothing failed, and some cell is undecided.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--interpreter", action="append", default=[], type=named, metavar="NAME=PYTHON"
    )
    parser.add_argument("--device", default=devices.CUDA, help="cuda, cuda:N or cpu")
    parser.add_argument("--mode", action="append", default=[], help="only these modes")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "acceptance")
    parser.add_argument("--small", action="store_true", help="two small workloads only")
    options = parser.parse_args(arguments)
    command = ["python", "benchmarks/gpu_acceptance.py", "--device", options.device]
    arithmetics = devices.precisions("all", options.device)
    parts = [part for part in (SMALL if options.small else PARTS) if part.dtype in arithmetics]
    began, before = time.monotonic(), {entry.name for entry in store.runs(options.out)}
    described = host.describe()
    print(f"cards: {described['gpus'] or described['no_gpu_because']}")
    signal.signal(signal.SIGALRM, signal.default_int_handler)  # as Ctrl-C: what there is, is kept
    signal.alarm(SECONDS)
    try:
        while parts:
            print(f"{parts[0].name}:", flush=True)
            conduct(parts[0], options, command)
            del parts[0]
    except KeyboardInterrupt:
        print(f"cut off after {time.monotonic() - began:.0f} s: {parts[0].name}")
        print(f"left out: {', '.join(part.name for part in parts[1:]) or 'nothing'}")
    signal.alarm(0)
    made = [entry.name for entry in store.runs(options.out) if entry.name not in before]
    outcomes = [judged(store.read(options.out / name)) for name in made]
    tally = sum(outcomes, Counter[str]())
    well, undecided, failed = (
        tally[tables.OK],
        tally[UNDECIDED],
        tally[tables.FAILED],
    )
    size = tidy(options.out)
    print(
        f"{well} cells are equivalent and timed, {undecided} undecided, {failed} failed;"
        f" {time.monotonic() - began:.0f} s; {size / 2**20:.1f} MB in {options.out}"
    )
    if failed or not well + undecided or size > MOST_BYTES:
        return 1
    return 3 if undecided else 0


def named(text: str) -> tuple[str, Path]:
    """Return a framework's name and its Python."""
    name, _, path = text.partition("=")
    return name, Path(path).expanduser().absolute()


def judged(record: store.Record) -> Counter[str]:
    """Print what came of a run; return how many cells are ok, are undecided, and failed.

    What did not fit into the time is none of these, nor is the reference. A workload that was refused
    counts as one that failed.
    """
    table = store.summary(record)
    counts = table["status"].value_counts().to_dict()
    print(f"{', '.join(record.manifest['workloads'])}: {counts}: {record.folder / 'report.md'}")
    ranked = table.loc[~table["reference"], "status"]
    failed = len(tables.refused(record.events)) + int((~ranked.isin(HARMLESS)).sum())
    return Counter(
        {
            tables.OK: int(ranked.eq(tables.OK).sum()),
            UNDECIDED: int(ranked.eq(UNDECIDED).sum()),
            tables.FAILED: failed,
        }
    )


def tidy(folder: Path) -> int:
    """Make the folder small enough to bring back; return its bytes.

    What goes: the workers' logs, then pages that `report` can make again, the first runs' first.
    """

    def size() -> int:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    for logs in folder.glob("*/logs") if size() > MOST_BYTES else ():
        shutil.rmtree(logs)
    for page in sorted(folder.glob("*/report.html")):
        if size() > MOST_BYTES:
            page.unlink()
    return size()


if __name__ == "__main__":
    sys.exit(main())
