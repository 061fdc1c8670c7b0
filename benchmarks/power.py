"""Does the laboratory see what is there, and nothing else? Identical cells, and slowed ones.

    python benchmarks/power.py pool [--launches 50] [--keep FILE]
    python benchmarks/power.py trials MODE COUNT BUDGET               e.g. slow10 20 90

`pool` runs identical and slowed cells for many launches and prints the A/A table and the power curve
of docs/evidence/measuring.md; `trials` runs the command that a user would, again and again, and prints
how often and how soon the planted slow-down was found.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from harness.environments import builder, framework_spec  # noqa: E402
from harness.machine import host  # noqa: E402
from harness.outcomes import INCONCLUSIVE  # noqa: E402
from harness.results import pairwise  # noqa: E402
from harness.runner.context import Measuring  # noqa: E402
from harness.runner.request import Options, Request, request  # noqa: E402
from harness.runner.run import execute  # noqa: E402
from harness.stats import intervals  # noqa: E402
from harness.stats.intervals import LEVEL, LOOKS  # noqa: E402

IDENTICAL = ("a", "b", "c", "d", "e", "f", "g")
SLOWED = ("slow2", "slow5", "slow10")
GROUP = 5
"""Launches in one comparison of the A/A table: what a run takes unless told otherwise."""

DRAWS = 2000
"""Orders of the recorded launches that the power curve is the mean of."""

SPEC = """
title = "Planted"
python = "3.11"
package = "torch"
module = "torch"
modes = [{modes}]
devices = ["cpu"]
[requirements]
cpu = ["torch"]
[variables]
OMP_NUM_THREADS = "{{threads}}"
MKL_NUM_THREADS = "{{threads}}"
"""


def copied(folder: Path, planted: Path) -> Path:
    """Copy the project to `folder`; its one framework is `planted`, without its environment.toml.

    Returns the copy's root. The other frameworks' adapters are there, to be built on.
    """
    root = folder / "project"
    for room in ("workloads", "frameworks", "harness"):
        hidden = shutil.ignore_patterns("__pycache__", "environment.toml")
        shutil.copytree(ROOT / room, root / room, ignore=hidden)
    shutil.copytree(planted, root / "frameworks" / "planted")
    return root


def project(folder: Path) -> Path:
    """Copy the project to `folder`, with the planted framework and no other; return its root."""
    root = copied(folder, ROOT / "benchmarks" / "planted")
    modes = ", ".join(f'"{mode}"' for mode in (*IDENTICAL, *SLOWED))
    (root / "frameworks" / "planted" / "environment.toml").write_text(SPEC.format(modes=modes))
    return root


def request_of(root: Path, modes: tuple[str, ...], measuring: Measuring, seed: int) -> Request:
    """Return the request of a run over `modes`, as the command line makes it."""
    python = builder.prepare(framework_spec.discover(ROOT)["pytorch"], "cpu").python
    made = request(
        Options(
            frameworks=["planted"],
            workloads=["cnn-digits"],
            modes=list(modes),
            device="cpu",
            threads=None,
            seed=seed,
            data="synthetic",
            data_dir=None,
            steps=1,
            no_parity=True,
            interpreters={"planted": python},
            out=root / "results",
            command=sys.argv,
            root=root,
        )
    )
    return Request(**{**vars(made), "measuring": measuring})


def aa(table: pd.DataFrame, twins: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Return, by kind, how many comparisons of identical cells there were, and how many came out."""
    rows = []
    same = table[table["mode"].isin(IDENTICAL)]
    for kind in ("train", "predict"):
        alone = together = count = 0
        logs: list[float] = []
        for block in range(int(table["launch"].max()) // GROUP):
            launches = range(block * GROUP + 1, (block + 1) * GROUP + 1)
            cells, replicates = (
                pairwise.counted(part[part["launch"].isin(launches) & (part["kind"] == kind)])
                for part in (same, twins)
            )
            pairs = pairwise.pairs(cells, replicates)
            count += len(pairs)
            together += int((pairs["verdict"] != INCONCLUSIVE).sum())
            alone += int((pairs["p"] < 1 - LEVEL).sum())
            logs += np.log(pairs["ratio"]).tolist()
        largest = math.expm1(np.abs(logs).max())
        rows.append((kind, count, alone, together, f"{np.std(logs):.4f}", f"{largest:.1%}"))
    return rows


def rates(table: pd.DataFrame, mode: str) -> NDArray[np.float64]:
    """Return a mode's training samples a second, (launches, rounds)."""
    counted = pairwise.counted(table[(table["mode"] == mode) & (table["kind"] == "train")])
    wide = counted.pivot(index="launch", columns="round", values="samples_per_s")
    return wide.reindex(range(1, int(table["launch"].max()) + 1)).to_numpy()


def power(table: pd.DataFrame, twins: pd.DataFrame, mode: str) -> NDArray[np.float64]:
    """Return the share of draws in which the slow-down is found by each of LOOKS."""
    draw = np.random.default_rng(0)
    slowed = rates(table, mode)
    logs = [intervals.launch_ratios(rates(table, mode), slowed) for mode in IDENTICAL]
    alike = np.concatenate(
        [
            intervals.launch_ratios(rates(table, twin), rates(twins, twin))
            for twin in twins["mode"].unique()
            if twin in IDENTICAL
        ]
    )
    level = intervals.level_at_looks(len(LOOKS) + 1)
    hits = np.zeros(len(LOOKS))
    for _ in range(DRAWS):
        values = draw.permutation(logs[draw.integers(len(logs))])
        other = draw.permutation(alike[np.isfinite(alike)])
        for place, look in enumerate(LOOKS):
            floor = intervals.noise_floor(other[:look])
            if look <= values.size and intervals.ratio(values[:look], floor, level).p < 1 - level:
                hits[place:] += 1
                break
    return hits / DRAWS


def pool(launches: int, keep: Path | None) -> None:
    """Run all modes for many launches, and print the A/A table and the power curve."""
    measuring = Measuring(launches=launches, rounds=4, seconds=0.15)
    with tempfile.TemporaryDirectory() as folder:
        root = project(Path(folder))
        began = time.monotonic()
        record, _ = execute(
            request_of(root, (*IDENTICAL, *SLOWED), measuring, 0), lambda event: None, root
        )
        table = record.slices.copy()
        if keep:
            table.to_csv(keep, index=False)
    seconds = time.monotonic() - began
    report(
        table,
        f"{launches} launches, {measuring.rounds} rounds of {measuring.seconds} s;"
        f" {seconds / 60:.0f} minutes",
    )


def report(table: pd.DataFrame, about: str) -> None:
    """Print the tables."""
    table["noise"] = table["noise"].fillna("")
    twins, table = table[table["twin"]], table[~table["twin"]]
    print(f"{date.today()}, {host.describe()['cpu']}; cnn-digits; {about}\n")
    print(
        "| kind | comparisons | found different, each alone | by Holm | SD of log ratio | largest |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for row in aa(table, twins):
        print(f"| {' | '.join(map(str, row))} |")
    print(f"\n| slowed by | {' | '.join(f'{look} launches' for look in LOOKS)} |")
    print(f"| --- |{' ---: |' * len(LOOKS)}")
    for mode in SLOWED:
        shares = (f"{share:.0%}" for share in power(table, twins, mode))
        print(f"| {mode.removeprefix('slow')}% | {' | '.join(shares)} |")


def trials(mode: str, count: int, budget: float, precision: float) -> None:
    """Run a pair again and again with a budget, and print what came of each."""
    options = f"--budget {budget:g}s --precision {precision:.1%}"
    print(f"{date.today()}, {host.describe()['cpu']}; cnn-digits; a pair, {options}\n")
    print("| trial | verdict | ratio | launches | measuring, s | whole run, s |")
    print("| ---: | --- | --- | ---: | ---: | ---: |")
    hits = 0
    for trial in range(count):
        with tempfile.TemporaryDirectory() as folder:
            root = project(Path(folder))
            began = time.monotonic()
            measuring = Measuring(budget=budget, precision=precision)
            record, _ = execute(
                request_of(root, ("a", mode), measuring, trial), lambda event: None, root
            )
            whole = time.monotonic() - began
        pairs = record.pairs
        (pair,) = pairs[pairs["kind"] == "train"].to_dict("records")
        hits += pair["verdict"] == pairwise.FASTER  # "a" is the first of the two by name
        times = [event["time"] for event in record.every("slice")]
        print(
            f"| {trial + 1} | {pair['verdict']} | {pair['ratio']:.3f} ({pair['low']:.3f} to"
            f" {pair['high']:.3f}) | {pair['launches']} | {max(times) - min(times):.0f} |"
            f" {whole:.0f} |",
            flush=True,
        )
    print(f"\nfound in {hits} of {count}")


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    kinds = parser.add_subparsers(dest="what", required=True)
    pooled = kinds.add_parser("pool")
    pooled.add_argument("--launches", type=int, default=50)
    pooled.add_argument("--keep", type=Path, help="write every slice to this file, as CSV")
    two = kinds.add_parser("trials")
    two.add_argument("mode", choices=(*IDENTICAL, *SLOWED))
    two.add_argument("count", type=int)
    two.add_argument("budget", type=float, help="seconds")
    two.add_argument("precision", type=float, help="percent, as of `run --precision`")
    options = parser.parse_args()
    if options.what == "pool":
        pool(options.launches, options.keep)
    else:
        trials(options.mode, options.count, options.budget, options.precision / 100)


if __name__ == "__main__":
    main()
