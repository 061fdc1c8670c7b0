"""Does the gate cry wolf, and does it see what is planted? Real checks, with a load beside them.

    python benchmarks/gate.py trials PLANT COUNT [--quiet] [--budget SECONDS]
    python benchmarks/gate.py pool [--launches 30] [--quiet] [--keep FOLDER]
    python benchmarks/gate.py draws RUN [--most LAUNCHES]

`trials` runs the check that a user would, again and again; PLANT is none, or what of the planted
adapter's is to be found. `pool` runs identical and worse cells for many launches; `draws` makes of
such a run thousands of checks, each of launches drawn from it, and prints how many alarms were false
and how often what is planted was found. Beside all of it a process makes load half of the time. The
tables of docs/evidence/gate.md are what they print.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from benchmarks.power import SPEC, project  # noqa: E402
from harness.environments import builder, framework_spec  # noqa: E402
from harness.gate import request  # noqa: E402
from harness.gate.decide import Comparison, accuracy_change, judge  # noqa: E402
from harness.gate.evaluate import LEVEL, TRIM, Check, unsettled, verdict  # noqa: E402
from harness.gate.findings import REGRESSED, Finding  # noqa: E402
from harness.machine import host  # noqa: E402
from harness.outcomes import REGRESSION  # noqa: E402
from harness.results import store  # noqa: E402
from harness.results.launches import Measures  # noqa: E402
from harness.results.metrics import IN_GATE  # noqa: E402
from harness.runner import context  # noqa: E402
from harness.runner.context import MOST_SEEDS, Measuring  # noqa: E402
from harness.runner.request import Request  # noqa: E402
from harness.runner.run import execute  # noqa: E402
from harness.stats import intervals  # noqa: E402
from harness.stats.intervals import LOOKS  # noqa: E402

THRESHOLD, MARGIN = REGRESSION.relative, REGRESSION.points
WORKLOAD = "cnn-digits"
PLANTS = {
    "none": "b",
    "slow5": "slow5",
    "slow10": "slow10",
    "large5": "large5",
    "wrong1": "wrong1",
    "steep1": "steep1",
}
"""What is planted, and the mode of the planted adapter that has it; "a" is what it is held against."""

POOL = ("a", "b", "c", "slow5", "slow10", "large5", "wrong1")
IDENTICAL = ("a", "b", "c")
PERIOD = 6.0
"""Seconds of load and of none, together."""

DRAWS = 2000

BURN = f"""
import os, time
parent = os.getppid()
while os.getppid() == parent:
    end = time.monotonic() + {PERIOD / 2}
    while time.monotonic() < end:
        sum(range(1000))
    time.sleep({PERIOD / 2})
"""


@contextlib.contextmanager
def load(quiet: bool) -> Iterator[None]:
    """Have another process keep one processor busy half of the time, unless it is to be `quiet`."""
    if quiet:
        yield
        return
    beside = subprocess.Popen([sys.executable, "-c", BURN])
    try:
        yield
    finally:
        beside.kill()
        beside.wait()


def planted(folder: Path) -> Path:
    """Copy the project to `folder` with the planted framework alone; return its root."""
    root = project(folder)
    modes = ", ".join(f'"{mode}"' for mode in dict.fromkeys((*POOL, *PLANTS.values())))
    (root / "frameworks" / "planted" / "environment.toml").write_text(SPEC.format(modes=modes))
    return root


def request_of(root: Path, mode: str, budget: float | None, seed: int) -> Request:
    """Return the request of the check, as the command line makes it."""
    python = builder.prepare(framework_spec.discover(ROOT)["pytorch"], "cpu").python
    return request.against(
        "planted/a",
        frameworks=["planted"],
        workloads=[WORKLOAD],
        modes=[mode],
        device="cpu",
        threads=None,
        seed=seed,
        data="real",
        data_dir=None,
        interpreters={"planted": python},
        out=root / "results",
        root=root,
        threshold=THRESHOLD,
        margin=MARGIN,
        budget=budget,
    )


def trials(plant: str, count: int, budget: float | None, quiet: bool) -> None:
    """Check a pair again and again, and print what came of each."""
    about = "quiet" if quiet else "with load half of the time"
    print(f"{date.today()}, {host.describe()['cpu']}; {WORKLOAD}; {plant} planted; {about}\n")
    print("| trial | exit | regressed | inconclusive | throughput | launches | whole check, s |")
    print("| ---: | ---: | --- | --- | --- | ---: | ---: |")
    alarms = 0
    for trial in range(count):
        with tempfile.TemporaryDirectory() as folder, load(quiet):
            root = planted(Path(folder))
            began = time.monotonic()
            record, _ = execute(
                request_of(root, PLANTS[plant], budget, trial), lambda event: None, root
            )
            seconds = time.monotonic() - began
            result = verdict(record)
        alarms += bool(result.having(REGRESSED))
        words = (
            ", ".join(finding.metric.name for finding in result.having(what)) or "-"
            for what in (REGRESSED, "inconclusive")
        )
        speed = next((x for x in result.findings if x.metric.rule.kind == "train"), None)
        ratio = (
            "-"
            if speed is None or speed.change is None
            else (f"{speed.change:+.1%} ({speed.low:+.1%} to {speed.high:+.1%})")
        )
        launches = 0 if speed is None else speed.launches
        print(
            f"| {trial + 1} | {result.status} | {' | '.join(words)} | {ratio} | {launches} |"
            f" {seconds:.0f} |",
            flush=True,
        )
    print(f"\nregressed in {alarms} of {count}")


def pool(launches: int, quiet: bool, keep: Path | None) -> None:
    """Run all cells for many launches, each with a training; then draw checks from them."""
    context.LEAST_SEEDS = context.MOST_SEEDS = launches
    with tempfile.TemporaryDirectory() as folder, load(quiet):
        root = planted(keep or Path(folder))
        made = request_of(root, "b", None, 0)
        cells = [replace(made.cells[0], mode=mode) for mode in POOL]
        base = cells[0].id
        pairs = [(cell.id, base) for cell in cells[1:]]
        made = replace(
            made,
            cells=cells,
            extra_manifest={"check": vars(Check("planted/a", pairs, THRESHOLD, MARGIN))},
            measuring=Measuring(launches=launches, checking=True),
        )
        record, _ = execute(made, lambda event: None, root)
        draws(record, LOOKS[-1])


def draws(record: store.Record, most: int) -> None:
    """Make checks of the launches of a run, `most` launches each, and print what came of them."""
    measures = Measures(record)
    launches = measures.launches(next(iter(measures.cells)))
    about = f"{launches} launches of {record.folder.name}; checks of {most} at most"
    print(f"\n{date.today()}, {host.describe()['cpu']}; {WORKLOAD}; {about}, {DRAWS} of each\n")
    print("| planted | found | anything else | launches, median | 95% of checks |")
    print("| --- | ---: | ---: | ---: | ---: |")
    looks = [look for look in LOOKS if look <= most] + ([most] if most not in LOOKS else [])
    for plant, metric in (
        ("none", ""),
        ("slow5", "throughput"),
        ("slow10", "throughput"),
        ("large5", "memory"),
        ("wrong1", "accuracy"),
    ):
        draw, taken = np.random.default_rng(0), list[int]()
        alarms: Counter[str] = Counter()
        for _ in range(DRAWS):
            bases = [mode for mode in IDENTICAL if mode != plant]
            head = plant if metric else str(draw.choice(IDENTICAL))
            base = str(draw.choice([mode for mode in bases if mode != head]))
            findings, launches = _check(measures, head, base, draw, looks)
            names = {x.metric.name for x in findings if x.verdict == REGRESSED}
            alarms["found"] += metric in names
            alarms["else"] += bool(names - {metric})
            taken.append(launches)
        share = f"{alarms['found'] / DRAWS:.1%}" if metric else "-"
        print(
            f"| {plant} | {share} | {alarms['else'] / DRAWS:.2%} | {np.median(taken):.0f} |"
            f" {np.quantile(taken, 0.95):.0f} |",
            flush=True,
        )


def _check(
    measures: Measures, head: str, base: str, draw: np.random.Generator, looks: list[int]
) -> tuple[list[Finding], int]:
    """Return the findings of one check of drawn launches, and how many it took to be settled."""
    cells = {cell.split("/")[2]: cell for cell in measures.cells}
    x, y = cells[head], cells[base]
    logs = {metric: measures.pair(metric, x, y) for metric in IN_GATE}
    logs = {metric: values for metric, values in logs.items() if len(values)}
    order = draw.permutation(min(map(len, logs.values())))
    sides = [measures.cells[cell].correct for cell in (y, x)]
    seeds = draw.permutation(sorted({*sides[0]} & {*sides[1]}))
    findings: list[Finding] = []
    for look in looks:
        compared = []
        for metric, values in logs.items():
            floor = measures.floor(metric, x)
            ratio = intervals.ratio(values[order[:look]], level=LEVEL, trim=TRIM)
            compared.append(Comparison(metric, x, y, ratio, floor, None, None))
        before, after = ([side[seed] for seed in seeds[: min(look, MOST_SEEDS)]] for side in sides)
        accuracy = [accuracy_change(x, y, before, after, LEVEL)]
        findings = judge(compared, accuracy, THRESHOLD, MARGIN, LEVEL)
        if not unsettled(findings)[0]:
            return findings, look
    return findings, looks[-1]


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    kinds = parser.add_subparsers(dest="what", required=True)
    planted = kinds.add_parser("trials")
    planted.add_argument("plant", choices=PLANTS)
    planted.add_argument("count", type=int)
    planted.add_argument("--budget", type=float, help="seconds")
    two = kinds.add_parser("pool")
    two.add_argument("--launches", type=int, default=30)
    two.add_argument("--keep", type=Path, help="make the run in this folder, and leave it there")
    for each in (planted, two):
        each.add_argument("--quiet", action="store_true", help="no load beside it")
    three = kinds.add_parser("draws")
    three.add_argument("run", type=Path)
    three.add_argument("--most", type=int, default=LOOKS[-1], help="launches in a check")
    options = parser.parse_args()
    if options.what == "trials":
        trials(options.plant, options.count, options.budget, options.quiet)
    elif options.what == "pool":
        pool(options.launches, options.quiet, options.keep)
    else:
        draws(options.run, options.most)


if __name__ == "__main__":
    main()
