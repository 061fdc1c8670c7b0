"""Do the intervals hold the truth, and are verdicts right? Simulates runs on machines with known noise.

    python benchmarks/coverage.py [--trials 4000] [--seed 0]

Log speeds are drawn with heavy tails, a drift common to all cells of a round, bursts that slow
whatever runs, and an effect for each launch; they are judged by the functions that judge real ones.
Prints the tables that docs/evidence/coverage.md sums up.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from harness.defaults import PRECISION  # noqa: E402
from harness.machine import host  # noqa: E402
from harness.results import pairwise  # noqa: E402
from harness.runner.context import Measuring  # noqa: E402
from harness.runner.request import LEAST_LAUNCHES  # noqa: E402
from harness.stats import intervals, pooling  # noqa: E402
from harness.stats.intervals import LEVEL, LOOKS  # noqa: E402

Array = NDArray[np.float64]

ROUNDS = Measuring().rounds
LAUNCHES = (3, 5, 8, 12, 20)
ALPHA = 1 - LEVEL
DIFFERENCE = 0.05
"""By how much, as a logarithm, the cells whose interval is tried do differ."""

BURST = 4
"""How many slices a burst lasts, on average."""


@dataclass(frozen=True)
class Noise:
    """A machine: standard deviations of log speed, by what it varies with."""

    launch: float
    slice: float
    heavy: bool = False
    """Whether launches have Student's distribution with 3 degrees of freedom, as slices always do."""
    bursts: float = 0.02
    """The chance that a burst begins with a slice."""
    drift: float = 0.03

    def __str__(self) -> str:
        tails = " heavy" if self.heavy else ""
        return f"launch {self.launch}{tails}, slice {self.slice}, bursts {self.bursts}"


QUIET, MIDDLING, LOUD = Noise(0.005, 0.015), Noise(0.02, 0.05), Noise(0.06, 0.1)

COVERED = (
    Noise(0.01, 0.015),
    Noise(0.03, 0.05),
    LOUD,
    replace(LOUD, heavy=True),
    Noise(0.06, 0.015, heavy=True),
    Noise(0.01, 0.1),
    replace(LOUD, bursts=0.06),
    replace(LOUD, bursts=0.0),
)


class Run:
    """Everything that `trials` runs could measure: log ratios of all pairs and twins, by launch."""

    def __init__(self, rates: Array) -> None:
        """`rates` are (trials, launches, cells, rounds); the last cell is the twin of any other."""
        cells = rates.shape[2] - 1
        self.pairs = {(a, b): _ratios(rates, a, b) for a, b in combinations(range(cells), 2)}
        self.scatters = {(a, b): _scatters(rates, a, b) for a, b in self.pairs}
        self.twins = [_ratios(rates, cell, cells) for cell in range(cells)]

    def twin(self, trial: int, launch: int, active: Sequence[int]) -> float:
        """Return the log ratio of the cell that runs twice in a launch, which takes turns."""
        return float(self.twins[active[launch % len(active)]][trial, launch - 1])

    def shift(self, by: float) -> None:
        """Have all cells differ from those after them by so much, though they are the same."""
        self.pairs = {pair: logs + by for pair, logs in self.pairs.items()}
        self.twins = [logs + by for logs in self.twins]

    def ratios(
        self, trial: int, ran: Array, floor: float, level: float = LEVEL
    ) -> dict[tuple[int, int], intervals.Ratio]:
        """Return every pair's ratio, from the launches that both cells `ran` in, (cells, launches)."""
        both = {(a, b): ran[a] & ran[b] for a, b in self.pairs}
        logs = {pair: self.pairs[pair][trial, of] for pair, of in both.items()}
        scatters = {pair: self.scatters[pair][trial, of] for pair, of in both.items()}
        return pooling.ratios(logs, scatters, floor, level)

    def floor(self, trial: int, launches: int) -> float:
        """Return the noise floor of a run of so many launches, of all cells."""
        active = range(len(self.twins))
        return intervals.noise_floor(
            [self.twin(trial, launch, active) for launch in range(1, launches + 1)]
        )


@dataclass(frozen=True)
class Ending:
    """How a run that may stop early ended: what it found different, ever and in the end, and when."""

    ever: bool
    ratios: dict[tuple[int, int], intervals.Ratio]
    rejected: set[tuple[int, int]]
    launches: int


def draw(
    noise: Noise, trials: int, launches: int, cells: int, random: np.random.Generator
) -> Array:
    """Return speeds, (trials, launches, cells, rounds): truly 1."""
    shape = (trials, launches, ROUNDS)
    logs = _student(random, noise.slice, (*shape, cells))
    draws = _student if noise.heavy else _normal
    logs += draws(random, noise.launch, (trials, launches, 1, cells))
    walk = _student(random, noise.drift, shape).reshape(trials, -1).cumsum(axis=1)
    slow = _bursts(noise, (trials, launches), ROUNDS * cells, random)
    order = random.permuted(np.broadcast_to(np.arange(cells), (*shape, cells)), axis=-1)
    slow = np.take_along_axis(slow.reshape(*shape, cells), order, axis=-1)
    return np.exp(logs + walk.reshape(shape)[..., None] + slow).swapaxes(2, 3)


def stop_early(run: Run, trial: int) -> Ending:
    """Judge a run as `harness.runner.rounds` does: at LOOKS, dropping the cells that are decided."""
    level, cells = pairwise.level(by_verdict=True), len(run.twins)
    active, ever = list(range(cells)), False
    ran = np.zeros((cells, LOOKS[-1]), dtype=bool)
    twins: list[float] = []
    for launch in range(1, LOOKS[-1] + 1):
        ran[active, launch - 1] = True
        twins.append(run.twin(trial, launch, active))
        if launch not in LOOKS:
            continue
        ratios = run.ratios(trial, ran, intervals.noise_floor(twins), level)
        rejected = intervals.holm({pair: ratio.p for pair, ratio in ratios.items()}, 1 - level)
        ever |= bool(rejected)
        active = sorted({cell for pair in ratios if pair not in rejected for cell in pair})
        if not active:
            break
    return Ending(ever, ratios, rejected, launch)


def stop_by_width(run: Run, trial: int) -> Ending:
    """Judge a run as `harness.runner.rounds` does that stops by how wide its intervals are."""
    active = list(range(len(run.twins)))
    ran = np.zeros((len(active), LOOKS[-1]), dtype=bool)
    twins: list[float] = []
    for launch in range(1, LOOKS[-1] + 1):
        ran[active, launch - 1] = True
        twins.append(run.twin(trial, launch, active))
        if launch < LEAST_LAUNCHES:
            continue
        ratios = run.ratios(trial, ran, intervals.noise_floor(twins))
        wide = {pair for pair, ratio in ratios.items() if half_width(ratio) > PRECISION}
        active = sorted({cell for pair in wide for cell in pair})
        if not active:
            break
    rejected = intervals.holm({pair: ratio.p for pair, ratio in ratios.items()})
    return Ending(bool(rejected), ratios, rejected, launch)


def half_width(ratio: intervals.Ratio) -> float:
    """Return half of an interval's width, as a part of the ratio."""
    return (ratio.high - ratio.low) / (2 * ratio.estimate)


def coverage(noise: Noise, trials: int, seed: int) -> dict[str, list[float]]:
    """Return how often an interval holds the truth, for each of LAUNCHES, by what it is of."""
    held: dict[str, list[float]] = {}
    for launches in LAUNCHES:
        random = np.random.default_rng((seed, launches))
        run = Run(_slower(draw(noise, trials, launches, 3, random), DIFFERENCE))
        logs, truth = run.pairs[0, 1], math.exp(DIFFERENCE)
        bare = [intervals.ratio(values) for values in logs]
        wide = [intervals.ratio(values, run.floor(n, launches)) for n, values in enumerate(logs)]
        held.setdefault("a ratio, before the floor widens it", []).append(_holding(bare, truth))
        held.setdefault("a ratio, as reported", []).append(_holding(wide, truth))
        for words, drift in (("without drift", 0.0), ("with drift", noise.drift)):
            alone = draw(replace(noise, drift=drift), trials, launches, 1, random)[:, :, 0]
            speeds = [intervals.speed(rates) for rates in alone]
            held.setdefault(f"a cell's speed, {words}", []).append(_holding(speeds, 1.0))
    return held


def false_verdicts(noise: Noise, trials: int, seed: int) -> Iterator[tuple[str, float, float]]:
    """Yield how often identical cells are found different: the rule, the share, launches on average."""
    random = np.random.default_rng(seed)
    pair = Run(draw(noise, trials, LOOKS[-1], 3, random))
    nine = Run(draw(noise, trials, LOOKS[-1], 10, random))
    yield "one pair, 5 launches", mean(ratio.p <= ALPHA for ratio in _five(pair)), 5
    yield "… without the floor", mean(ratio.p <= ALPHA for ratio in _five(pair, floored=False)), 5
    peeks = [_peek(logs) for logs in pair.pairs[0, 1]]
    yield (
        "… a look after every launch, without the floor",
        mean(peek > 0 for peek in peeks),
        mean(peek or LOOKS[-1] for peek in peeks),
    )
    for words, run in (("one pair", pair), ("any of nine cells' 36 pairs", nine)):
        ends = [stop_early(run, n) for n in range(trials)]
        yield (
            f"{words}, may stop early",
            mean(end.ever for end in ends),
            mean(end.launches for end in ends),
        )
        ends = [stop_by_width(run, n) for n in range(trials)]
        yield (
            f"{words}, to a precision of {PRECISION:.0%}",
            mean(end.ever for end in ends),
            mean(end.launches for end in ends),
        )
    pair.shift(2 * noise.launch)
    yield (
        "one pair in unequal places, 5 launches",
        mean(ratio.p <= ALPHA for ratio in _five(pair)),
        5,
    )
    bare = _five(pair, floored=False)
    yield "… without the floor", mean(ratio.p <= ALPHA for ratio in bare), 5


def power(noise: Noise, difference: float, trials: int, seed: int) -> tuple[float, ...]:
    """Return how often a pair is rightly found different, and how.

    With 5 launches, without the floor and with it; stopping early; after how many launches then, by
    median and 90th percentile; how often the interval at the stop holds the truth; and the same of
    a run to PRECISION: how often, after how many launches, how often its interval holds the truth.
    """
    rates = draw(noise, trials, LOOKS[-1], 3, np.random.default_rng(seed))
    run = Run(_slower(rates, difference))
    shares = [
        mean(ratio.p <= ALPHA and ratio.estimate > 1 for ratio in _five(run, floored))
        for floored in (False, True)
    ]
    ends = [stop_early(run, n) for n in range(trials)]
    decided = [end.launches for end in ends if end.rejected and end.ratios[0, 1].estimate > 1]
    median, late = np.percentile(decided, (50, 90)) if decided else (math.nan, math.nan)
    held = _holding([end.ratios[0, 1] for end in ends], math.exp(difference))
    wide = [stop_by_width(run, n) for n in range(trials)]
    power = mean((0, 1) in end.rejected and end.ratios[0, 1].estimate > 1 for end in wide)
    covered = _holding([end.ratios[0, 1] for end in wide], math.exp(difference))
    launches = mean(end.launches for end in wide)
    return *shares, len(decided) / trials, median, late, held, power, launches, covered


def _five(run: Run, floored: bool = True) -> list[intervals.Ratio]:
    """Return the first pair's ratio in each trial, from 5 launches."""
    logs = run.pairs[0, 1][:, :5]
    floors = (run.floor(n, 5) if floored else 0.0 for n in range(len(logs)))
    return [intervals.ratio(values, floor) for values, floor in zip(logs, floors, strict=True)]


def _ratios(rates: Array, a: int, b: int) -> Array:
    trials, launches, _, rounds = rates.shape
    left, right = (rates[:, :, cell].reshape(-1, rounds) for cell in (a, b))
    return intervals.launch_ratios(left, right).reshape(trials, launches)


def _scatters(rates: Array, a: int, b: int) -> Array:
    trials, launches, _, rounds = rates.shape
    left, right = (rates[:, :, cell].reshape(-1, rounds) for cell in (a, b))
    return pooling.scatter(left, right).reshape(trials, launches)


def _slower(rates: Array, difference: float) -> Array:
    """Make the second cell slower than the first (and its twin) by `difference`, a logarithm."""
    rates[:, :, 1] *= math.exp(-difference)
    return rates


def mean(values: Iterable[float]) -> float:
    """Return the mean: of truths, their share."""
    return float(np.mean([*values]))


def _holding(estimates: Sequence[intervals.Interval], truth: float) -> float:
    return mean(x.low <= truth <= x.high for x in estimates)


def _peek(logs: Array) -> int:
    """Return the launch at which somebody who looks after each would tell a pair apart; 0 for none."""
    counts = range(2, len(logs) + 1)
    return next((n for n in counts if intervals.ratio(logs[:n]).p <= ALPHA), 0)


def _normal(random: np.random.Generator, sd: float, shape: tuple[int, ...]) -> Array:
    return random.normal(0, sd, shape)


def _student(random: np.random.Generator, sd: float, shape: tuple[int, ...]) -> Array:
    return random.standard_t(3, shape) * sd / math.sqrt(3)


def _bursts(
    noise: Noise, shape: tuple[int, int], slices: int, random: np.random.Generator
) -> Array:
    """Return the (log) slow-down of each slice in its order of time."""
    slow = np.zeros((*shape, slices))
    left, depth = np.zeros(shape, dtype=int), np.zeros(shape)
    for place in range(slices):
        begins = (left == 0) & (random.random(shape) < noise.bursts)
        left = np.where(begins, random.geometric(1 / BURST, shape), left)
        depth = np.where(begins, np.log(1 - random.uniform(0.2, 0.6, shape)), depth)
        slow[..., place] = np.where(left > 0, depth, 0)
        left = np.maximum(left - 1, 0)
    return slow


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table in Markdown, row by row."""
    print(f"\n| {' | '.join(head)} |\n|{' --- |' + ' ---: |' * (len(head) - 1)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)


def percent(shares: Iterable[float]) -> list[str]:
    """Return shares as texts."""
    return [f"{share:.1%}" for share in shares]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    trials, seed = options.trials, options.seed
    print(f"{date.today()}, {host.describe()['cpu']}; {trials:,} trials a figure, seed {seed}")
    held = [coverage(noise, trials, seed + n) for n, noise in enumerate(COVERED)]
    for what in held[0]:
        table(
            [f"the interval of {what}", *(f"{launches} launches" for launches in LAUNCHES)],
            [(noise, *percent(row[what])) for noise, row in zip(COVERED, held, strict=True)],
        )
    table(
        ["identical cells found different", "noise", "share", "launches"],
        (
            (rule, noise, f"{share:.1%}", f"{launches:.0f}")
            for noise in (QUIET, LOUD, replace(LOUD, heavy=True))
            for rule, share, launches in false_verdicts(noise, trials, seed)
        ),
    )
    table(
        [
            "a difference found",
            "noise",
            "5 launches, no floor",
            "5 launches",
            "may stop early",
            "then launches, median",
            "90%",
            "its interval holds the truth",
            f"to {PRECISION:.0%}",
            "then launches, mean",
            "its interval holds the truth",
        ],
        (
            (
                f"{points}%",
                noise,
                *percent(shares),
                f"{median:.0f}",
                f"{late:.0f}",
                f"{inside:.1%}",
                f"{wide:.1%}",
                f"{launches:.1f}",
                f"{covered:.1%}",
            )
            for noise in (QUIET, MIDDLING, LOUD)
            for points in (2, 5, 10)
            for *shares, median, late, inside, wide, launches, covered in [
                power(noise, math.log1p(points / 100), trials, seed)
            ]
        ),
    )


if __name__ == "__main__":
    main()
