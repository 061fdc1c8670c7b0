"""A whole run, from what was asked for to the written report."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness import cards, devices, environments, images, machine, plan, store
from harness.cell import Measuring, Setting, Task, Timeouts, Watchers
from harness.conductor import conduct, training_steps
from harness.energy import Meter
from harness.environments import Environment, Unavailable
from harness.guard import Guard
from harness.parity import DEFAULT_STEPS
from harness.places import cache_folder, project_root
from harness.plan import Cell
from harness.recipes import Recipe, discover
from harness.report.files import finish
from workloads import datasets, spec
from workloads.datasets import DatasetError
from workloads.reading import SpecError
from workloads.spec import Workload

DEFAULT_WORKLOADS = ("mlp-digits", "cnn-digits", "cifar-cnn-128")
"""What `run` takes when no workload is named; those whose data is absent are skipped."""

QUICK = Measuring(launches=1, rounds=3, seconds=0.2)
QUICK_EPOCHS = 1

OPEN_ENDED = Measuring(rounds=4, seconds=0.2)
"""With a budget or a precision: many short launches say more than few long ones."""

PATIENCE = Timeouts()

Listener = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Request:
    """What was asked for, checked. Made by `request`."""

    workloads: Sequence[Workload]
    recipes: Mapping[str, Recipe]
    devices: Sequence[str]
    cells: Sequence[Cell]
    threads: int
    seed: int
    steps: int | None
    measuring: Measuring
    data_dir: Path | None
    synthetic: bool
    interpreters: Mapping[str, Path]
    results: Path
    skip_absent: bool
    command: Sequence[str]
    proof_steps: int
    only_proof: bool
    options: dict[str, Any] = field(default_factory=dict)


def usable_cpus() -> list[int]:
    """Return the numbers of the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def request(
    *,
    frameworks: Sequence[str],
    workloads: Sequence[str],
    modes: Sequence[str],
    device: str,
    dtype: str = "float32",
    threads: int | None,
    seed: int | None,
    data: str,
    data_dir: Path | None,
    interpreters: Mapping[str, Path],
    out: Path | None,
    command: Sequence[str],
    epochs: int | None = None,
    steps: int | None = None,
    budget: float | None = None,
    precision: float | None = None,
    quick: bool = False,
    parity_steps: int = DEFAULT_STEPS,
    no_parity: bool = False,
    only_proof: bool = False,
    root: Path | None = None,
) -> Request:
    """Check what was asked for against what there is.

    Raises:
        SpecError, RecipeError: a name is unknown, a file is wrong, or nothing is left to run.
    """
    root = root or project_root()
    recipes = discover(root)
    chosen = {name: recipes[name] for name in plan.choose(frameworks, list(recipes), "framework")}
    all_modes = sorted({mode for recipe in recipes.values() for mode in recipe.modes})
    for name in interpreters:
        plan.choose([name], list(recipes), "framework")
    own = [spec.load(name) for name in _workload_names(workloads)]
    changes = {"epochs": epochs or (QUICK_EPOCHS if quick else None), "seed": seed}
    given = {key: value for key, value in changes.items() if value is not None}
    wanted = [one.with_data(**given) for one in own]
    twice = {one.name for one in wanted if [other.name for other in wanted].count(one.name) > 1}
    if twice:
        raise SpecError(
            f"two workloads are named {', '.join(sorted(twice))}: rename one of the files"
        )
    there = _devices(device)
    cpus = usable_cpus()
    if threads is not None and threads > len(cpus):
        raise SpecError(f"--threads {threads}: this process may use {len(cpus)} processors")
    usual = OPEN_ENDED if budget or precision else Measuring()
    usual = QUICK if quick else usual
    return Request(
        workloads=wanted,
        recipes=chosen,
        devices=there,
        cells=plan.cells(wanted, chosen, plan.choose(modes, all_modes, "mode"), there, dtype),
        threads=threads or len(cpus),
        seed=seed or 0,
        steps=steps,
        measuring=replace(usual, budget=budget, precision=precision),
        data_dir=data_dir,
        synthetic=data == "synthetic",
        interpreters=interpreters,
        results=out or root / "results",
        skip_absent=not workloads,
        command=command,
        proof_steps=0 if no_parity else parity_steps,
        only_proof=only_proof,
        options={
            "data": data,
            "quick": quick,
            "device": device,
            "dtype": dtype,
            "steps": steps,
            "own_epochs": {one.name: one.data.epochs for one in own},
        },
    )


def _workload_names(asked: Sequence[str]) -> list[str]:
    words = [word.strip() for text in asked for word in text.split(",") if word.strip()]
    if "all" in words:
        return spec.names()
    return list(dict.fromkeys(words)) or list(DEFAULT_WORKLOADS)


def _devices(device: str) -> list[str]:
    if device != "auto":
        return [device]
    return ["cpu", "cuda"] if machine.gpus() else ["cpu"]


class _Session:
    """A run under way: what it needs at every turn, and how many cells have gone wrong."""

    def __init__(
        self, asked: Request, run: store.Run, listener: Listener, root: Path, timeouts: Timeouts
    ) -> None:
        self.asked, self.run, self.root, self.timeouts = asked, run, root, timeouts
        self._listener = listener
        self.failures = 0

    def tell(self, event: str, cell: str | None, **fields: Any) -> None:
        self.run.append(event, cell, **fields)
        self._listener({"event": event, "cell": cell, **fields})


def execute(
    asked: Request,
    listener: Listener,
    root: Path | None = None,
    timeouts: Timeouts = PATIENCE,
) -> tuple[Path, int]:
    """Do what was asked for; return the run's folder and the exit status.

    0: all well; 1: a cell failed or could not run. Ctrl-C ends the workers, keeps what there is,
    and is raised again.
    """
    root = root or project_root()
    run = store.Run.create(asked.results, _manifest(asked, root))
    session = _Session(asked, run, listener, root, timeouts)
    status = "interrupted"
    try:
        session.tell(
            "run-started", None, cells=len(asked.cells), folder=str(run.folder),
            slices=2 * asked.measuring.launches * asked.measuring.rounds,
        )  # fmt: skip
        _conduct_all(session)
        status = "failed" if session.failures else "ok"
    finally:
        session.tell("run-ended", None, status=status, exit_code=int(status != "ok"))
        run.close()
        finish(run.folder)
    return run.folder, int(session.failures > 0)


def _conduct_all(session: _Session) -> None:
    asked = session.asked
    tasks = [task for task in (_task(one, session) for one in asked.workloads) if task]
    ready = _environments(session) if tasks else {}
    setting = Setting(
        root=session.root,
        threads=asked.threads,
        cpus=usable_cpus()[: asked.threads],
        seed=asked.seed,
        recipes=asked.recipes,
        environments=ready,
        measuring=_share(asked.measuring, len(tasks)),
        watchers=Watchers(Guard(usable_cpus()), _meter(asked)),
        score=not asked.synthetic,
        timeouts=session.timeouts,
        proof_steps=asked.proof_steps,
        only_proof=asked.only_proof,
    )
    for task in tasks:
        planned = [cell for cell in asked.cells if cell.workload == task.workload.name]
        cells = [cell for cell in planned if _can_run(cell, setting, session)]
        session.failures += len(planned) - len(cells)
        session.failures += conduct(task, cells, setting, session.run.folder, session.tell)


def _share(measuring: Measuring, workloads: int) -> Measuring:
    """Divide the budget of the whole run between its workloads."""
    if measuring.budget is None:
        return measuring
    return replace(measuring, budget=measuring.budget / max(1, workloads))


def _task(workload: Workload, session: _Session) -> Task | None:
    """Make a workload's data ready; where that cannot be, say so in one line and go on."""
    asked = session.asked
    try:
        arrays = datasets.prepare(
            workload.data.dataset,
            cache_folder() / "datasets",
            seed=workload.data.seed,
            data_dir=asked.data_dir,
            synthetic=asked.synthetic,
        )
        steps = training_steps(workload, arrays, asked.steps)
    except (DatasetError, ValueError) as error:
        session.tell("workload-skipped", None, workload=workload.name, reason=str(error))
        session.failures += not (asked.skip_absent and isinstance(error, datasets.DatasetMissing))
        return None
    session.tell(
        "dataset",
        None,
        workload=workload.name,
        name=arrays.name,
        source=arrays.source,
        sha256=arrays.sha256,
        train=len(arrays.open("train_labels")),
        test=len(arrays.open("test_labels")),
        classes=list(arrays.classes),
        images=images.first(arrays, datasets.describe(arrays.name).top),
    )
    return Task(workload, arrays, steps)


def _environments(session: _Session) -> dict[tuple[str, str], Environment]:
    """Make every framework's environment ready, and tell of each; leave out what cannot run."""
    asked, ready = session.asked, {}
    for device in asked.devices:
        found = _prepare(asked, device, session)
        for name, result in found.items():
            about = {"framework": name, "title": asked.recipes[name].title, "device": device}
            if isinstance(result, Unavailable):
                session.tell("framework-unavailable", None, **about, reason=str(result))
                continue
            ready[name, device] = result
            session.tell(
                "framework-ready",
                None,
                **about,
                arbiter=asked.recipes[name].arbiter,
                origin=result.origin,
                python=str(result.python),
                version=result.version,
                lock=result.lock,
                lock_sha256=result.lock_hash,
                seconds=result.seconds,
            )
    return ready


def _prepare(
    asked: Request, device: str, session: _Session
) -> dict[str, Environment | Unavailable]:
    kind, gpus = devices.kind(device), machine.gpus()
    recipes = [r for r in asked.recipes.values() if kind in r.devices or not r.arbiter]
    if absent := devices.missing(device, gpus):
        return {recipe.name: Unavailable(absent) for recipe in recipes}
    refused = {}
    for recipe in recipes if kind == devices.CUDA else ():
        card, given = devices.card(device, gpus), recipe.name in asked.interpreters
        if reason := cards.refusal(recipe, card, given):
            refused[recipe.name] = Unavailable(reason)

    def report(name: str, text: str) -> None:
        session.tell("framework-building", None, framework=name, text=text)

    able = [recipe for recipe in recipes if recipe.name not in refused]
    made = environments.prepare_all(able, kind, interpreters=asked.interpreters, report=report)
    return {**refused, **made}


def _can_run(cell: Cell, setting: Setting, session: _Session) -> bool:
    """Say whether all that the cell needs is here; where not, the journal says why."""
    if (cell.framework, cell.device) not in setting.environments:
        return False  # told already, for all of its cells
    reason = setting.recipes[cell.framework].missing_program(cell.mode)
    reason = reason or devices.lacks(cell.precision, cell.device, machine.gpus())
    if reason:
        session.tell("cell-failed", cell.id, phase="start", status="unavailable", reason=reason,
                     signal=None, log_tail=[])  # fmt: skip
    return reason is None


def _manifest(asked: Request, root: Path) -> dict[str, Any]:
    return {
        "samestep": _version(),
        "command": list(asked.command),
        "git_commit": _git_commit(root),
        "machine": machine.describe(),
        "energy": _energy(_meter(asked)),
        "options": {
            **asked.options,
            "threads": asked.threads,
            "seed": asked.seed,
            "parity_steps": asked.proof_steps,
            "only_proof": asked.only_proof,
            "launches": asked.measuring.launches,
            "rounds": asked.measuring.rounds,
            "slice_seconds": asked.measuring.seconds,
            "budget": asked.measuring.budget,
            "precision": asked.measuring.precision,
            "open_ended": asked.measuring.open_ended,
        },
        "workloads": {workload.name: workload.to_dict() for workload in asked.workloads},
        "cells": [cell.id for cell in asked.cells],
    }


def _version() -> str:
    """Return the installed version, or that nothing is installed: a folder of sources runs too."""
    try:
        return version("samestep")
    except PackageNotFoundError:
        return "from source"


def _meter(asked: Request) -> Meter:
    """Count the processor packages and the cards of this run; all cards where theirs is not known."""
    used = [devices.index(one) for one in asked.devices if devices.kind(one) == devices.CUDA]
    return Meter(None if None in used else [one for one in used if one is not None])


def _energy(meter: Meter) -> dict[str, Any]:
    return {"sources": meter.sources, "reason": meter.reason}


def _git_commit(root: Path) -> str | None:
    """Return the checkout's commit, with "+" where files differ from it; None outside git."""
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty=+"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
