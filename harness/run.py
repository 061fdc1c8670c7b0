"""A whole run, from what was asked for to the written report."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import (
    arms,
    cards,
    devices,
    environments,
    history,
    images,
    machine,
    manifest,
    plan,
    store,
)
from harness.conductor import conduct, training_steps
from harness.environments import Environment, Unavailable
from harness.gate import baseline
from harness.gate.check import Check
from harness.guard import Guard
from harness.parity import DEFAULT_STEPS
from harness.places import cache_folder, project_root
from harness.plan import Cell
from harness.recipes import Recipe, discover
from harness.report.files import finish
from harness.setting import Measuring, Setting, Task, Timeouts, Undecided, Watchers
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
    """By the frameworks' labels, as `interpreters` are."""
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
    deterministic: bool
    undecided: Undecided | None = None
    """What says, instead of the throughput of all pairs, which cells are worth more launches."""
    check: Check | None = None
    baseline: Mapping[str, Any] | None = None
    """What a check is held against, where that is stored."""
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
    command: Sequence[str] = (),
    epochs: int | None = None,
    steps: int | None = None,
    budget: float | None = None,
    precision: float | None = None,
    quick: bool = False,
    parity_steps: int = DEFAULT_STEPS,
    no_parity: bool = False,
    only_proof: bool = False,
    deterministic: bool = False,
    root: Path | None = None,
) -> Request:
    """Check what was asked for against what there is.

    Raises:
        SpecError, RecipeError: a name is unknown, a file is wrong, or nothing is left to run.
    """
    if epochs and steps:
        raise SpecError("--epochs and --steps say the same thing twice: give one")
    root = root or project_root()
    recipes, chosen = discover(root), arms.choose(frameworks, root)
    all_modes = sorted({mode for r in (*recipes.values(), *chosen.values()) for mode in r.modes})
    pythons = {
        label: python
        for word, python in interpreters.items()
        for label in arms.choose([word], root)
    }
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
        interpreters=pythons,
        results=out or root / "results",
        skip_absent=not workloads,
        command=command,
        proof_steps=0 if no_parity else parity_steps,
        only_proof=only_proof,
        deterministic=deterministic,
        options={
            "data": data,
            "quick": quick,
            "device": device,
            "dtype": dtype,
            "own_epochs": {one.name: one.data.epochs for one in own},
        },
    )


def _workload_names(asked: Sequence[str]) -> list[str]:
    words = plan.words(asked)
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
        self, asked: Request, run: store.Run, listener: Listener, timeouts: Timeouts
    ) -> None:
        self.asked, self.run, self.timeouts = asked, run, timeouts
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
    run = store.Run.create(asked.results, manifest.of(asked, root))
    session = _Session(asked, run, listener, timeouts)
    if asked.baseline is not None:
        baseline.keep(run.folder, asked.baseline)
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
        _remember(finish(run.folder), listener)
    return run.folder, int(session.failures > 0)


def _remember(record: store.Record, listener: Listener) -> None:
    """Put the run into the history; where that cannot be, the run is as good without, and it is said."""
    try:
        history.add(record)
    except store.StoreError as error:
        listener({"event": "history-failed", "cell": None, "reason": str(error)})


def _conduct_all(session: _Session) -> None:
    asked = session.asked
    tasks = [task for task in (_task(one, session) for one in asked.workloads) if task]
    ready = _environments(session) if tasks else {}
    setting = Setting(
        threads=asked.threads,
        deterministic=asked.deterministic,
        cpus=usable_cpus()[: asked.threads],
        seed=asked.seed,
        recipes=asked.recipes,
        environments=ready,
        measuring=_share(asked.measuring, len(tasks)),
        watchers=Watchers(Guard(usable_cpus()), manifest.meter(asked)),
        score=not asked.synthetic,
        timeouts=session.timeouts,
        proof_steps=asked.proof_steps,
        only_proof=asked.only_proof,
        undecided=asked.undecided,
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
                commit=asked.recipes[name].commit,
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
        return {recipe.label: Unavailable(absent) for recipe in recipes}
    refused = {}
    for recipe in recipes if kind == devices.CUDA else ():
        card, given = devices.card(device, gpus), recipe.label in asked.interpreters
        if reason := cards.refusal(recipe, card, given):
            refused[recipe.label] = Unavailable(reason)

    def report(name: str, text: str) -> None:
        session.tell("framework-building", None, framework=name, text=text)

    able = [recipe for recipe in recipes if recipe.label not in refused]
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
