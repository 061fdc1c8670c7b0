"""Conducts a run: environments, data, then each cell from start to score, then rounds of slices.

Every cell is started, trained to its budget, scored and frozen, one after the other; then, with all
of them warm and frozen, each round thaws them one at a time, in an order drawn from the seed, for
one timed slice. Drift of the machine so hits all alike.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import metrics, protocol
from harness.environments import Environment
from harness.hints import hint
from harness.parity import Standard, judge, rehearse
from harness.plan import Cell
from harness.process import WorkerFailed, WorkerProcess
from harness.recipes import Recipe
from harness.store import Run
from harness.summaries import NOT_THE_SAME
from workloads import init
from workloads.batches import Batches
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
    standard: Standard | None = None


class Alive:
    """A cell whose worker is running."""

    def __init__(self, cell: Cell, worker: WorkerProcess, scratch: Path) -> None:
        self.cell, self.worker, self.scratch = cell, worker, scratch
        self.next_step = 0

    def end(self) -> None:
        """End the worker and remove what it left."""
        self.worker.close()
        shutil.rmtree(self.scratch, ignore_errors=True)


def training_steps(workload: Workload, arrays: Arrays, steps: int | None) -> int:
    """Return `steps`, or the steps of the workload's epochs.

    Raises:
        ValueError: the batch is larger than the data set.
    """
    per_epoch = init.steps_per_epoch(workload, len(arrays.open("train_labels")))
    return steps or per_epoch * workload.data.epochs


def conduct(task: Task, cells: Sequence[Cell], setting: Setting, run: Run, tell: Tell) -> int:
    """Run all cells of one workload; return how many failed. Failures are the journal's to tell."""
    with _scratch(run.folder, task.workload.name) as scratch:
        start = scratch / "start"
        hashes = _write_start(task, start)
        tell("start", None, workload=task.workload.name, sha256=hashes)
        if setting.proof_steps and cells:
            task.standard = _rehearse(task, start, setting.proof_steps, tell)
        alive: list[Alive] = []
        try:
            for cell in cells:
                try:
                    alive.append(_bring_up(cell, task, setting, run, scratch, tell))
                except WorkerFailed as failure:
                    phase = None if failure.status == NOT_THE_SAME else "training"
                    _tell_failure(cell, phase, failure, tell)
            survivors = alive if setting.only_proof else _rounds(alive, task, setting, tell)
            survivors = [one for one in survivors if _still_the_same(one, task, setting, tell)]
            for one in survivors:
                tell("cell-done", one.cell.id)
        finally:
            for one in alive:
                one.end()
        return len(cells) - len(survivors)


@contextlib.contextmanager
def _scratch(folder: Path, name: str) -> Iterator[Path]:
    """A folder for what the workers exchange; it is removed, for the seed can make it again."""
    scratch = folder / "scratch" / name
    scratch.mkdir(parents=True)
    try:
        yield scratch
    finally:
        shutil.rmtree(folder / "scratch", ignore_errors=True)


def _write_start(task: Task, folder: Path) -> dict[str, str]:
    """Write start weights and batch order as .npy files, once for everyone; return their sha256."""
    folder.mkdir()
    examples = len(task.arrays.open("train_labels"))
    made: dict[str, NDArray] = {**init.start_weights(task.workload)}
    made["order"] = init.batch_order(task.workload, examples, task.steps)
    hashes = {}
    for name, array in made.items():
        np.save(folder / f"{name}.npy", array)
        hashes[name] = hashlib.sha256(array.tobytes()).hexdigest()
    return hashes


def _tell_failure(cell: Cell, phase: str | None, failure: WorkerFailed, tell: Tell) -> None:
    """Write a worker's failure to the journal; it costs its own cell only."""
    tell(
        "cell-failed",
        cell.id,
        phase=phase,
        status=failure.status,
        reason=failure.reason,
        signal=failure.signal_name,
        log_tail=failure.log_tail,
    )


def _rehearse(task: Task, start: Path, steps: int, tell: Tell) -> Standard:
    """Run the reference over the first batches, once for all cells."""
    began = time.monotonic()
    names = (*task.workload.parameters, *task.workload.state)
    weights = {name: np.load(start / f"{name}.npy") for name in names}
    train = task.arrays.open("train_inputs"), task.arrays.open("train_labels")
    batches = Batches(*train, np.load(start / "order.npy"), task.workload)
    standard = rehearse(task.workload, weights, batches.take(0, steps))
    seconds = time.monotonic() - began
    tell("rehearsed", None, workload=task.workload.name, steps=steps, seconds=seconds)
    return standard


def _prove(one: Alive, standard: Standard, setting: Setting, tell: Tell, when: str) -> None:
    """Ask for the answers of the proof and judge them; a cell that is not the same fails."""
    proved = one.worker.ask(
        "prove", setting.timeouts.prove, steps=standard.steps, file=f"{when}.npz"
    )
    with np.load(proved["answers"]) as found:
        found = dict(found)
    verdict = judge(found, standard, one.cell.precision)
    advice = hint(found, standard, verdict)
    tell(
        "parity",
        one.cell.id,
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


def _still_the_same(one: Alive, task: Task, setting: Setting, tell: Tell) -> bool:
    """Ask for the first step once more after the timed part: nothing was optimised away."""
    if task.standard is None or setting.only_proof:
        return True
    try:
        one.worker.thaw()
        _prove(one, task.standard.first_step(), setting, tell, "after the timed part")
        one.worker.freeze()
    except WorkerFailed as failure:
        _tell_failure(one.cell, "after the timed part", failure, tell)
        return False
    return True


def _bring_up(
    cell: Cell, task: Task, setting: Setting, run: Run, scratch: Path, tell: Tell
) -> Alive:
    """Start a cell's worker, train it to its budget, score it, and leave it warm and frozen."""
    own = scratch / cell.id.replace("/", "_")
    own.mkdir()
    log = run.folder / "logs" / f"{own.name}.log"
    log.parent.mkdir(exist_ok=True)
    recipe = setting.recipes[cell.framework]
    variables = recipe.worker_variables(device=cell.device, threads=setting.threads, scratch=own)
    python = setting.environments[cell.framework, cell.device].python
    tell("cell-started", cell.id, log=str(log.relative_to(run.folder)))
    one = Alive(cell, WorkerProcess(python, setting.root, log, variables, setting.cpus), own)
    try:
        _train_and_score(one, task, setting, scratch / "start", tell)
        one.worker.freeze()
    except BaseException:
        one.worker.kill()
        one.end()
        raise
    return one


def _train_and_score(one: Alive, task: Task, setting: Setting, start: Path, tell: Tell) -> None:
    cell, worker, wait = one.cell, one.worker, setting.timeouts
    opened = worker.ask(
        "open",
        wait.open,
        framework=cell.framework,
        version=protocol.VERSION,
        folder=str(one.scratch),
    )
    tell("opened", cell.id, pid=worker.pid, **opened)
    built = worker.ask(
        "build",
        wait.build,
        workload=task.workload.to_dict(),
        arrays=str(task.arrays.folder),
        start=str(start),
        mode=cell.mode,
        device=cell.device,
        threads=setting.threads,
    )
    tell("built", cell.id, **built)
    first = worker.ask("first_step", wait.first_step)
    tell("first-step", cell.id, **first)

    if task.standard is not None:
        _prove(one, task.standard, setting, tell, "before the timed part")
    if setting.only_proof:
        return
    _train(one, task, setting, tell)
    if setting.score:
        _score(one, task, setting, tell)
    tell("memory", cell.id, import_rss=opened["rss"], **worker.ask("memory", wait.work))


def _train(one: Alive, task: Task, setting: Setting, tell: Tell) -> None:
    """Train from the start weights to the budget."""

    def progress(event: dict[str, Any]) -> None:
        tell(
            "progress", one.cell.id, **{k: v for k, v in event.items() if k not in ("event", "id")}
        )

    trained = one.worker.ask("train", setting.timeouts.work, progress, steps=task.steps)
    one.next_step = task.steps
    losses = np.load(trained["losses"]).tolist()
    tell(
        "trained",
        one.cell.id,
        steps=task.steps,
        seconds=trained["seconds"],
        losses=losses[:FIRST_LOSSES],
        final_loss=losses[-1],
    )


def _score(one: Alive, task: Task, setting: Setting, tell: Tell) -> None:
    evaluated = one.worker.ask("evaluate", setting.timeouts.first_step)
    predictions = np.load(evaluated["predictions"])
    labels = np.asarray(task.arrays.open("test_labels"))
    if predictions.shape != labels.shape:
        reason = f"evaluate: {len(predictions)} predictions for {len(labels)} examples"
        raise WorkerFailed("failed", reason)
    scored = metrics.score(labels, predictions, task.workload.classes)
    tell("evaluated", one.cell.id, seconds=evaluated["seconds"], examples=len(labels), **scored)


def _rounds(alive: Sequence[Alive], task: Task, setting: Setting, tell: Tell) -> list[Alive]:
    """Time one slice of every cell in each round; return the cells that are still well.

    Round 0 warms up and is kept out of every figure.
    """
    measuring, order = setting.measuring, random.Random(setting.seed)  # noqa: S311 (no secret)
    well, began = list(alive), time.monotonic()
    number = 0
    while well and _goes_on(number, time.monotonic() - began, measuring):
        order.shuffle(well)
        for one in list(well):
            try:
                _slices(one, number, setting, tell)
            except WorkerFailed as failure:
                _tell_failure(one.cell, "rounds", failure, tell)
                well.remove(one)
        number += 1
    return [one for one in alive if one in well]


def _goes_on(number: int, elapsed: float, measuring: Measuring) -> bool:
    """Say whether round `number` is to be run: at least one counts; then rounds or budget decide."""
    if number <= 1:
        return True
    if measuring.budget is not None:
        return elapsed * (number + 1) / number <= measuring.budget
    return number <= measuring.rounds


def _slices(one: Alive, number: int, setting: Setting, tell: Tell) -> None:
    one.worker.thaw()
    for kind, share in (("train", 1.0), ("predict", 0.5)):
        took = one.worker.ask(
            "slice",
            setting.timeouts.work,
            kind=kind,
            start=one.next_step,
            seconds=share * setting.measuring.seconds,
        )
        if kind == "train":
            one.next_step += took["steps"]
        tell("slice", one.cell.id, round=number, kind=kind, **took)
    one.worker.freeze()
