"""Kill a run (-9) at random moments, resume it, and see that nothing is lost: the same set of results.

    python benchmarks/kills.py --kills 100

Runs are of the toy framework, short: cells, launches and rounds are what is compared, and not speeds.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from harness.results import store  # noqa: E402 - found by the path above

_ONCE = (
    "cell-started",
    "trained",
    "evaluated",
    "memory",
    "warmed",
    "latency",
    "cell-done",
    "retrained",
)
"""Events that a run has once of a cell, or of each of its launches: twice would be measured twice."""

_BEGIN = """
import sys
from dataclasses import replace
from pathlib import Path
root, resumed = Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
sys.path.insert(0, str(root))
from harness.runner.context import Measuring
from harness.runner.request import Options, request
from harness.runner.run import execute
cell = request(Options(
    frameworks=["all"], workloads=["mlp-2-3-2", "mlp-digits"], modes=["well", "raises"],
    device="cpu", threads=1, seed=None, data="real", data_dir=None, steps=40, out=root / "results",
    interpreters=dict.fromkeys(["faulty", "reference"], Path(sys.executable)), root=root,
))
brief = Measuring(launches=2, rounds=2, seconds=0.01, warm_seconds=0.01, warm_portions=12,
                  untimed_seconds=0.01)
execute(replace(cell, measuring=brief), lambda event: None, root, resumed=next(iter(resumed), None))
"""


@dataclass
class Toys:
    """A project with the toy framework, in `root`, and how its runs are begun."""

    root: Path
    kills: int = 0
    moments: list[str] = field(default_factory=list)
    """The last whole event before each kill."""

    def make(self) -> None:
        """Copy the project, with the reference and the toy as its frameworks."""
        for name in ("workloads", "harness"):
            shutil.copytree(ROOT / name, self.root / name)
        (self.root / "frameworks").mkdir()
        for path in (ROOT / "frameworks").glob("*.py"):
            shutil.copy(path, self.root / "frameworks")
        shutil.copytree(ROOT / "frameworks" / "reference", self.root / "frameworks" / "reference")
        shutil.copytree(ROOT / "tests" / "toys" / "faulty", self.root / "frameworks" / "faulty")

    def begin(self, resumed: Path | None = None) -> subprocess.Popen[bytes]:
        """Begin a run, or go on with one."""
        command = [sys.executable, "-c", _BEGIN, str(self.root)]
        environment = {**os.environ, "SAMESTEP_CACHE": str(self.root / "cache")}
        return subprocess.Popen(
            command + ([str(resumed)] if resumed else []),
            env=environment,
            stdout=subprocess.DEVNULL,
        )

    def whole(self) -> tuple[Path, float]:
        """Let a run come to its end; return its folder and its seconds."""
        there, began = {*self.folders()}, time.monotonic()
        if self.begin().wait():
            raise RuntimeError("the run failed though nobody disturbed it")
        (folder,) = {*self.folders()} - there
        return folder, time.monotonic() - began

    def folders(self) -> list[Path]:
        """The runs that there are."""
        return store.folders(self.root / "results")

    def killed(self, random: random.Random, seconds: float, times: int) -> Path:
        """Kill a run `times` times, within `seconds` of its begin each time; resume it to its end."""
        there, folder = {*self.folders()}, None
        for _ in range(times):
            process = self.begin(folder)
            try:
                process.wait(random.uniform(0.0, seconds))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                self.kills += 1
            process.wait()
            folder = next(iter({*self.folders()} - there), None)
            if folder and store.read(folder).end:
                return folder  # it was quicker than the kill
            events = store.read(folder).events if folder else ()
            self.moments.append(events[-1]["event"] if events else "nothing yet")
        if self.begin(folder).wait():
            raise RuntimeError(f"{folder}: could not be resumed after {self.moments[-1]}")
        (folder,) = {*self.folders()} - there
        return folder


def results(folder: Path) -> dict[str, Any]:
    """What a run came to, without its figures: cells and how they came out, launches and rounds."""
    record = store.read(folder)
    once = Counter(
        (event["event"], *(event.get(key) for key in ("cell", "launch", "twin", "batch")))
        for event in record.events
        if event["event"] in _ONCE
    )
    columns = ["cell", "launch", "round", "kind", "twin", "turn"]
    slices = {*record.slices[columns].itertuples(index=False, name=None)}
    table = store.summary(record).set_index("cell")
    end = record.end or {}
    return {
        "events": once,
        "slices": slices,
        "status": table["status"].to_dict(),
        "accuracy": table["accuracy"].dropna().to_dict(),
        "launches": table["launches"].dropna().to_dict(),
        "end": (end.get("status"), end.get("exit_code")),
    }


def lost(whole: dict[str, Any], resumed: dict[str, Any]) -> list[str]:
    """The parts of the results in which a resumed run differs from one that nobody disturbed."""
    return [part for part in whole if whole[part] != resumed[part]]


def only_in(part: Any, other: Any) -> str:
    """Name what one side's part of the results has and the other's has not."""
    rows, other_rows = (
        set(each.items() if isinstance(each, dict) else each) for each in (part, other)
    )
    return ", ".join(sorted(map(str, rows - other_rows))) or "nothing"


def main() -> None:
    """Kill as often as is asked, and say what was lost."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    drawn, differences, runs = random.Random(options.seed), 0, 0  # noqa: S311 - no secret
    with tempfile.TemporaryDirectory() as folder:
        toys = Toys(Path(folder) / "project")
        toys.root.mkdir()
        toys.make()
        first, seconds = toys.whole()
        expected = results(first)
        while toys.kills < options.kills:
            run = toys.killed(drawn, seconds, drawn.randint(1, 3))
            resumed = results(run)
            missing = lost(expected, resumed)
            runs, differences = runs + 1, differences + len(missing)
            print(
                f"{toys.kills} kills, {runs} runs: {', '.join(missing) or 'nothing lost'}",
                flush=True,
            )
            for part in missing:
                print(f"  {part}, lost: {only_in(expected[part], resumed[part])}")
                print(f"  {part}, new: {only_in(resumed[part], expected[part])}")
            shutil.rmtree(run)
        print(f"killed behind: {dict(Counter(toys.moments).most_common())}")
    sys.exit(int(differences > 0))


if __name__ == "__main__":
    main()
