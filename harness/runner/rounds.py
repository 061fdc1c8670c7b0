"""The timed part: launches of all cells of a workload, frozen, in interleaved rounds of slices.

With all workers warm and frozen, each round thaws them one at a time, in an order drawn from the seed
and reversed in the next round (counterbalanced), for one slice of training and one of inference. Drift
of the machine so hits all alike, and ratios are taken within a round. Whole launches are repeated, for
the variance between processes, until the ratios are known well enough or the budget is spent. One cell
of a launch has an A/A replicate: the difference between the two is the noise floor.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from harness.machine import reference_kernel
from harness.results import pairwise, tables
from harness.runner.context import Emit, RunContext, Task, Undecided
from harness.runner.plan import Cell
from harness.runner.process import WorkerFailed
from harness.runner.resume import Place
from harness.runner.scratch import write_start
from harness.runner.session import WorkerSession
from harness.runner.side_by_side import side_by_side
from harness.runner.training import EVALUATIONS
from harness.stats.intervals import LOOKS

FEWEST_ROUNDS = 10
"""A launch has so many, however short the time is."""

MOST_STATED = 1e12
"""No speed or ratio of speeds is larger."""


class InterleavedRounds:
    """Times the cells of one turn, those that are in memory at the same time, in interleaved rounds."""

    def __init__(
        self,
        task: Task,
        context: RunContext,
        run: Path,
        emit: Emit,
        place: Place,
        budget: float | None,
    ) -> None:
        """`place` is the turn, and how far it is; `budget` is what it may spend, in seconds."""
        self._task, self._context, self._run, self._emit = task, context, run, emit
        self._place, self._measuring, self._budget = place, context.measuring, budget
        self._slices: list[dict[str, Any]] = []
        self._began, self._extended = time.monotonic() - place.spent, False
        self._apart = 0.0
        self._failed: set[str] = set()
        self._judges: set[str] = set()
        self._undecided_cells: set[str] = set()
        self._cells: set[str] = set()

    def measure(self, cells: Sequence[Cell], first: Sequence[WorkerSession]) -> list[Cell]:
        """Time the cells, beginning with their launches in `first`; end every worker.

        `first` is empty where a resumed run has launches of the cells already. Returns those that
        succeeded in all of their launches.
        """
        self._judges = {cell.id for cell in cells if self._is_reference(cell)}
        self._cells = {cell.id for cell in cells} - self._judges
        active = [cell for cell in cells if cell.id not in self._judges]
        if self._place.launch:
            launch = self._place.launch + 1
            active = self._resume(active)
            end = self._end_of_rounds(launch)
            wave = self._start(active, launch)
        else:
            launch, end = 1, self._end_of_rounds(1)
            replicates = self._replicates(launch, active)
            self._side_by_side(replicates)
            wave = [*first, *replicates]
        while wave:
            before = self.spent
            self._wave(wave, launch, end)
            took = self.spent - before
            whole = replace(self._place, launch=launch, took=took, spent=self.spent)
            self._emit("checkpoint", None, workload=self._task.workload.name, **vars(whole))
            active = self._next(launch, active, took)
            launch += 1
            end = self._end_of_rounds(launch)
            wave = self._start(active, launch)
        return [cell for cell in cells if cell.id not in self._failed]

    @property
    def spent(self) -> float:
        """Seconds of the budget that are spent: what is done beside the timed part takes none of it."""
        return time.monotonic() - self._began - self._apart

    def _resume(self, cells: Sequence[Cell]) -> list[Cell]:
        """Take up the launches that are whole; return the cells that another one is worth its time for.

        Each is built once before, so that the launches that follow find what it compiled.
        """
        place = self._place
        self._slices = self._context.past.slices(cells, place.turn)
        last = {row["cell"] for row in self._slices if row["launch"] == place.launch}
        active = [cell for cell in cells if cell.id in last]
        active = self._next(place.launch, active, place.took)
        for session in [self._fresh(cell, 1) for cell in active]:
            try:
                session.launch_again()
            except WorkerFailed as failure:
                session.emit_failure("starting again", failure)
                self._failed.add(session.cell.id)
            finally:
                session.kill()
        return [cell for cell in active if cell.id not in self._failed]

    def _is_reference(self, cell: Cell) -> bool:
        return self._context.framework_specs[cell.framework].reference

    def _start(self, cells: Sequence[Cell], launch: int) -> list[WorkerSession]:
        """Start a further launch of each cell; in every second one the order is reversed.

        The start order has a persistent effect: the process that starts first is a little slower as long
        as it lives, and its first step by far more.
        """
        order = cells if launch % 2 else cells[::-1]
        wave = [self._fresh(cell, launch) for cell in order] + self._replicates(launch, cells)
        self._side_by_side(wave)
        return wave

    def _fresh(self, cell: Cell, launch: int, replicate: bool = False) -> WorkerSession:
        task, context, run, emit = self._task, self._context, self._run, self._emit
        return WorkerSession(cell, task, context, run, emit, launch, replicate)

    def _side_by_side(self, wave: list[WorkerSession]) -> None:
        """Have workers import and build at the same time: nothing of that is timed."""
        places = [lane for lane in self._context.lanes for _ in lane or [0]]
        failures: dict[WorkerSession, WorkerFailed] = {}

        def launch(session: WorkerSession, lane: Sequence[int]) -> None:
            try:
                session.launch_again(lane)
            except WorkerFailed as failure:
                failures[session] = failure

        def drop_if_failed(session: WorkerSession) -> None:
            if session in failures:
                self._drop(session, wave, "starting again", failures[session])

        side_by_side(places, wave, partial(next, iter([*wave]), None), launch, drop_if_failed)

    def _end_of_rounds(self, launch: int) -> float:
        """Return how much may be `spent` when a launch's rounds end.

        The launches that have to be made share what is left: another launch tells more than more rounds.
        """
        to_come = max(1, self._measuring.least - launch + 1)
        return self.spent + self._left() / to_come

    def _wave(self, wave: list[WorkerSession], launch: int, end: float) -> None:
        """Warm all up, run the rounds, ask for what comes once a launch and for a last check, end all."""
        try:
            self._each(wave, "warming up", WorkerSession.warm_up, wave)
            self._rounds(wave, launch, end)
            self._each(wave, "rounds", WorkerSession.check_rest, wave)
            if launch == 1:
                first_sessions = [session for session in wave if not session.replicate]
                self._each(first_sessions, "clock", WorkerSession.emit_clock, wave)
                self._each(first_sessions, "latency", WorkerSession.emit_latency, wave)
                if not self._measuring.checking:
                    self._limits(wave)
                self._train_with_seeds(wave)
            else:
                self._each(wave, "memory", WorkerSession.emit_peak, wave)
                self._train_again(wave, launch)
            self._each(wave, "after the timed part", WorkerSession.check_again, wave)
            self._undecided_cells |= {session.cell.id for session in wave if session.undecided}
        except BaseException:
            for session in wave:
                session.kill()
            raise
        with ThreadPoolExecutor(max(1, len(wave))) as pool:
            list(pool.map(WorkerSession.end, wave))

    def _replicates(self, launch: int, active: Sequence[Cell]) -> list[WorkerSession]:
        """An A/A replicate of one cell, another one each time; in a check in every third launch."""
        interval = 3 if self._measuring.checking else 1
        if len(active) < 2 or (launch - 1) % interval:
            return []
        return [self._fresh(active[launch // interval % len(active)], launch, replicate=True)]

    def _train_again(self, wave: list[WorkerSession], launch: int) -> None:
        """In a check, have the cells train with the launch's own seed, one after the other."""
        scored = self._measuring.checking and self._context.score
        seed = self._task.seed_of(launch) if scored else None
        if seed is not None:
            self._write_start(seed)
            sessions = [session for session in wave if not session.replicate]
            self._each(sessions, "training again", lambda session: session.train_again(seed), wave)

    def _write_start(self, seed: int) -> None:
        if not self._task.start_of(seed).exists():  # cells of an earlier turn had it made
            write_start(self._task, seed)

    def _train_with_seeds(self, wave: list[WorkerSession]) -> None:
        """Have the cells train to the target with each of the run's seeds, outside of its budget.

        One after the other, seed by seed and in another order each time, so that a drift of the machine
        hits all alike.
        """
        before = self.spent
        for number in range(self._context.seeds):
            seed = self._task.workload.data.seed + number
            self._write_start(seed)
            timed = [session for session in wave if session.cell.id in self._cells]
            sessions = [session for session in timed if not session.replicate]
            turned = number % max(1, len(sessions))
            train = partial(WorkerSession.train_again, seed=seed, evaluations=EVALUATIONS)
            order = sessions[turned:] + sessions[:turned]
            self._each(order, f"training with seed {seed}", train, wave)
        self._apart += self.spent - before

    def _rounds(self, wave: list[WorkerSession], launch: int, end: float) -> None:
        """Time a slice of each kind of every cell, round by round, until so much is `spent`."""
        order, turn = list(wave), self._place.turn
        for session in wave:
            session.begin_rounds()
        drawn = random.Random(f"{self._context.seed} {turn} {launch}")  # noqa: S311 (no secret)
        for number in range(1, self._measuring.rounds + 1):
            self._emit(
                "calibration",
                None,
                workload=self._task.workload.name,
                turn=turn,
                launch=launch,
                round=number,
                rate=reference_kernel.rate(),
            )
            if number % 2:
                drawn.shuffle(order)
            else:
                order.reverse()  # counterbalanced: a drift through both rounds cancels out
            for session in [session for session in order if session.takes_part(number)]:
                try:
                    self._slices += session.time_slices(turn, number)
                except WorkerFailed as failure:
                    self._drop(session, wave, "rounds", failure)
                    order.remove(session)
            is_balanced = number >= FEWEST_ROUNDS and number % 2 == 0
            if is_balanced and self.spent > end:
                break

    def _limits(self, wave: list[WorkerSession]) -> None:
        """Measure the machine's limit once a run by every framework, in its first cell here."""
        measured = self._context.limits_measured
        for session in list(wave):
            key = (session.cell.framework, session.cell.device)
            if key not in measured and not self._is_reference(session.cell):
                measured.add(key)
                self._each([session], "limits", WorkerSession.emit_limits, wave)

    def _each(
        self, cells: Sequence[WorkerSession], phase: str, work: Any, wave: list[WorkerSession]
    ) -> None:
        """Do the same with every cell; one that fails is dropped from the wave."""
        for session in list(cells):
            try:
                work(session)
            except WorkerFailed as failure:
                self._drop(session, wave, phase, failure)

    def _drop(
        self, session: WorkerSession, wave: list[WorkerSession], phase: str, failure: WorkerFailed
    ) -> None:
        session.emit_failure(
            phase if session.launch == 1 else f"{phase}, launch {session.launch}", failure
        )
        self._failed.add(session.cell.id)
        session.kill()
        wave.remove(session)

    def _next(self, launch: int, active: Sequence[Cell], took: float) -> list[Cell]:
        """Say which cells another launch is worth its time for; none ends the measuring."""
        healthy = [cell for cell in active if cell.id not in self._failed]
        level = pairwise.level(self._context.undecided is not None)
        training, replicates = self._counted()
        pairs = pairwise.pairs(training, replicates, level)
        self._emit_standing(launch, training, pairs, level)
        if not self._measuring.open_ended:
            return healthy if launch < self._measuring.launches else []
        if self._context.undecided is None:
            return self._next_by_width(launch, healthy, pairs, took)
        return self._next_by_verdict(launch, healthy, self._context.undecided, took)

    def _next_by_width(
        self, launch: int, healthy: list[Cell], pairs: pd.DataFrame, took: float
    ) -> list[Cell]:
        """Go on with the cells of the pairs that are not known to the precision, while there is time."""
        precision = self._measuring.precision
        open_pairs = pairwise.undecided(pairs, precision)
        names = {*open_pairs["a"], *open_pairs["b"]}
        self._emit_look(launch, open_pairs[["a", "b"]].values.tolist())
        if launch < self._measuring.least:
            return healthy
        if not names:
            return self._stop("every ratio is known to the precision")
        if self._left() < took:
            return self._stop("the budget is spent")
        if launch >= self._measuring.launches:
            return self._stop(f"{launch} launches are the most")
        return [cell for cell in healthy if cell.id in names]

    def _next_by_verdict(
        self, launch: int, healthy: list[Cell], undecided: Undecided, took: float
    ) -> list[Cell]:
        """At each of LOOKS, go on with what is undecided; suspects are worth more than the budget."""
        spent = self._left() < took
        if not spent and launch < LOOKS[-1] and launch not in LOOKS:
            return healthy
        names, suspects = undecided(self._run, self._cells)
        self._emit_look(launch, [sorted(names)] if names else [])
        if spent and suspects and not self._extended:
            self._extended, names = True, suspects
        elif spent:
            return self._stop("the budget is spent")
        if launch >= LOOKS[-1]:
            return self._stop(f"{launch} launches are the most")
        if not names:
            return self._stop("every pair is decided")
        return [cell for cell in healthy if cell.id in names]

    def _emit_look(self, launch: int, undecided: list[list[str]]) -> None:
        workload = self._task.workload.name
        self._emit("looked", None, workload=workload, launches=launch, undecided=undecided)

    def _counted(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the training slices of all cells that may be ranked, and those of their replicates."""
        table = tables.slices(tables.columns(self._slices))
        left_out = self._failed | self._judges | self._undecided_cells
        table = table[(table["kind"] == "train") & ~table["cell"].isin(left_out)]
        return pairwise.counted(table[~table["twin"]]), pairwise.counted(table[table["twin"]])

    def _emit_standing(
        self, launch: int, training: pd.DataFrame, pairs: pd.DataFrame, level: float
    ) -> None:
        """Report every cell's speed so far, the closest pair that has the leader, and what is open."""
        speeds = pairwise.speeds(training, level)
        ranges = pairwise.ranks(pairs, [cell for cell, _ in speeds])
        cells = [
            {
                "cell": cell,
                "speed": speed.estimate,
                "low": _stated(speed.low),
                "high": _stated(speed.high),
                "rank": ranges[cell][0],
                "rank_worst": ranges[cell][1],
            }
            for (cell, _), speed in sorted(speeds.items(), key=lambda item: -item[1].estimate)
        ]
        lead = pairwise.leaders(pairs)
        has_bounds = lead is not None and _stated(lead["high"]) is not None
        self._emit(
            "standing",
            None,
            workload=self._task.workload.name,
            launches=launch,
            pairs=len(pairs),
            open=len(pairwise.undecided(pairs, self._measuring.precision)),
            cells=cells,
            **(lead or {} if has_bounds else {}),
        )

    def _stop(self, why: str) -> list[Cell]:
        self._emit("stopped", None, workload=self._task.workload.name, reason=why)
        return []

    def _left(self) -> float:
        """Seconds left of the budget, which is for as long again where suspects are measured on."""
        budget = math.inf if self._budget is None else self._budget * (1 + self._extended)
        return budget - self.spent


def _stated(bound: float) -> float | None:
    """A bound of an interval; None where it says nothing: of two launches it may be beyond any speed."""
    return bound if bound < MOST_STATED else None
