"""Conducts a run: each cell from its start to its score, one after the other, then rounds of slices.

With all cells of a workload warm and frozen, each round thaws them one at a time, in an order drawn
from the seed, for one timed slice. Drift of the machine so hits all alike.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.cell import LiveCell, Measuring, Setting, Task, Tell
from harness.parity import Standard, rehearse
from harness.plan import Cell
from harness.process import WorkerFailed
from harness.summaries import NOT_THE_SAME
from workloads import init
from workloads.batches import Batches
from workloads.datasets import Arrays
from workloads.spec import Workload


def training_steps(workload: Workload, arrays: Arrays, steps: int | None) -> int:
    """Return `steps`, or the steps of the workload's epochs.

    Raises:
        ValueError: the batch is larger than the data set.
    """
    per_epoch = init.steps_per_epoch(workload, len(arrays.open("train_labels")))
    return steps or per_epoch * workload.data.epochs


def conduct(task: Task, cells: Sequence[Cell], setting: Setting, run: Path, tell: Tell) -> int:
    """Run all cells of one workload; return how many failed. Failures are the journal's to tell.

    `run` is the run's folder.
    """
    with _scratch(task, run):
        tell("start", None, workload=task.workload.name, sha256=write_start(task))
        if setting.proof_steps and cells:
            task.standard = _rehearse(task, setting.proof_steps, tell)
        alive: list[LiveCell] = []
        try:
            for cell in cells:
                _bring_up(cell, task, setting, run, tell, alive)
            well = alive
            if not setting.only_proof:
                well = _still_the_same(_rounds(alive, setting))
            for one in well:
                one.tell("cell-done")
        finally:
            for one in alive:
                one.end()
        return len(cells) - len(well)


@contextlib.contextmanager
def _scratch(task: Task, run: Path) -> Iterator[None]:
    """A folder for what the workers exchange, while the task runs."""
    task.scratch = run / "scratch" / task.workload.name
    task.scratch.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(run / "scratch", ignore_errors=True)


def write_start(task: Task) -> dict[str, str]:
    """Write start weights and batch order as .npy files, once for everyone; return their sha256."""
    task.start.mkdir()
    examples = len(task.arrays.open("train_labels"))
    made: dict[str, NDArray] = {**init.start_weights(task.workload)}
    made["order"] = init.batch_order(task.workload, examples, task.steps)
    hashes = {}
    for name, array in made.items():
        np.save(task.start / f"{name}.npy", array)
        hashes[name] = hashlib.sha256(array.tobytes()).hexdigest()
    return hashes


def _rehearse(task: Task, steps: int, tell: Tell) -> Standard:
    """Run the reference over the first batches, once for all cells."""
    began = time.monotonic()
    names = (*task.workload.parameters, *task.workload.state)
    weights = {name: np.load(task.start / f"{name}.npy") for name in names}
    train = task.arrays.open("train_inputs"), task.arrays.open("train_labels")
    batches = Batches(*train, np.load(task.start / "order.npy"), task.workload)
    standard = rehearse(task.workload, weights, batches.take(0, steps))
    seconds = time.monotonic() - began
    tell("rehearsed", None, workload=task.workload.name, steps=steps, seconds=seconds)
    return standard


def _bring_up(
    cell: Cell, task: Task, setting: Setting, run: Path, tell: Tell, alive: list[LiveCell]
) -> None:
    """Start a cell and add it to `alive`, warm and frozen; one that fails is told of and ended."""
    one = LiveCell(cell, task, setting, run, tell)
    try:
        one.bring_up()
        alive.append(one)
    except WorkerFailed as failure:
        one.tell_failure(None if failure.status == NOT_THE_SAME else "training", failure)
    finally:
        if one not in alive:
            one.kill()


def _rounds(alive: Sequence[LiveCell], setting: Setting) -> list[LiveCell]:
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
                one.time_slices(number)
            except WorkerFailed as failure:
                one.tell_failure("rounds", failure)
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


def _still_the_same(cells: Sequence[LiveCell]) -> list[LiveCell]:
    """Ask each cell for the first step again; return those that still take it."""
    same = []
    for one in cells:
        try:
            one.prove_again()
            same.append(one)
        except WorkerFailed as failure:
            one.tell_failure("after the timed part", failure)
    return same
