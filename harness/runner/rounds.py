"""The timed part: launches of all cells of a workload, frozen, in rounds of slices.

With all workers warm and frozen, each round thaws them one at a time, in an order drawn from the seed
and in the next round the other way round, for one slice of training and one of inference. Drift of the
machine so hits all alike, and ratios are taken within a round. Whole launches are repeated, since
processes differ from each other for life. One cell of a launch runs twice: what such twins differ by is
no difference.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from harness.machine import reference_kernel
from harness.results import pairwise, tables
from harness.runner.context import Setting, Task, Tell
from harness.runner.initial_state import write_start
from harness.runner.process import WorkerFailed
from harness.runner.session import LiveCell
from harness.stats.intervals import LOOKS


class Laboratory:
    """Times the cells of one turn: those that are in memory at the same time."""

    def __init__(
        self, task: Task, setting: Setting, run: Path, tell: Tell, turn: int, budget: float | None
    ) -> None:
        """`turn` is its number; `budget` is what it may spend of the run's, in seconds."""
        self._task, self._setting, self._run, self._tell = task, setting, run, tell
        self._turn, self._measuring, self._budget = turn, setting.measuring, budget
        self._order = random.Random(setting.seed)  # noqa: S311 (no secret)
        self._slices: list[dict[str, Any]] = []
        self._began, self._extended = time.monotonic(), False
        self._failed: set[str] = set()
        self._judges: set[str] = set()
        self._cells: set[str] = set()

    def measure(self, first: Sequence[LiveCell]) -> list[LiveCell]:
        """Time the cells, beginning with their launches in `first`; end every worker.

        Returns those of `first` that came through well in all of their launches.
        """
        self._judges = {one.cell.id for one in first if self._arbiter(one)}
        self._cells = {one.cell.id for one in first} - self._judges
        active = [one for one in first if one.cell.id not in self._judges]
        launch, wave = 1, list(first)
        while wave:
            began = time.monotonic()
            self._wave(wave, launch, active)
            took = time.monotonic() - began
            active = self._next(launch, active, took)
            launch += 1
            wave = self._start(active, launch)
        return [one for one in first if one.cell.id not in self._failed]

    def _arbiter(self, one: LiveCell) -> bool:
        return self._setting.recipes[one.cell.framework].arbiter

    def _start(self, cells: Sequence[LiveCell], launch: int) -> list[LiveCell]:
        """Start a further launch of each cell; every second one begins with the last of them.

        Who starts first is a little slower as long as it lives, and its first step by far more: in the
        next launch that is another.
        """
        order = cells if launch % 2 else cells[::-1]
        wave = [self._fresh(one, launch) for one in order]
        self._side_by_side(wave)
        return wave

    def _fresh(self, like: LiveCell, launch: int, twin: bool = False) -> LiveCell:
        return LiveCell(like.cell, self._task, self._setting, self._run, self._tell, launch, twin)

    def _side_by_side(self, wave: list[LiveCell]) -> None:
        """Have workers import and build at the same time: nothing of that is timed."""
        with ThreadPoolExecutor(len(self._setting.cpus) or 1) as pool:
            try:
                started = [pool.submit(one.launch_again) for one in wave]
                for one, future in zip(list(wave), started, strict=True):
                    try:
                        future.result()
                    except WorkerFailed as failure:
                        self._drop(one, wave, "starting again", failure)
            except BaseException:
                for one in wave:
                    one.kill()
                raise

    def _wave(self, wave: list[LiveCell], launch: int, active: Sequence[LiveCell]) -> None:
        """Warm all up, run the rounds, ask for what comes once a launch and for a last check, end all."""
        try:
            self._add_twin(wave, launch, active)
            self._each(wave, "warming up", lambda one: one.warm_up(), wave)
            self._rounds(wave, launch)
            self._each(wave, "rounds", lambda one: one.check_rest(), wave)
            if launch == 1:
                once = [one for one in wave if not one.twin]
                self._each(once, "clock", lambda one: one.tell_clock(), wave)
                self._each(once, "latency", lambda one: one.tell_latency(), wave)
                if not self._measuring.checking:
                    self._limits(wave)
            else:
                self._each(wave, "memory", lambda one: one.tell_peak(), wave)
                self._train_again(wave, launch)
            self._each(wave, "after the timed part", lambda one: one.check_again(), wave)
        except BaseException:
            for one in wave:
                one.kill()
            raise
        for one in wave:
            one.end()

    def _add_twin(self, wave: list[LiveCell], launch: int, active: Sequence[LiveCell]) -> None:
        """Run one of the cells twice, another one each time; in a check in every third launch."""
        every = 3 if self._measuring.checking else 1
        if len(active) < 2 or (launch - 1) % every:
            return
        twin = [self._fresh(active[launch // every % len(active)], launch, twin=True)]
        self._side_by_side(twin)
        wave += twin

    def _train_again(self, wave: list[LiveCell], launch: int) -> None:
        """In a check, have the cells train with the launch's own seed, one after the other."""
        scored = self._measuring.checking and self._setting.score
        seed = self._task.seed_of(launch) if scored else None
        if seed is not None:
            if not self._task.start_of(seed).exists():  # cells of an earlier turn had it made
                write_start(self._task, seed)
            once = [one for one in wave if not one.twin]
            self._each(once, "training again", lambda one: one.train_again(seed), wave)

    def _rounds(self, wave: list[LiveCell], launch: int) -> None:
        """Time a slice of each kind of every cell, round by round, while the budget lasts."""
        turns = list(wave)
        for number in range(1, self._measuring.rounds + 1):
            self._tell("calibration", None, workload=self._task.workload.name, turn=self._turn,
                       launch=launch, round=number, rate=reference_kernel.rate())  # fmt: skip
            if number % 2:
                self._order.shuffle(turns)
            else:
                turns.reverse()  # there and back: what drifts on through both rounds cancels out
            for one in list(turns):
                try:
                    self._slices += one.time_slices(self._turn, number)
                except WorkerFailed as failure:
                    self._drop(one, wave, "rounds", failure)
                    turns.remove(one)
            if self._left() < 0:
                break

    def _limits(self, wave: list[LiveCell]) -> None:
        """Measure the machine's limit once by every framework, in its first cell here."""
        seen: set[tuple[str, str]] = set()
        for one in list(wave):
            key = (one.cell.framework, one.cell.device)
            if key not in seen and not self._arbiter(one):
                seen.add(key)
                self._each([one], "limits", lambda one: one.tell_limits(), wave)

    def _each(self, cells: Sequence[LiveCell], phase: str, work: Any, wave: list[LiveCell]) -> None:
        """Do the same with every cell; one that fails is dropped from the wave."""
        for one in list(cells):
            try:
                work(one)
            except WorkerFailed as failure:
                self._drop(one, wave, phase, failure)

    def _drop(self, one: LiveCell, wave: list[LiveCell], phase: str, failure: WorkerFailed) -> None:
        one.tell_failure(phase if one.launch == 1 else f"{phase}, launch {one.launch}", failure)
        self._failed.add(one.cell.id)
        one.kill()
        wave.remove(one)

    def _next(self, launch: int, active: Sequence[LiveCell], took: float) -> list[LiveCell]:
        """Say which cells another launch is worth its time for; none ends the measuring."""
        well = [one for one in active if one.cell.id not in self._failed]
        pairs = self._pairs()
        self._tell_standing(launch, pairs)
        if not self._measuring.open_ended:
            return well if launch < self._measuring.launches else []
        spent = self._left() < took
        if not spent and launch < LOOKS[-1] and launch not in LOOKS:
            return well
        names, suspects = self._undecided(launch, pairs)
        if spent and suspects and not self._extended:
            self._extended, names = True, suspects
        elif spent:
            return self._stop("the budget is spent")
        if launch >= LOOKS[-1]:
            return self._stop(f"{launch} launches are the most")
        if not names:
            return self._stop("every pair is decided")
        return [one for one in well if one.cell.id in names]

    def _undecided(self, launch: int, pairs: pd.DataFrame) -> tuple[set[str], set[str]]:
        """Look at what there is: the cells worth more launches, and those worth more than the budget."""
        if self._setting.undecided is not None:
            names, suspects = self._setting.undecided(self._run, self._cells)
            told = [sorted(names)] if names else []
        else:
            open_pairs = pairwise.undecided(pairs, self._measuring.precision)
            names, suspects = {*open_pairs["a"], *open_pairs["b"]}, set[str]()
            told = open_pairs[["a", "b"]].values.tolist()
        self._tell("looked", None, workload=self._task.workload.name, launches=launch,
                   undecided=told)  # fmt: skip
        return names, suspects

    def _pairs(self) -> pd.DataFrame:
        """Return the training pairs of all cells that are well, as far as they are known."""
        table = tables.slices(tables.columns(self._slices))
        table = table[(table["kind"] == "train") & ~table["cell"].isin(self._failed | self._judges)]
        level = pairwise.level(self._measuring.open_ended)
        own, twins = (pairwise.counted(table[table["twin"] == twin]) for twin in (False, True))
        return pairwise.pairs(own, twins, level)

    def _tell_standing(self, launch: int, pairs: pd.DataFrame) -> None:
        """Tell the pair that leads and is nearest to each other, and how many pairs are open."""
        lead = pairwise.leaders(pairs)
        if lead is None or launch < 2:
            return
        left = len(pairwise.undecided(pairs, self._measuring.precision))
        self._tell("standing", None, workload=self._task.workload.name, launches=launch,
                   pairs=len(pairs), open=left, **lead)  # fmt: skip

    def _stop(self, why: str) -> list[LiveCell]:
        self._tell("stopped", None, workload=self._task.workload.name, reason=why)
        return []

    def _left(self) -> float:
        """Seconds left of the budget, which is for as long again where suspects are measured on."""
        budget = math.inf if self._budget is None else self._budget * (1 + self._extended)
        return budget - (time.monotonic() - self._began)
