"""Run 500 cells of a toy workload in one run: neither memory, descriptors, processes nor time may grow.

    python benchmarks/soak.py --cells 500

A cell is brought up, checked, trained, scored and timed as any other, only shortly. The first and the
last fifth of the workloads, of two cells each, are held against each other.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.kills import Toys  # noqa: E402 - found by the path above
from harness.results import store  # noqa: E402
from harness.runner.context import Measuring  # noqa: E402
from harness.runner.request import Options, request  # noqa: E402
from harness.runner.run import execute  # noqa: E402

WITHIN = 0.10
"""By how much memory and time may grow from the first fifth of the workloads to the last."""

CELLS = 2
"""Of a workload: the toy's and the reference's."""

BRIEF = Measuring(
    launches=1, rounds=2, seconds=0.01, warm_seconds=0.01, warm_portions=12, untimed_seconds=0.01
)


@dataclass
class Soak:
    """What this process holds whenever a workload begins, and how long the one before took."""

    rss: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    children: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    processor_seconds: list[float] = field(default_factory=list)
    statuses: set[str] = field(default_factory=set)
    _began: tuple[float, float] = (0.0, 0.0)

    def listen(self, event: dict[str, Any]) -> None:
        """Look at this process where no worker is needed: between workloads, and at the end."""
        if event["event"] not in ("start", "run-ended"):
            return
        process, times = psutil.Process(), (time.monotonic(), sum(os.times()[:4]))
        if self.rss:
            self.seconds.append(times[0] - self._began[0])
            self.processor_seconds.append(times[1] - self._began[1])
        self._began = times
        self.rss.append(process.memory_info().rss)
        self.descriptors.append(process.num_fds())
        self.children.append(len(process.children(recursive=True)))

    @property
    def memory_growth(self) -> float:
        """The part that the harness's resident set grew by."""
        return _growth(self.rss[1:])  # the first is of before any cell

    @property
    def time_growth(self) -> float:
        """The part that a workload's processor seconds grew by, of the harness and its workers.

        Those, for they hang less on what else the machine does.
        """
        return _growth(self.processor_seconds)

    def complaints(self) -> list[str]:
        """What grew, was left or failed, in words."""
        before, after = self.descriptors[1], self.descriptors[-1]
        complaints = {
            f"the harness's memory grew by {self.memory_growth:.0%}": self.memory_growth > WITHIN,
            f"the last cells took {self.time_growth:.0%} longer": self.time_growth > WITHIN,
            f"{before} descriptors became {after}": after > before,
            f"{max(self.children)} processes were left": any(self.children),
            f"statuses: {', '.join(sorted(self.statuses))}": self.statuses != {"ok"},
        }
        return [words for words, wrong in complaints.items() if wrong]


def soak(folder: Path, cells: int) -> Soak:
    """Run so many cells in a project made in `folder`; return what was seen."""
    toys, seen = Toys(folder / "project"), Soak()
    toys.root.mkdir(parents=True)
    toys.make()
    workloads = [str(path) for path in _workloads(folder, cells // CELLS)]
    options = Options(
        frameworks=["all"],
        workloads=workloads,
        modes=["well"],
        device="cpu",
        threads=1,
        seed=None,
        data="real",
        data_dir=None,
        steps=40,
        out=toys.root / "results",
        interpreters=dict.fromkeys(["faulty", "reference"], Path(sys.executable)),
        root=toys.root,
    )
    cell = request(options)
    record, _ = execute(replace(cell, measuring=BRIEF), seen.listen, toys.root)
    seen.statuses = {*store.summary(record)["status"]}
    return seen


def _workloads(folder: Path, count: int) -> list[Path]:
    text = (ROOT / "workloads" / "catalogue" / "mlp-2-3-2.toml").read_text(encoding="utf-8")
    paths = [folder / f"toy-{number}.toml" for number in range(count)]
    for path in paths:
        path.write_text(text, encoding="utf-8")
    return paths


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """The medians of the first fifth and of the last."""
    fifth = max(1, len(values) // 5)
    return median(values[:fifth]), median(values[-fifth:])


def _growth(values: Sequence[float]) -> float:
    first, last = _ends(values)
    return last / first - 1


def main() -> None:
    """Run the cells, print the figures; the exit status is 1 where something grew."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--cells", type=int, default=500)
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        seen = soak(Path(folder), arguments.cells)
    first, last = (size / 2**20 for size in _ends(seen.rss[1:]))
    print(f"{CELLS * len(seen.seconds)} cells in {time.monotonic() - began:.0f} s")
    print(
        f"memory of the harness: {first:.0f} MiB, then {last:.0f} MiB ({seen.memory_growth:+.1%})"
    )
    print(f"descriptors: {seen.descriptors[1]}, then {seen.descriptors[-1]}")
    print(f"processes left between workloads: {max(seen.children)}")
    first, last = _ends(seen.processor_seconds)
    print(f"a workload: {first:.2f} processor seconds, then {last:.2f} ({seen.time_growth:+.1%})")
    first, last = _ends(seen.seconds)
    print(f"on the clock: {first:.2f} s, then {last:.2f} s ({last / first - 1:+.1%})")
    for complaint in seen.complaints():
        print(complaint)
    sys.exit(int(bool(seen.complaints())))


if __name__ == "__main__":
    main()
