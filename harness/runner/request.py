"""What was asked for, checked against what there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import defaults, limits, selection
from harness.environments import user_variables, variants
from harness.environments.framework_spec import FrameworkSpec, discover
from harness.machine import host, processors
from harness.paths import project_root, results_folder
from harness.runner import plan, process
from harness.runner.context import Measuring, Undecided
from harness.runner.plan import Cell
from harness.text import count
from workloads import datasets, spec
from workloads.errors import UserError
from workloads.reading import SpecError
from workloads.spec import Workload

DEFAULT_WORKLOADS = ("mlp-digits", "cnn-digits", "cifar-cnn-128")
"""What `run` takes when no workload is named; those whose data is absent are skipped."""

LEAST_LAUNCHES = 3
"""What a run makes of every cell, even beyond the usual budget: fewer have no useful interval."""

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
    options: dict[str, Any] = field(default_factory=dict)


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
    parity_steps: int = defaults.PARITY_STEPS,
    no_parity: bool = False,
    only_parity: bool = False,
    deterministic: bool = False,
    keep_env: Sequence[str] = (),
    anonymous: bool = False,
    root: Path | None = None,
) -> Request:
    """Check what was asked for against what there is.

    Raises:
        SpecError, FrameworkSpecError: a name is unknown, a file is wrong, or nothing is left to run.
    """
    if epochs and steps:
        raise UserError("--epochs and --steps are mutually exclusive: give one")
    root = root or project_root()
    framework_specs, chosen = discover(root), variants.choose(frameworks, root)
    all_modes = sorted(
        {mode for r in (*framework_specs.values(), *chosen.values()) for mode in r.modes}
    )
    pythons = {
        label: python
        for word, python in interpreters.items()
        for label in variants.choose([word], root)
    }
    names = _workload_names(workloads)
    loaded = [spec.load(name) for name in names]
    changes = {"epochs": epochs or (QUICK_EPOCHS if quick else None), "seed": seed}
    overrides = {key: value for key, value in changes.items() if value is not None}
    wanted = [workload.with_data(**overrides) for workload in loaded]
    counts = Counter(workload.name for workload in wanted)
    twice = {name for name, count in counts.items() if count > 1}
    if twice:
        raise SpecError(
            f"two workloads are named {', '.join(sorted(twice))}: rename one of the files"
        )
    limits.check(
        dict(zip(names, wanted, strict=True)),
        steps=steps,
        parity_steps=0 if no_parity else parity_steps,
        memory=host.memory_there(),
        epochs_by=f"--epochs {epochs}" if epochs else None,
    )
    chosen_devices = _devices(device)
    most = processors.most_threads()
    if threads is not None and threads > most:
        raise UserError(
            f"--threads {threads}: this process may use {count(most, 'processor')}{_quota()}"
        )
    if quick:
        measuring = QUICK
    else:
        measuring = Measuring(
            budget=budget or defaults.WORKLOAD_SECONDS * len(wanted),
            precision=precision or defaults.PRECISION,
            least=1 if budget else LEAST_LAUNCHES,
        )
    return Request(
        workloads=wanted,
        framework_specs=chosen,
        devices=chosen_devices,
        cells=plan.cells(
            wanted, chosen, selection.choose(modes, all_modes, "mode"), chosen_devices, dtype
        ),
        threads=threads or processors.usual_threads(),
        seed=seed or 0,
        steps=steps,
        measuring=measuring,
        data_dir=data_dir,
        synthetic=data == "synthetic",
        interpreters=pythons,
        results=(out or results_folder(root)).absolute(),
        skip_absent=not workloads,
        command=command,
        parity_steps=0 if no_parity else parity_steps,
        only_parity=only_parity,
        deterministic=deterministic,
        kept_variables=kept_variables(keep_env, chosen.values()),
        anonymous=anonymous,
        options={
            "data": data,
            "quick": quick,
            "device": device,
            "dtype": dtype,
            "unused_data_dir": data_dir is not None and not _reads_files(wanted, data),
            "own_epochs": {workload.name: workload.data.epochs for workload in loaded},
        },
    )


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
    names = {workload.data.dataset for workload in workloads}
    return data == "real" and any(datasets.describe(name).download for name in names)


def _quota() -> str:
    quota = host.cpu_quota()
    return "" if quota is None else f": the quota of its cgroup is {quota:g} cores"


def _devices(device: str) -> list[str]:
    if device != "auto":
        return [device]
    return ["cpu", "cuda"] if host.gpus() else ["cpu"]
