"""One launch of a cell, from its worker's start to its end: what is asked of it, and told of it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import devices, metrics, protocol
from harness.energy import Meter
from harness.environments import Environment
from harness.guard import Guard
from harness.hints import hint
from harness.parity import Standard, judge
from harness.plan import Cell
from harness.process import WorkerFailed, WorkerProcess
from harness.recipes import Recipe
from harness.statistics import steady_from
from harness.summaries import NOT_THE_SAME
from workloads.datasets import Arrays
from workloads.spec import Workload

Tell = Callable[..., None]
"""``tell(event, cell_id, **fields)``: write the event to the journal and show it."""

FIRST_LOSSES = 20
"""How many of the first losses the journal keeps, to compare the frameworks' first steps."""

CURVE = 200
"""The points of a learning curve in the journal."""

WARM_SECONDS, WARM_UP = 0.6, 48
"""Seconds of training between two looks whether a worker is steady; the most portions looked at."""

REPEATS = 2
"""How often a disturbed slice is timed again."""


@dataclass(frozen=True)
class Timeouts:
    """How many seconds may pass without a word from a worker, by what it does."""

    open: float = 300
    build: float = 300
    first_step: float = 900
    prove: float = 900
    work: float = 300


@dataclass(frozen=True)
class Measuring:
    """How much is timed: `launches` of every cell, each for `rounds` of slices of `seconds`.

    Where `budget` (seconds) or `precision` (half an interval's width, as a part of the ratio) is given,
    the launches are as many as are needed to decide every pair, to come to the precision, or to spend
    the budget.
    """

    launches: int = 5
    rounds: int = 5
    seconds: float = 0.4
    budget: float | None = None
    precision: float | None = None

    @property
    def open_ended(self) -> bool:
        """Whether the run looks at what it has, and may stop early."""
        return self.budget is not None or self.precision is not None


@dataclass(frozen=True)
class Watchers:
    """What looks on from outside while a slice runs."""

    guard: Guard
    meter: Meter


@dataclass(frozen=True)
class Setting:
    """What all cells of a run share."""

    root: Path
    threads: int
    deterministic: bool
    cpus: Sequence[int]
    seed: int
    recipes: Mapping[str, Recipe]
    environments: Mapping[tuple[str, str], Environment]
    measuring: Measuring
    watchers: Watchers
    score: bool
    timeouts: Timeouts
    proof_steps: int
    only_proof: bool = False


@dataclass
class Task:
    """One workload with its data and its training budget, in steps."""

    workload: Workload
    arrays: Arrays
    steps: int
    scratch: Path = Path()
    """What the workers exchange; the seed can make it again."""
    standard: Standard | None = None

    @property
    def start(self) -> Path:
        """The folder of the start weights and the batch order."""
        return self.scratch / "start"


def build(
    worker: WorkerProcess, cell: Cell, task: Task, threads: int, folder: Path, wait: Timeouts,
    deterministic: bool = False,
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:  # fmt: skip
    """Have a fresh worker import, build and take its first step; return what it tells of each.

    `folder` is where it hands back arrays. Raises WorkerFailed.
    """
    opened = worker.ask(
        "open",
        wait.open,
        framework=cell.framework,
        version=protocol.VERSION,
        folder=str(folder),
    )
    built = worker.ask(
        "build",
        wait.build,
        workload=task.workload.to_dict(),
        arrays=str(task.arrays.folder),
        start=str(task.start),
        mode=cell.mode,
        device=devices.kind(cell.device),
        precision=cell.precision,
        threads=threads,
        deterministic=deterministic,
    )
    return opened, built, worker.ask("first_step", wait.first_step)


def learning_curve(losses: NDArray, moments: Sequence[tuple[int, float]]) -> dict[str, list[float]]:
    """Return a training's mean losses over CURVE stretches of steps at most: how it went.

    `moments` are pairs of a step and the training seconds until then. `steps` and `seconds` are those
    of the ends of the stretches.
    """
    stretches = np.array_split(losses, min(CURVE, len(losses)))
    ends = np.cumsum([len(stretch) for stretch in stretches])
    at, seconds = zip(*moments, strict=True)
    return {
        "steps": ends.tolist(),
        "seconds": np.interp(ends, at, seconds).round(4).tolist(),
        "losses": [float(stretch.mean()) for stretch in stretches],
    }


class LiveCell:
    """A launch of a cell whose worker is running. Its methods raise WorkerFailed where that fails."""

    def __init__(
        self, cell: Cell, task: Task, setting: Setting, run: Path, tell: Tell,
        launch: int = 1, twin: bool = False,
    ) -> None:  # fmt: skip
        """Start the worker in the cell's scratch folder, beside the task's start weights.

        Launches of a cell share the folder: the later ones find what the first compiled. A `twin` is
        the same cell once more, to see how far identical cells come out apart.
        """
        self.cell, self.launch, self.twin = cell, launch, twin
        self._task, self._setting, self._tell_run = task, setting, tell
        self._scratch = task.scratch / cell.id.replace("/", "_")
        self._scratch.mkdir(exist_ok=True)
        self._next_step, self.peak_bytes, self._resident = 0, 0, False
        log = run / "logs" / f"{self._scratch.name}.log"
        variables = setting.recipes[cell.framework].worker_variables(
            device=cell.device, threads=setting.threads, scratch=self._scratch,
            deterministic=setting.deterministic,
        )  # fmt: skip
        python = setting.environments[cell.framework, cell.device].python
        if launch == 1:
            self.tell("cell-started", log=str(log.relative_to(run)))
        self._worker = WorkerProcess(python, setting.root, log, variables, setting.cpus)

    def tell(self, event: str, **fields: Any) -> None:
        """Write an event of this cell to the journal."""
        self._tell_run(event, self.cell.id, **fields)

    def tell_failure(self, phase: str | None, failure: WorkerFailed) -> None:
        """Write a failure to the journal; it costs its own cell only."""
        self.tell(
            "cell-failed",
            phase=phase,
            status=failure.status,
            reason=failure.reason,
            signal=failure.signal_name,
            log_tail=failure.log_tail,
        )

    def bring_up(self) -> None:
        """Build, prove, train to the budget and score: a cell's first launch. Left frozen."""
        opened, built, first_step = self._build()
        self.tell("opened", pid=self._worker.pid, **opened)
        self.tell("built", **built)
        self.tell("first-step", **first_step)
        if self._task.standard is not None:
            self._prove(self._task.standard, "before the timed part")
        if not self._setting.only_proof:
            self._train()
            if self._setting.score:
                self._score()
            used = self._worker.ask("memory", self._setting.timeouts.work)
            self.peak_bytes = used["peak_rss"] or 0
            held = self._setting.watchers.guard.driver.memory_of(self._worker.pid)
            self.tell("memory", import_rss=opened["rss"], device_used=held, **used)
        self._worker.freeze()

    def launch_again(self) -> None:
        """Build and take a first step: a later launch, which is only timed. Left frozen."""
        opened, built, first_step = self._build()
        self.tell(
            "launched",
            launch=self.launch,
            twin=self.twin,
            import_seconds=opened["import_seconds"],
            build_seconds=built["seconds"],
            first_step_seconds=first_step["seconds"],
        )
        self._worker.freeze()

    def _build(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Import, build, take the first step; return what the worker tells of each."""
        setting = self._setting
        told = build(
            self._worker, self.cell, self._task, setting.threads, self._scratch, setting.timeouts,
            setting.deterministic,
        )  # fmt: skip
        on_card = devices.kind(self.cell.device) != devices.CPU
        self._resident = on_card and told[1]["resident"]
        return told

    def _prove(self, standard: Standard, when: str) -> None:
        """Ask for the answers of the proof and judge them; a cell that is not the same fails."""
        wait = self._setting.timeouts.prove
        proved = self._worker.ask("prove", wait, steps=standard.steps, file=f"{when}.npz")
        with np.load(proved["answers"]) as arrays:
            found = dict(arrays)
        verdict = judge(found, standard, self.cell.precision)
        advice = hint(found, standard, verdict)
        self.tell(
            "parity",
            when=when,
            ok=verdict.ok,
            sentence=verdict.sentence(),
            hint=advice,
            steps=standard.steps,
            seconds=proved["seconds"],
            worst_share=verdict.worst.share,
            worst_tensor=f"{verdict.worst.tensor} {verdict.worst.when}",
            checks=[dataclasses.asdict(check) for check in verdict.checks],
        )
        if not verdict.ok:
            reason = verdict.sentence() + (f"; {advice}" if advice else "")
            raise WorkerFailed(NOT_THE_SAME, reason)

    def prove_again(self) -> None:
        """Ask for the first step once more after the timed part: nothing was optimised away."""
        if self._task.standard is not None:
            self._worker.thaw()
            self._prove(self._task.standard.first_step(), "after the timed part")
            self._worker.freeze()

    def _train(self) -> None:
        """Train from the start weights to the budget."""

        def progress(event: dict[str, Any]) -> None:
            self.tell("progress", step=event["step"], steps=event["steps"], loss=event["loss"])

        wait, steps = self._setting.timeouts.work, self._task.steps
        trained = self._worker.ask("train", wait, progress, steps=steps)
        self._next_step = steps
        losses = np.load(trained["losses"])
        self.tell(
            "trained",
            steps=steps,
            seconds=trained["seconds"],
            losses=losses[:FIRST_LOSSES].tolist(),
            final_loss=float(losses[-1]),
            curve=learning_curve(losses, trained["moments"]),
        )

    def _score(self) -> None:
        """Have the test set predicted, and score the predictions."""
        evaluated = self._worker.ask("evaluate", self._setting.timeouts.work)
        predictions = np.load(evaluated["predictions"])
        labels = np.asarray(self._task.arrays.open("test_labels"))
        if predictions.shape != labels.shape:
            reason = f"evaluate: {len(predictions)} predictions for {len(labels)} examples"
            raise WorkerFailed("failed", reason)
        scored = metrics.score(labels, predictions, self._task.workload.classes)
        self.tell("evaluated", seconds=evaluated["seconds"], examples=len(labels), **scored)

    def warm_up(self) -> None:
        """Train until the step times are steady, or for WARM_UP portions at most; say which."""
        self._worker.thaw()
        began, times = time.monotonic(), list[float]()
        start = None
        while start is None and len(times) < WARM_UP:
            took = self._worker.ask(
                "warm", self._setting.timeouts.work, start=self._next_step, seconds=WARM_SECONDS
            )
            self._next_step += took["steps"]
            times += took["seconds_a_step"]
            start = steady_from(times)
        self._worker.freeze()
        self.tell("warmed", launch=self.launch, twin=self.twin, steady_from=start,
                  seconds=time.monotonic() - began, seconds_a_step=times)  # fmt: skip

    def time_slices(self, turn: int, number: int) -> list[dict[str, Any]]:
        """Thaw, time a slice of training and one of inference for round `number`, freeze.

        On a card, and where the framework offers it, also one of training on batches that are there.

        A slice that was disturbed is told with what disturbed it, and timed again, REPEATS times at
        most. Returns what was told.
        """
        self._worker.thaw()
        told = []
        kinds = [("train", 1.0), ("resident", 0.5), ("predict", 0.5)]
        for kind, share in kinds if self._resident else [kinds[0], kinds[2]]:
            for _ in range(1 + REPEATS):
                one = {"turn": turn, "launch": self.launch, "round": number, "kind": kind}
                told.append(one | self._slice(kind, share * self._setting.measuring.seconds))
                self.tell("twin-slice" if self.twin else "slice", **told[-1])
                if not told[-1]["noise"]:
                    break
        self._worker.freeze()
        return [{"cell": self.cell.id, "twin": self.twin, **one} for one in told]

    def _slice(self, kind: str, seconds: float) -> dict[str, Any]:
        guard, meter = self._setting.watchers.guard, self._setting.watchers.meter
        wait, start = self._setting.timeouts.work, self._next_step
        watch = guard.watch(self._worker.pid, devices.index(self.cell.device))
        before = meter.read()
        took = self._worker.ask("slice", wait, kind=kind, start=start, seconds=seconds)
        noise, after = watch.noise(), meter.read()
        if kind != "predict":
            self._next_step += took["steps"]
        joules = meter.joules(before, after)
        card = {} if watch.card is None else {"card": watch.card}
        return {**took, "noise": noise, "joules": joules, **card}

    def tell_clock(self) -> None:
        """On a card, hold our clock against the device's own: they are to agree."""
        if devices.kind(self.cell.device) == devices.CPU:
            return
        self._worker.thaw()
        took = self._worker.ask("clock", self._setting.timeouts.work, start=self._next_step)
        self._next_step += took["steps"]
        self._worker.freeze()
        if took["device_seconds"]:
            self.tell("clock", **took, ratio=took["seconds"] / took["device_seconds"])

    def tell_latency(self) -> None:
        """Time single predictions of one example and of the workload's batch."""
        self._worker.thaw()
        for batch in sorted({1, self._task.workload.data.batch}):
            took = self._worker.ask("latency", self._setting.timeouts.first_step, batch=batch,
                                    seconds=self._setting.measuring.seconds)  # fmt: skip
            self.tell("latency", **took)
        self._worker.freeze()

    def tell_limits(self) -> None:
        """Measure how fast the machine multiplies and copies by this framework's own means."""
        self._worker.thaw()
        began, seconds = time.monotonic(), self._setting.measuring.seconds
        found = self._worker.ask("limits", self._setting.timeouts.work, seconds=seconds)
        self.tell("limits", seconds=time.monotonic() - began, **found)
        self._worker.freeze()

    def end(self) -> None:
        """End the worker; what it compiled is kept for the next launch."""
        if self.launch == 1:
            self._worker.close()  # so that its log is whole
        else:
            self._worker.kill()

    def kill(self) -> None:
        """End the worker at once, whatever it does."""
        self._worker.kill()
