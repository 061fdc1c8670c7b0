"""One cell under its framework's own profiler: one worker, a few warm steps, a trace and a table."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import limits
from harness.environments import builder, variants
from harness.environments.framework_spec import DEVICES, FrameworkSpec, discover
from harness.machine import claims, devices, host, processors
from harness.paths import cache_folder, project_root
from harness.results.store import StoreError
from harness.runner import plan
from harness.runner.build import build
from harness.runner.context import Task, Timeouts
from harness.runner.plan import Cell
from harness.runner.process import WorkerFailed, WorkerProcess
from harness.runner.request import kept_variables
from harness.runner.scratch import write_start
from harness.text import with_reason
from workloads import datasets, spec
from workloads.reading import SpecError, nearest

FOLDER = "profiles"
"""Where traces are stored, in the folder of results."""

STEPS = 10
"""How many training steps are profiled."""

_PARTS = ("framework", "mode", "device", "precision")


@dataclass(frozen=True)
class Profiled:
    """A cell's profile. Each operator has `name`, `calls`, `total_us` and `self_us`, longest first."""

    cell: Cell
    steps: int
    trace: Path
    operators: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class _Job:
    """What a worker is asked to profile, and the Python that it runs in."""

    cell: Cell
    task: Task
    framework_spec: FrameworkSpec
    python: Path


def find(text: str, framework_specs: Mapping[str, FrameworkSpec]) -> Cell:
    """Return the cell that a report calls `text`; the device, and what follows, may be left out.

    Raises:
        SpecError: there is no such cell; the message has the nearest word.
    """
    workload, *words = text.strip("/").split("/")
    places = dict.fromkeys([*DEVICES, *filter(devices.NAME.fullmatch, words)])
    cells = plan.cells([spec.load(workload)], framework_specs, [], list(places), "all")
    if not 2 <= len(words) <= len(_PARTS):
        raise SpecError(f'"{text}": give workload/framework/mode, as a report does: {cells[0].id}')
    for what, word in zip(_PARTS, words, strict=False):
        choices = list(dict.fromkeys(getattr(cell, what) for cell in cells))
        if word not in choices:
            raise SpecError(
                f'{text}: no {what} "{word}"{nearest(word, choices)}; known: {", ".join(choices)}'
            )
        cells = [cell for cell in cells if getattr(cell, what) == word]
    return cells[0]


def profile(
    text: str,
    results: Path,
    emit: Callable[[str], None],
    *,
    interpreters: Mapping[str, Path] | None = None,
    keep_env: Sequence[str] = (),
    root: Path | None = None,
) -> Profiled:
    """Profile some training steps of a cell on synthetic data; the trace goes to `results`/profiles.

    `emit` is called with what takes long.

    Raises:
        SpecError: there is no such cell.
        Unavailable: it cannot run here, or its framework has no profiler; why, in one line.
        StoreError: nothing can be written there.
    """
    cell, framework_spec = _chosen(text, root or project_root())
    variables = kept_variables(keep_env, [framework_spec])
    trace = _new_file(results / FOLDER, cell)
    environment = builder.prepare(
        framework_spec,
        devices.kind(cell.device),
        interpreter=(interpreters or {}).get(framework_spec.label),
        report=lambda name, what: emit(f"{name}: {what}"),
    )
    version = "" if framework_spec.release else f" {environment.version}"
    emit(f"{cell.id}: {STEPS} steps under the profiler of {framework_spec.title}{version}")

    def waiting(others: Sequence[int], cards: Sequence[int]) -> None:
        emit(f"waiting for another run: {claims.in_words(others, cards)}")

    with builder.using([environment]), tempfile.TemporaryDirectory() as scratch:
        job = _Job(cell, _task(cell.workload, Path(scratch)), framework_spec, environment.python)
        threads, cards = processors.most_threads(), devices.indices([cell.device])
        with claims.claimed(threads, cards, waiting) as claim:
            answer = _ask(job, trace.with_suffix(".log"), variables, claim.processors)
        shutil.copyfile(answer["trace"], trace)
    return Profiled(cell, STEPS, trace, answer["operators"])


def _chosen(text: str, root: Path) -> tuple[Cell, FrameworkSpec]:
    """Return the cell and its framework. Raises Unavailable where the machine lacks what it needs."""
    labels = [label for label in text.strip("/").split("/")[1:2] if "@" in label]
    framework_specs = discover(root) | variants.choose(labels, root)
    cell = find(text, framework_specs)
    framework_spec, cards = framework_specs[cell.framework], host.gpus()
    lacking = (
        devices.missing(cell.device, cards)
        or devices.lacks(cell.precision, cell.device, cards)
        or framework_spec.missing_program(cell.mode)
    )
    if lacking:
        raise builder.Unavailable(lacking)
    return cell, framework_spec


def _new_file(folder: Path, cell: Cell) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = f"{folder}: no trace can be kept there ({error.strerror})"
        raise StoreError(f"{problem}; name another folder with --out") from error
    return folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{cell.file_name}.json"


def _task(name: str, scratch: Path) -> Task:
    """Make data (its values change no timing), start weights and an order of batches."""
    workload = spec.load(name)
    limits.check({name: workload}, steps=STEPS, parity_steps=0, memory=host.memory_there())
    cache = cache_folder() / "datasets"
    arrays = datasets.prepare(workload.dataset, cache, seed=workload.data.seed, synthetic=True)
    task = Task(workload, arrays, STEPS, scratch)
    write_start(task)
    return task


def _ask(
    job: _Job, log: Path, user_variables: dict[str, str], cpus: Sequence[int]
) -> dict[str, Any]:
    """Start a worker and ask it for the profile. The log stays where it fails."""
    cell, task, framework_spec = job.cell, job.task, job.framework_spec
    wait, scratch, threads = Timeouts(), task.scratch, len(cpus)
    variables = framework_spec.worker_variables(
        device=cell.device, threads=threads, scratch=scratch
    )
    worker = WorkerProcess(job.python, framework_spec.root, log, user_variables | variables, cpus)
    try:
        build(worker, framework_spec.name, cell, task, threads, scratch, wait)
        answer = worker.ask("profile", wait.first_step, steps=task.steps)  # it may compile again
    except WorkerFailed as failure:
        problem = f"{cell.id}: {with_reason(failure.status, failure.reason)}; its log: {log}"
        raise builder.Unavailable(problem) from failure
    finally:
        worker.kill()
    log.unlink()
    return answer
