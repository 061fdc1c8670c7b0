"""Does pooling what launches vary by keep what intervals promise? Simulates runs of nine equal cells.

    python benchmarks/pooled_intervals.py [--trials 400] [--seed 0]

Noise is drawn as in coverage.py, and judged by the function that judges a run's pairs
(harness/stats/pooling.py) and by Student's interval of each pair alone. One cell's launches may vary by
more than those of the others. Prints the first table of docs/evidence/coverage.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from benchmarks.coverage import LOUD, Noise, Run, draw, half_width, mean, percent, table  # noqa: E402
from harness.machine import host  # noqa: E402
from harness.stats import intervals  # noqa: E402

ODD = (
    (Noise(0.002, 0.055), 0.0),
    (Noise(0.02, 0.05), 0.0),
    (replace(LOUD, heavy=True), 0.0),
    (Noise(0.01, 0.1, bursts=0.06), 0.0),
    (Noise(0.002, 0.055), 0.03),
    (Noise(0.01, 0.05), 0.1),
)
"""Machines, and by how much the launches of one cell of nine vary besides."""


def pooled(noise: Noise, odd: float, trials: int, seed: int) -> Iterator[tuple[str, ...]]:
    """Yield what pooling does to nine equal cells, the first of whose launches vary by `odd` besides.

    For 3 and 5 launches: how often Student's interval and the pooled one hold the truth, how wide they
    are, how often the pooled ones of the odd cell hold it, and in how many runs any pair is told apart.
    """
    for launches in (3, 5):
        random = np.random.default_rng((seed, launches))
        rates = draw(noise, trials, launches, 10, random)
        rates[:, :, :1] *= np.exp(random.normal(0, odd, (trials, launches, 1, 1)))
        run, ran = Run(rates), np.ones((9, launches), dtype=bool)
        held: dict[str, list[bool]] = {"student": [], "pooled": [], "odd": [], "apart": []}
        widths: dict[str, list[float]] = {"student": [], "pooled": []}
        for trial in range(trials):
            floor = run.floor(trial, launches)
            student = {p: intervals.ratio(logs[trial], floor) for p, logs in run.pairs.items()}
            ratios = run.ratios(trial, ran, floor)
            for rule, judged in (("student", student), ("pooled", ratios)):
                held[rule] += [r.low <= 1 <= r.high for r in judged.values()]
                widths[rule] += [half_width(r) for r in judged.values()]
            held["odd"] += [r.low <= 1 <= r.high for (a, _), r in ratios.items() if a == 0]
            held["apart"].append(bool(intervals.holm({p: r.p for p, r in ratios.items()})))
        shares = percent(mean(held[rule]) for rule in ("student", "pooled", "odd", "apart"))
        halves = [f"{np.median(widths[rule]):.1%}" for rule in ("student", "pooled")]
        yield str(launches), shares[0], halves[0], shares[1], halves[1], *shares[2:]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    trials, seed = options.trials, options.seed
    print(f"{date.today()}, {host.describe()['cpu']}; {trials:,} trials a row, seed {seed}")
    table(
        [
            "nine equal cells",
            "first cell's launches",
            "launches",
            "Student's hold",
            "half width",
            "pooled hold",
            "half width",
            "the first cell's hold",
            "any told apart",
        ],
        (
            (noise, f"{odd:g} more", *row)
            for noise, odd in ODD
            for row in pooled(noise, odd, trials, seed)
        ),
    )


if __name__ == "__main__":
    main()
