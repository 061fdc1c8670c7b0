"""What was asked for, checked against what there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import defaults, limits, selection
from harness.environments import older_commits, user_variables, variants
from harness.environments.framework_spec import FrameworkSpec, discover
from harness.machine import host, processors
from harness.paths import project_root, results_folder
from harness.results.sweep import Sweep
from harness.runner import plan, process
from harness.runner.context import Measuring, Undecided
from harness.runner.plan import Cell, Values
from harness.text import count
from workloads import spec
from workloads.errors import UserError
from workloads.reading import SpecError
from workloads.spec import Workload

DEFAULT_WORKLOADS = ("mlp-digits", "cnn-digits", "cifar-cnn-128")
"""What `run` takes when no workload is named; those whose data is absent are skipped."""

LEAST_LAUNCHES = 3
"""What a run makes of every cell, even beyond its budget: fewer have no useful interval."""

QUICK = Measuring(launches=2, rounds=4, seconds=0.05)
QUICK_EPOCHS = 1


@dataclass(frozen=True)
class Request:
    """What was asked for, checked. Made by `request`."""

    workloads: Sequence[Workload]
    framework_specs: Mapping[str, FrameworkSpec]
    """By the frameworks' labels, as `interpreters` are."""
    devices: Sequence[str]
    cells: Sequence[Cell]
    threads: int
    """Of a sweep over threads, the most: those of a workload are `threads_of` it."""
    spared: int
    """Processors that the workers leave to the rest of the machine."""
    seed: int
    steps: int | None
    measuring: Measuring
    data_dir: Path | None
    synthetic: bool
    interpreters: Mapping[str, Path]
    results: Path
    skip_absent: bool
    command: Sequence[str]
    parity_steps: int
    only_parity: bool
    deterministic: bool
    kept_variables: dict[str, str]
    undecided: Undecided | None = None
    """What says, instead of the throughput of all pairs, which cells are worth more launches."""
    anonymous: bool = False
    """Whether host, user and paths are left out of what the run writes."""
    extra_manifest: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the manifest that say what the run is for."""
    attachments: Mapping[str, str] = field(default_factory=dict)
    """Files that are written into the run's folder at its start: their names and texts."""
    sweep: Sweep | None = None
    seeds: int = 0
    """With how many seeds each cell is trained to the target, besides what is timed."""
    options: dict[str, Any] = field(default_factory=dict)

    def threads_of(self, workload: str) -> int:
        """Return how many threads the workers of a workload have."""
        points = self.sweep.points if self.sweep and self.sweep.over == "threads" else ()
        values = {point.workload: int(point.value) for point in points}
        return values.get(workload, self.threads)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a run as they were given, unchecked."""

    frameworks: Sequence[str]
    workloads: Sequence[str]
    modes: Sequence[str]
    device: str
    dtype: str = "float32"
    threads: int | None
    seed: int | None
    data: str
    data_dir: Path | None
    interpreters: Mapping[str, Path]
    """By NAME[@VERSION]."""
    out: Path | None
    command: Sequence[str] = ()
    epochs: int | None = None
    steps: int | None = None
    budget: float | None = None
    precision: float | None = None
    quick: bool = False
    parity_steps: int = defaults.PARITY_STEPS
    no_parity: bool = False
    only_parity: bool = False
    deterministic: bool = False
    keep_env: Sequence[str] = ()
    anonymous: bool = False
    values: Values = field(default_factory=dict)
    """Of --batch, --width and --threads; a single number of threads is in `threads`."""
    seeds: int | None = None
    root: Path | None = None


def request(options: Options) -> Request:
    """Check what was asked for against what there is.

    Raises:
        SpecError, FrameworkSpecError: a name is unknown, a file is wrong, or nothing is left to run.
        UserError: options that exclude each other, or a number beyond what this machine has.
    """
    root = options.root or project_root()
    framework_specs = variants.choose(options.frameworks, root)
    loaded = {name: spec.load(name) for name in _workload_names(options.workloads)}
    points, sweep = plan.at_values(loaded, options.values)
    workloads = _workloads(points, options)
    older_commits.check(framework_specs.values(), workloads)
    most = max((int(value) for value in options.values.get("threads", ())), default=options.threads)
    devices, threads = _devices(options.device), _threads(most)
    return Request(
        workloads=workloads,
        framework_specs=framework_specs,
        devices=devices,
        cells=plan.cells(
            workloads,
            framework_specs,
            modes(options.modes, framework_specs, root),
            devices,
            options.dtype,
        ),
        threads=threads,
        spared=0 if most else processors.most_threads() - threads,
        seed=options.seed or 0,
        steps=options.steps,
        measuring=_measuring(options),
        data_dir=options.data_dir,
        synthetic=options.data == "synthetic",
        interpreters=_interpreters(options, root),
        results=(options.out or results_folder(root)).absolute(),
        skip_absent=not options.workloads,
        command=options.command,
        parity_steps=_parity_steps(options),
        only_parity=options.only_parity,
        deterministic=options.deterministic,
        kept_variables=kept_variables(options.keep_env, framework_specs.values()),
        anonymous=options.anonymous,
        sweep=sweep,
        seeds=_seeds(options, workloads),
        options=_recorded(options, points.values()),
    )


def _workloads(loaded: Mapping[str, Workload], options: Options) -> list[Workload]:
    """Return the workloads with what the options override; `loaded` are by the words that name them."""
    if options.epochs and options.steps:
        raise UserError("--epochs and --steps are mutually exclusive: give one")
    epochs = options.epochs or (QUICK_EPOCHS if options.quick else None)
    overrides = {"epochs": epochs, "seed": options.seed}
    changes = {key: value for key, value in overrides.items() if value is not None}
    changed = {name: workload.with_data(**changes) for name, workload in loaded.items()}
    names = Counter(workload.name for workload in changed.values())
    if twice := sorted(name for name, times in names.items() if times > 1):
        raise SpecError(f"two workloads are named {', '.join(twice)}: rename one of the files")
    limits.check(
        changed,
        steps=options.steps,
        parity_steps=_parity_steps(options),
        memory=host.memory_there(),
        epochs_by=f"--epochs {options.epochs}" if options.epochs else None,
        seeds=options.seeds,
    )
    return list(changed.values())


def _seeds(options: Options, workloads: Sequence[Workload]) -> int:
    """Return the seeds to train with to the target. Raises UserError where there is none to come to."""
    if options.seeds and options.data == "synthetic":
        raise UserError("--seeds: synthetic data has no accuracy to train to; leave out --data")
    for workload in workloads if options.seeds else ():
        if not workload.target_accuracy:
            raise UserError(
                f"--seeds: {workload.name} has no target_accuracy to train to; set it in its file"
            )
    return options.seeds or 0


def _parity_steps(options: Options) -> int:
    return 0 if options.no_parity else options.parity_steps


def modes(names: Sequence[str], chosen: Mapping[str, FrameworkSpec], root: Path) -> Sequence[str]:
    """Return the modes that are named; each has to be one of some framework, chosen or not.

    Raises SpecError.
    """
    framework_specs = [*discover(root).values(), *chosen.values()]
    offered = sorted({mode for framework_spec in framework_specs for mode in framework_spec.modes})
    return selection.choose(names, offered, "mode")


def _interpreters(options: Options, root: Path) -> dict[str, Path]:
    """Return the interpreters of the user's by the labels of their frameworks."""
    return {
        label: python
        for word, python in options.interpreters.items()
        for label in variants.choose([word], root)
    }


def _threads(threads: int | None) -> int:
    most = processors.most_threads()
    if threads is not None and threads > most:
        raise UserError(
            f"--threads {threads}: this process may use {count(most, 'processor')}{_quota()}"
        )
    return threads or processors.usual_threads()


def _measuring(options: Options) -> Measuring:
    if options.quick:
        return QUICK
    return Measuring(
        budget=options.budget,
        workload_budget=defaults.WORKLOAD_SECONDS,
        precision=options.precision or defaults.PRECISION,
        least=LEAST_LAUNCHES,
    )


def _recorded(options: Options, loaded: Collection[Workload]) -> dict[str, Any]:
    """Return what the manifest has of the options besides the request's own fields."""
    reads_files = _reads_files(loaded, options.data)
    return {
        "data": options.data,
        "quick": options.quick,
        "device": options.device,
        "dtype": options.dtype,
        "unused_data_dir": options.data_dir is not None and not reads_files,
        "own_epochs": {workload.name: workload.data.epochs for workload in loaded},
    }


def kept_variables(
    names: Iterable[str], framework_specs: Iterable[FrameworkSpec]
) -> dict[str, str]:
    """Return the variables of the user's that `--keep-env` names. Raises UserError."""
    reserved = {*process.ISOLATION, *process.ALLOCATOR}
    for framework_spec in framework_specs:
        reserved |= {*framework_spec.variables, *framework_spec.deterministic}
    return user_variables.by_name(names, reserved)


def _workload_names(texts: Sequence[str]) -> list[str]:
    words = selection.words(texts, "workload")
    if "all" in words:
        return spec.names()
    return list(dict.fromkeys(words)) or list(DEFAULT_WORKLOADS)


def _reads_files(workloads: Iterable[Workload], data: str) -> bool:
    """Say whether some workload's data is read from published files."""
    return data == "real" and any(workload.dataset.download for workload in workloads)


def _quota() -> str:
    quota = host.cpu_quota()
    return "" if quota is None else f": the quota of its cgroup is {quota:g} cores"


def _devices(device: str) -> list[str]:
    if device != "auto":
        return [device]
    return ["cpu", "cuda"] if host.gpus() else ["cpu"]
