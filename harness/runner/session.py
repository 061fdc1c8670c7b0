"""One launch of a cell, from its worker's start to its end: its requests to it, and its events."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from frameworks.replays import LEAST_STEPS
from harness.machine import devices
from harness.results import classification, preview
from harness.results.events import Kind
from harness.runner import handed_back
from harness.runner.build import build
from harness.runner.context import Emit, RunContext, Task
from harness.runner.parity_checks import Checks
from harness.runner.plan import Cell
from harness.runner.process import WorkerFailed, WorkerProcess
from harness.runner.scratch import plain_name
from harness.runner.training import learning_curve, predicted, train_with
from harness.stats.changepoints import steady_from

FIRST_LOSSES = 20
"""How many of the first losses the journal keeps, to compare the frameworks' first steps."""


class WorkerSession:
    """A launch of a cell, with its worker running. Its methods raise WorkerFailed where that fails."""

    def __init__(
        self,
        cell: Cell,
        task: Task,
        context: RunContext,
        run: Path,
        emit: Emit,
        launch: int = 1,
        replicate: bool = False,
    ) -> None:
        """Start the worker in the cell's scratch folder, beside the task's start weights.

        Launches of a cell share the folder: the later ones find what the first compiled. `replicate`: an
        A/A replicate, the same cell once more, which shows the noise floor.
        """
        self.cell, self.launch, self.replicate = cell, launch, replicate
        self._task, self._context, self._emit_run = task, context, emit
        self._scratch = task.scratch / plain_name(cell.file_name)
        self._scratch.mkdir(exist_ok=True)
        self._next_step, self.peak_bytes, self._resident = 0, 0, False
        self._step_seconds = 0.0
        self._held_back: list[tuple[Kind, dict[str, Any]]] | None = None
        self._failure: WorkerFailed | None = None
        log = run / "logs" / f"{cell.file_name}.log"
        self._spec = context.framework_specs[cell.framework]
        variables = context.kept_variables | self._spec.worker_variables(
            device=cell.device,
            threads=context.threads,
            scratch=self._scratch,
            deterministic=context.deterministic,
        )
        python = context.environments[cell.framework, cell.device].python
        self._worker = WorkerProcess(python, self._spec.root, log, variables, context.cpus)
        self._checks = None
        if task.reference is not None and not replicate:
            self._checks = Checks(
                self._worker,
                task.workload,
                cell.precision,
                task.reference,
                self.emit,
                context.timeouts,
                seed=f"{context.seed} {cell.id} {launch}",
            )

    def emit(self, event: Kind, **fields: Any) -> None:
        """Write an event of this cell to the journal; while it is prepared, `bring_up` does that."""
        if self._held_back is None:
            self._emit_run(event, self.cell.id, **fields)
        else:
            self._held_back.append((event, fields))

    def emit_failure(self, phase: str | None, failure: WorkerFailed) -> None:
        """Write a failure to the journal; it costs its own cell only."""
        self.emit(
            "cell-failed",
            phase=phase,
            status=failure.status,
            reason=failure.reason,
            signal=failure.signal_name,
            log_tail=failure.log_tail,
        )

    def announce(self) -> None:
        """Say that the cell's first worker has started."""
        self.emit("preparing", pid=self._worker.pid, log=f"logs/{self._worker.log.name}")

    def prepare(self, cpus: Sequence[int]) -> None:
        """Build and check parity, on these processors: what comes of it is told by `bring_up`.

        A cell's first launch, of which nothing is timed but how long it takes to start. Left frozen.
        """
        self._held_back = []
        try:
            with self._worker.moved(cpus, self._context.cpus):
                self.emit("cell-started", log=f"logs/{self._worker.log.name}")
                opened, built, first_step = self._build()
                self.emit("opened", pid=self._worker.pid, **opened)
                self.emit("built", **built)
                self.emit("first-step", **first_step)
                if self._checks:
                    self._checks.before_timing()
                if self._context.only_parity:
                    self._check_untimed()
                self.peak_bytes = self._memory()["peak_rss"] or 0
            self._worker.freeze()
        except WorkerFailed as failure:
            self._failure = failure
            self.kill()

    def bring_up(self) -> None:
        """Train to the budget and score: the rest of a cell's first launch. Left frozen."""
        held_back, self._held_back = self._held_back or [], None
        for event, fields in held_back:
            self.emit(event, **fields)
        if self._failure:
            raise self._failure
        if self._context.only_parity:
            return
        self._worker.thaw()
        self._train()
        if self._context.score:
            self._score()
        used = self._memory()
        self.peak_bytes = used["peak_rss"] or 0
        held = self._context.watchers.monitor.driver.memory_of(self._worker.pid)
        self.emit("memory", import_rss=self._import_rss, device_used=held, **used)
        # Only now: what a replay takes is not the training's.
        self._replay("training")
        if self._context.score:
            self._replay("evaluate")
        self._worker.freeze()

    def launch_again(self, cpus: Sequence[int] | None = None) -> None:
        """Build and take a first step: a launch that is only timed, of a scored cell. Left frozen.

        `cpus`: where it does that, if not on the processors on which it is timed.
        """
        with self._worker.moved(cpus or self._context.cpus, self._context.cpus):
            opened, built, first_step = self._build()
        self.emit(
            "launched" if self.launch > 1 or self.replicate else "relaunched",
            launch=self.launch,
            twin=self.replicate,
            import_seconds=opened["import_seconds"],
            build_seconds=built["seconds"],
            first_step_seconds=first_step["seconds"],
        )
        self._worker.freeze()

    def _memory(self) -> dict[str, Any]:
        return self._worker.ask("memory", self._context.timeouts.work)

    def _build(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Import, build, take the first step; return what the worker reports of each."""
        threads, wait = self._context.threads, self._context.timeouts
        replies = build(
            self._worker,
            self._spec.name,
            self.cell,
            self._task,
            threads,
            self._scratch,
            wait,
            self._context.deterministic,
        )
        self._import_rss = replies[0]["rss"]
        on_card = devices.kind(self.cell.device) != devices.CPU
        self._resident = on_card and replies[1]["resident"]
        return replies

    def check_again(self) -> None:
        """Check the first step once more, after the timed part."""
        if self._checks:
            self._worker.thaw()
            self._checks.after_timing()
            self._worker.freeze()

    def check_rest(self) -> None:
        """Check the kinds of slices of which none was checked, because the rounds ended early."""
        if self._checks:
            self._worker.thaw()
            self._checks.rest(launch=self.launch)
            self._worker.freeze()

    def _check_untimed(self) -> None:
        """Have slices of every kind made as they are timed, and check them."""
        for kind in self._kinds() if self._checks else ():
            self._warm_slice(kind, self._context.measuring.untimed_seconds)
            self._replay(kind)

    def _warm_slice(self, kind: str, seconds: float) -> None:
        """Have a slice of at least so many seconds made, whose time is not recorded."""
        took = self._ask_slice(kind, seconds)
        if took["seconds"] < seconds:  # it was short, for the speed was not known yet
            self._ask_slice(kind, seconds)

    def _replay(self, kind: str) -> None:
        """Check what was timed last of `kind`."""
        if self._checks:
            self._checks.replay(kind, launch=self.launch)

    def _kinds(self) -> list[str]:
        """The kinds of slices that are timed, trainings first: predictions are then by their weights."""
        singles = self._context.measuring.checking or self._context.only_parity
        timed = {"train": True, "resident": self._resident, "predict": True, "single": singles}
        return [kind for kind in timed if timed[kind]]

    def _train(self) -> None:
        """Train from the start weights to the budget."""

        def progress(event: dict[str, Any]) -> None:
            self.emit("progress", step=event["step"], steps=event["steps"], loss=event["loss"])

        wait, steps = self._context.timeouts.work, self._task.steps
        trained = self._worker.ask("train", wait, progress, steps=steps)
        self._next_step = steps
        losses = handed_back.array("train", trained["losses"])
        self.emit(
            "trained",
            steps=steps,
            seconds=trained["seconds"],
            losses=losses[:FIRST_LOSSES].tolist(),
            final_loss=float(losses[-1]),
            curve=learning_curve(losses, trained["moments"]),
        )

    def _score(self) -> None:
        """Have the test set predicted, and score the predictions."""
        labels, predictions, evaluated = predicted(self._worker, self._task, self._context.timeouts)
        scored = classification.score(labels, predictions, self._task.workload.classes)
        correct = classification.pack(labels == predictions)
        if (cross_entropy := evaluated.get("cross_entropy")) is not None:
            scored["perplexity"] = classification.perplexity(cross_entropy)
        self.emit(
            "evaluated",
            seconds=evaluated["seconds"],
            examples=len(labels),
            right=correct,
            predicted=predictions[: preview.MOST].tolist(),
            **scored,
        )

    def train_again(self, seed: int, evaluations: int = 1) -> None:
        """Train with a seed and score, so often on the way: in a check a launch ends with that."""
        self._worker.thaw()
        outcome = train_with(seed, self._worker, self._task, self._context.timeouts, evaluations)
        self._worker.freeze()
        self.emit("retrained", launch=self.launch, **outcome)

    def warm_up(self) -> None:
        """Train until the step times are steady, or for as long as is allowed; say which.

        Then a slice of every other kind is made: the first compiles what it needs, and is short.
        """
        measuring = self._context.measuring
        self._worker.thaw()
        began, times = time.monotonic(), list[float]()
        start = None
        while start is None and len(times) < measuring.warm_portions:
            took = self._worker.ask(
                "warm",
                self._context.timeouts.work,
                start=self._next_step,
                seconds=measuring.warm_seconds,
            )
            self._next_step += took["steps"]
            times += took["seconds_a_step"]
            start = steady_from(times)
        self._step_seconds = median(times)
        for kind in self._kinds()[1:]:
            self._warm_slice(kind, measuring.seconds / 2)
        self._worker.freeze()
        self.emit(
            "warmed",
            launch=self.launch,
            twin=self.replicate,
            steady_from=start,
            seconds=time.monotonic() - began,
            seconds_a_step=times,
        )

    @property
    def undecided(self) -> bool:
        """Whether some parity check of this launch showed nothing."""
        return self._checks is not None and self._checks.undecided

    def begin_rounds(self) -> None:
        """Begin the rounds of this launch: some of their slices of every kind are to be checked."""
        if self._checks:
            self._checks.begin(self._kinds())

    def takes_part(self, number: int) -> bool:
        """Say whether round `number` has slices of this cell: of slow steps, every second or fourth has.

        Such a cell's slices are longer than they are meant to be, for a slice has LEAST_STEPS at least.
        """
        longer = LEAST_STEPS * self._step_seconds / self._context.measuring.seconds
        return number % (1 if longer < 4 else 2 if longer < 8 else 4) == 0

    def time_slices(self, turn: int, number: int) -> list[dict[str, Any]]:
        """Thaw, time a slice of training and one of inference for round `number`, freeze.

        On a card, and where the framework offers it, also one of training on batches that are there;
        in a check also one of single predictions.

        What disturbed a slice is recorded with it. Some slices are then checked, outside the clock.
        Returns what was recorded.
        """
        self._worker.thaw()
        slices = []
        measuring = self._context.measuring
        for kind in self._kinds():
            seconds = measuring.seconds * (1.0 if kind == "train" else 0.5)
            place = {"turn": turn, "launch": self.launch, "round": number, "kind": kind}
            slices.append(place | self._slice(kind, seconds))
            self.emit("twin-slice" if self.replicate else "slice", **slices[-1])
        if self._checks:
            self._checks.draw(number, measuring.rounds, launch=self.launch)
        self._worker.freeze()
        return [{"cell": self.cell.id, "twin": self.replicate, **timed} for timed in slices]

    def _slice(self, kind: str, seconds: float) -> dict[str, Any]:
        monitor, meter = self._context.watchers.monitor, self._context.watchers.meter
        watch = monitor.watch(self._worker.pid, devices.index(self.cell.device))
        before = meter.read()
        took = self._ask_slice(kind, seconds)
        noise, after = watch.noise(), meter.read()
        joules = meter.joules(before, after)
        card = {} if watch.card is None else {"card": watch.card}
        return {**took, "noise": noise, "joules": joules, **card}

    def _ask_slice(self, kind: str, seconds: float) -> dict[str, Any]:
        """Have the worker make a slice; the next one goes on behind its steps."""
        wait, start = self._context.timeouts.work, self._next_step
        took = self._worker.ask("slice", wait, kind=kind, start=start, seconds=seconds)
        if kind in ("train", "resident"):
            self._next_step += took["steps"]
        return took

    def emit_peak(self) -> None:
        """Record the peak of memory until the end of the rounds: of launches that are only timed."""
        self._worker.thaw()
        used = self._memory()
        self._worker.freeze()
        self.emit(
            "peaked", launch=self.launch, twin=self.replicate, import_rss=self._import_rss, **used
        )

    def emit_clock(self) -> None:
        """On a card, hold our clock against the device's own: they are to agree."""
        if devices.kind(self.cell.device) == devices.CPU:
            return
        self._worker.thaw()
        took = self._worker.ask("clock", self._context.timeouts.work, start=self._next_step)
        self._next_step += took["steps"]
        self._worker.freeze()
        if took["device_seconds"]:
            self.emit("clock", **took, ratio=took["seconds"] / took["device_seconds"])

    def emit_latency(self) -> None:
        """Time single predictions of one example and of the workload's batch."""
        self._worker.thaw()
        wait, seconds = self._context.timeouts.first_step, 2 * self._context.measuring.seconds
        for batch in sorted({1, self._task.workload.data.batch}):
            took = self._worker.ask("latency", wait, batch=batch, seconds=seconds)
            self.emit("latency", **took)
            self._replay("latency one" if batch == 1 else "latency")
        self._worker.freeze()

    def emit_limits(self) -> None:
        """Measure how fast the machine multiplies and copies by this framework's own means."""
        self._worker.thaw()
        began, seconds = time.monotonic(), self._context.measuring.seconds
        limits = self._worker.ask("limits", self._context.timeouts.work, seconds=seconds)
        self.emit("limits", seconds=time.monotonic() - began, **limits)
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
