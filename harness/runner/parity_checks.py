"""The parity checks of one launch of a cell: its requests, its verdicts, its events."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from numpy.typing import NDArray

from harness.diagnosis import hint
from harness.diagnosis.timed import predictions_hint, training_hint
from harness.parity import ReferenceDiverged, ReferenceRun, Verdict, judge, timed
from harness.runner import handed_back
from harness.runner.context import Timeouts
from harness.runner.process import WorkerFailed, WorkerProcess
from harness.verdicts import AFTER, BEFORE, NOT_EQUIVALENT, REPLAYED, UNDECIDED
from workloads.spec import Workload

WORST = 8
"""How many checks of a timed slice the journal keeps: those nearest their bounds."""


class Checks:
    """Asks the worker, judges, reports. Methods raise WorkerFailed where the cell is not equivalent."""

    def __init__(
        self,
        worker: WorkerProcess,
        workload: Workload,
        precision: str,
        reference: ReferenceRun,
        emit: Callable[..., None],
        timeouts: Timeouts,
        seed: str,
    ) -> None:
        """`emit` writes an event of the cell; `seed` draws which slices are checked."""
        self._worker, self._workload, self._precision = worker, workload, precision
        self._reference, self._emit, self._timeouts = reference, emit, timeouts
        self._random = random.Random(seed)  # noqa: S311 (no secret)
        self._open: set[str] = set()
        self.undecided = False

    def before_timing(self) -> None:
        """Ask for all answers of the parity check."""
        self._answers(self._reference, BEFORE)

    def after_timing(self) -> None:
        """Ask for the first step once more: nothing was optimised away."""
        self._answers(self._reference.first_step(), AFTER)

    def _answers(self, run: ReferenceRun, when: str) -> None:
        wait = self._timeouts.parity
        reply = self._worker.ask("answer", wait, steps=run.steps, file=f"{when}.npz")
        answers = handed_back.arrays("answer", reply["answers"])
        verdict = judge(answers, run, self._precision)
        advice = _advice(partial(hint, answers, run, verdict))
        self._say(verdict, advice, when=when, steps=run.steps, seconds=reply["seconds"])

    def begin(self, kinds: Iterable[str]) -> None:
        """Begin the rounds of a launch, in which slices of these kinds are timed."""
        self._open = set(kinds)

    def draw(self, number: int, rounds: int, **fields: Any) -> None:
        """After round `number` of `rounds`, draw which of its slices are checked.

        In a launch that is one of each kind, from the second half of the rounds: the slices of the first
        are short, before the speed is known. It is drawn once they were taken: no code can have known.
        """
        for kind in sorted(self._open):
            if number > rounds // 2 and self._random.random() * (rounds - number + 1) < 1:
                self.replay(kind, round=number, **fields)

    def rest(self, **fields: Any) -> None:
        """Check the kinds of which none was drawn, where the rounds ended early."""
        for kind in sorted(self._open):
            self.replay(kind, **fields)

    def replay(self, kind: str, **fields: Any) -> None:
        """Have what was timed last of `kind` replayed, and judge it; `fields` go to the event."""
        self._open.discard(kind)
        began, seed = time.monotonic(), self._random.getrandbits(32)
        wait = self._timeouts.work
        reply = self._worker.ask("replay", wait, kind=kind, seed=seed, file="timed.npz")
        fields |= {"when": REPLAYED, "kind": kind}
        try:
            verdict, advice = self._judge_replay(handed_back.arrays("replay", reply["arrays"]))
        except ReferenceDiverged as diverged:
            self._show_nothing(str(diverged), **fields, seconds=time.monotonic() - began)
            return
        seconds = time.monotonic() - began
        self._say(verdict, advice, **fields, steps=verdict.steps, seconds=seconds)

    def _show_nothing(self, why: str, **fields: Any) -> None:
        """Emit that a timed slice cannot be checked: beyond its budget a training may diverge."""
        self.undecided = True
        self._emit(
            "parity",
            verdict=UNDECIDED,
            sentence=f"undecided: {why}",
            hint=None,
            worst_share=None,
            worst_tensor="a timed slice",
            undecided=[f"a timed slice, for {why}"],
            checks=[],
            steps=0,
            **fields,
        )

    def _judge_replay(self, arrays: dict[str, NDArray]) -> tuple[Verdict, str | None]:
        """Return the verdict on replayed arrays, with a hint."""
        workload, precision = self._workload, self._precision
        if "drawn" in arrays:
            verdict = timed.judge_predictions(arrays, workload, precision)
            start = self._reference.start
            make = partial(predictions_hint, arrays, workload, precision)
            return verdict, _advice(partial(make, verdict, start))
        run = timed.reference_of(arrays, workload, precision)
        verdict = timed.judge_training(arrays, run, precision)
        return verdict, _advice(partial(training_hint, arrays, run, verdict, self._reference.start))

    def _say(self, verdict: Verdict, advice: str | None, **fields: Any) -> None:
        """Emit a verdict; raise WorkerFailed where it is that the cell is not equivalent."""
        self.undecided |= verdict.value == UNDECIDED
        worst = verdict.worst
        checks = [dataclasses.asdict(check) | {"share": check.share} for check in verdict.checks]
        if "kind" in fields:
            checks = sorted(checks, key=lambda check: -check["share"])[:WORST]
        self._emit(
            "parity",
            verdict=verdict.value,
            sentence=verdict.sentence(),
            hint=advice,
            worst_share=worst.share,
            worst_tensor=worst.place,
            undecided=list(verdict.undecided),
            checks=checks,
            **fields,
        )
        if verdict.value == NOT_EQUIVALENT:
            reason = verdict.sentence() + (f"; {advice}" if advice else "")
            raise WorkerFailed(NOT_EQUIVALENT, reason)


def _advice(make: Callable[[], str | None]) -> str | None:
    """Return a hint. A verdict stands without one: what makes it is no reason to lose a run."""
    try:
        return make()
    except Exception as error:
        return f"no hint: its search ended in {type(error).__name__}: {error}"
