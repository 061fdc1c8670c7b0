"""What a run is held to, and what its cells share: times, launches, the task and where things lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness.environments.builder import Environment
from harness.environments.framework_spec import FrameworkSpec
from harness.machine.energy import Meter
from harness.machine.interference import InterferenceMonitor
from harness.parity import ReferenceRun
from harness.results.events import Kind
from harness.runner.resume import Past
from harness.stats.intervals import LOOKS
from workloads.datasets import Arrays
from workloads.spec import Workload


class Emit(Protocol):
    """Writes an event to the journal and shows it; `fields` are those of its kind."""

    def __call__(self, event: Kind, cell: str | None, **fields: Any) -> None: ...


Undecided = Callable[[Path, set[str]], tuple[set[str], set[str]]]
"""By the run's folder so far and the cells that are timed at present: those of them still undecided, and
suspected regressions."""

LEAST_SEEDS, MOST_SEEDS, ENOUGH_TESTS = 3, 12, 4000
"""A check trains with so many seeds, until their test sets together are of ENOUGH_TESTS examples."""


@dataclass(frozen=True)
class Timeouts:
    """How many seconds may pass without a word from a worker, by what it does."""

    open: float = 300
    build: float = 300
    first_step: float = 900
    parity: float = 900
    work: float = 300


@dataclass(frozen=True)
class Measuring:
    """How much is timed: at most `launches` of every cell, each for `rounds` of slices of `seconds`.

    Many short slices: the sooner the cells alternate, the more of what disturbs hits all of them
    (docs/explanation/measuring.md).

    With a `precision` (half an interval's width, as a part of the ratio) the launches are as many as it
    takes to know every pair so well, and with a `budget` (seconds) as many as fit, but `least` in any
    case. With neither they are all made. A run's budget is shared by its workloads; where it has none,
    each workload has `workload_budget`.

    A run that is a check is `checking`: its first launches train with a seed of their own each, and
    single predictions are timed in the rounds too.

    Before its rounds a launch trains in portions of `warm_seconds`, until its step times are steady or
    after `warm_portions` at the latest. The parity check alone looks at slices of `untimed_seconds`.
    """

    launches: int = LOOKS[-1]
    rounds: int = 20
    seconds: float = 0.1
    budget: float | None = None
    workload_budget: float | None = None
    precision: float | None = None
    least: int = 1
    checking: bool = False
    warm_seconds: float = 0.3
    warm_portions: int = 36
    untimed_seconds: float = 0.3

    @property
    def open_ended(self) -> bool:
        """Whether the run looks at what it has, and may stop early."""
        return self.budget is not None or self.precision is not None


@dataclass(frozen=True)
class Watchers:
    """What looks on from outside while a slice runs."""

    monitor: InterferenceMonitor
    meter: Meter


@dataclass(frozen=True)
class RunContext:
    """What all cells of a run share.

    `framework_specs` and `environments` are by the frameworks' labels.
    """

    threads: int
    deterministic: bool
    cpus: Sequence[int]
    spare_cpus: Sequence[int]
    seed: int
    framework_specs: Mapping[str, FrameworkSpec]
    environments: Mapping[tuple[str, str], Environment]
    measuring: Measuring
    watchers: Watchers
    score: bool
    timeouts: Timeouts
    parity_steps: int
    kept_variables: dict[str, str]
    """Of the user's environment, handed to workers because `--keep-env` names them."""
    only_parity: bool = False
    seeds: int = 0
    """With how many seeds each cell is trained to the target, beside its timed rounds."""
    undecided: Undecided | None = None
    limits_measured: set[tuple[str, str]] = field(default_factory=set)
    """The frameworks and devices whose kernels the run has timed."""
    past: Past = field(default_factory=Past)
    """What a resumed run has already."""

    @property
    def lanes(self) -> list[Sequence[int]]:
        """Processors on which workers start while nothing is timed: those to time on, and spare ones."""
        lanes = [self.cpus]
        if self.cpus and len(self.spare_cpus) >= len(self.cpus):
            lanes.append(self.spare_cpus[: len(self.cpus)])
        return lanes


@dataclass
class Task:
    """One workload with its data and its training budget, in steps."""

    workload: Workload
    arrays: Arrays
    steps: int
    scratch: Path = Path()
    """What the workers exchange; the seed can make it again."""
    reference: ReferenceRun | None = None

    @property
    def start(self) -> Path:
        """The folder of the start weights and the batch order."""
        return self.start_of(None)

    def start_of(self, seed: int | None) -> Path:
        """The folder of those of a seed; None is the workload's own."""
        return self.scratch / ("start" if seed is None else f"start-{seed}")

    def seeded(self, seed: int | None) -> Workload:
        """The workload with another seed; None is its own."""
        return self.workload if seed is None else self.workload.with_data(seed=seed)

    def seed_of(self, launch: int) -> int | None:
        """The seed that a launch of a check trains with; None where it does not train again."""
        tests = self.arrays.open("test_labels").size
        seeds = min(MOST_SEEDS, max(LEAST_SEEDS, math.ceil(ENOUGH_TESTS / tests)))
        return self.workload.data.seed + launch - 1 if 1 < launch <= seeds else None
