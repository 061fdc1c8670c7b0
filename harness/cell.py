"""One cell of a run, from its worker's start to its last slice: what is asked of it, and told of it."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness import metrics, protocol
from harness.environments import Environment
from harness.hints import hint
from harness.parity import Standard, judge
from harness.plan import Cell
from harness.process import WorkerFailed, WorkerProcess
from harness.recipes import Recipe
from harness.summaries import NOT_THE_SAME
from workloads.datasets import Arrays
from workloads.spec import Workload

Tell = Callable[..., None]
"""``tell(event, cell_id, **fields)``: write the event to the journal and show it."""

FIRST_LOSSES = 20
"""How many of the first losses the journal keeps, to compare the frameworks' first steps."""


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
    """How slices are timed: `rounds` of `seconds` each, or as many rounds as fit in `budget` s."""

    rounds: int = 7
    seconds: float = 0.5
    budget: float | None = None


@dataclass(frozen=True)
class Setting:
    """What all cells of a run share."""

    root: Path
    threads: int
    cpus: Sequence[int]
    seed: int
    recipes: Mapping[str, Recipe]
    environments: Mapping[tuple[str, str], Environment]
    measuring: Measuring
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


class LiveCell:
    """A cell whose worker is running. Every method raises WorkerFailed where the worker fails."""

    def __init__(self, cell: Cell, task: Task, setting: Setting, run: Path, tell: Tell) -> None:
        """Start the worker in a scratch folder of its own beside the task's start weights."""
        self.cell, self._task, self._setting, self._tell_run = cell, task, setting, tell
        self._scratch = task.scratch / cell.id.replace("/", "_")
        self._scratch.mkdir()
        self._next_step = 0
        log = run / "logs" / f"{self._scratch.name}.log"
        variables = setting.recipes[cell.framework].worker_variables(
            device=cell.device, threads=setting.threads, scratch=self._scratch
        )
        python = setting.environments[cell.framework, cell.device].python
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
        """Build, prove, train to the budget and score; leave the worker warm and frozen."""
        import_memory = self._build()
        if self._task.standard is not None:
            self._prove(self._task.standard, "before the timed part")
        if not self._setting.only_proof:
            self._train()
            if self._setting.score:
                self._score()
            used = self._worker.ask("memory", self._setting.timeouts.work)
            self.tell("memory", import_rss=import_memory, **used)
        self._worker.freeze()

    def _build(self) -> int | None:
        """Import, build, take the first step; return the memory that the import took."""
        wait, task, cell = self._setting.timeouts, self._task, self.cell
        opened = self._worker.ask(
            "open",
            wait.open,
            framework=cell.framework,
            version=protocol.VERSION,
            folder=str(self._scratch),
        )
        self.tell("opened", pid=self._worker.pid, **opened)
        built = self._worker.ask(
            "build",
            wait.build,
            workload=task.workload.to_dict(),
            arrays=str(task.arrays.folder),
            start=str(task.start),
            mode=cell.mode,
            device=cell.device,
            threads=self._setting.threads,
        )
        self.tell("built", **built)
        self.tell("first-step", **self._worker.ask("first_step", wait.first_step))
        return opened["rss"]

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
        losses = np.load(trained["losses"]).tolist()
        first, last = losses[:FIRST_LOSSES], losses[-1]
        seconds = trained["seconds"]
        self.tell("trained", steps=steps, seconds=seconds, losses=first, final_loss=last)

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

    def time_slices(self, number: int) -> None:
        """Thaw, time one slice of training and one of inference for round `number`, freeze."""
        self._worker.thaw()
        for kind, share in (("train", 1.0), ("predict", 0.5)):
            took = self._worker.ask(
                "slice",
                self._setting.timeouts.work,
                kind=kind,
                start=self._next_step,
                seconds=share * self._setting.measuring.seconds,
            )
            if kind == "train":
                self._next_step += took["steps"]
            self.tell("slice", round=number, kind=kind, **took)
        self._worker.freeze()

    def end(self) -> None:
        """End the worker and remove what it left."""
        self._worker.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def kill(self) -> None:
        """End the worker at once, whatever it does."""
        self._worker.kill()
        shutil.rmtree(self._scratch, ignore_errors=True)
