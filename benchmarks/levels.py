"""How often does noise show a change point, and a planted step show none? Simulates series of runs.

    python benchmarks/levels.py [--trials 2000] [--seed 0]

Values are drawn whose truth is known and judged by the function that judges stored runs
(`harness/stats/changepoints.py`). Prints the tables of docs/evidence/history.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from harness.stats.changepoints import change_points  # noqa: E402

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Array]

COUNTS = (4, 6, 8, 12, 20, 50)
STEPS = ((2, 2), (3, 2), (4, 2), (4, 4), (10, 2), (10, 4), (20, 2), (20, 20))
"""Runs before a step and after it."""
SIZES = (2, 3, 5, 10)
"""Steps, in standard deviations of a run."""


def drifting(random: np.random.Generator, count: int) -> Array:
    """Values that keep half of the one before them."""
    noise = random.normal(size=count) * np.where(np.arange(count), np.sqrt(0.75), 1)
    return np.array(list(accumulate(noise, lambda before, new: 0.5 * before + new)))


NOISES: dict[str, Draw] = {
    "normal": lambda random, count: random.normal(size=count),
    "heavy (Student's t, 3 degrees)": lambda random, count: random.standard_t(3, count),
    "skewed (exponential)": lambda random, count: random.exponential(size=count),
    "normal, one in 20 ten times as far": lambda random, count: (
        random.normal(size=count) * np.where(random.random(count) < 0.05, 10, 1)
    ),
    "normal, rounded to whole 2 SD": lambda random, count: np.round(random.normal(size=count) / 2),
    "drifting (each keeps half of the last)": drifting,
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table."""
    print(f"| {' | '.join(head)} |")
    print(f"| --- |{' ---: |' * (len(head) - 1)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print()


def share(hits: Iterable[bool]) -> str:
    """Return how many are true, in words."""
    return f"{np.mean(list(hits)):.1%}"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    table(
        ["noise, and nothing changed", *(f"{count} runs" for count in COUNTS)],
        (
            [
                name,
                *(
                    share(bool(change_points(draw(random, count))) for _ in range(options.trials))
                    for count in COUNTS
                ),
            ]
            for name, draw in NOISES.items()
        ),
    )
    table(
        ["runs before + after a step of", *(f"{size} SD" for size in SIZES)],
        (
            [
                f"{before} + {after}",
                *(
                    share(
                        change_points(
                            random.normal(size=before + after)
                            + size * (np.arange(before + after) >= before)
                        )
                        == [before]
                        for _ in range(options.trials)
                    )
                    for size in SIZES
                ),
            ]
            for before, after in STEPS
        ),
    )


if __name__ == "__main__":
    main()
