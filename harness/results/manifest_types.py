"""A manifest's fields, as docs/reference/schema/manifest.schema.json has them; any may be missing."""

from typing import Any, TypedDict


class Machine(TypedDict, total=False):
    """The machine that a run was made on."""

    os: str | None
    kernel: str | None
    architecture: str | None
    cpu: str | None
    cores_logical: int | None
    cores_physical: int | None
    cores_affinity: int | None
    cores_quota: float | None
    cores_usable: float | None
    memory_total: int | None
    memory_available: int | None
    memory_limit: int | None
    load: list[float] | None
    virtualised: str | None
    governor: str | None
    throttled: int | None
    huge_pages: str | None
    swap_used: int | None
    memory_pressure: float | None
    mhz: float | None
    mhz_most: float | None
    gpus: list[dict[str, Any]]
    no_gpu_because: str | None


class Energy(TypedDict, total=False):
    """What counts joules, or why nothing does."""

    sources: list[str]
    reason: str | None


class Options(TypedDict, total=False):
    """What was asked for."""

    data: str
    quick: bool
    steps: int | None
    own_epochs: dict[str, int]
    device: str
    dtype: str | list[str]
    threads: int
    seed: int
    parity_steps: int
    only_parity: bool
    deterministic: bool
    anonymous: bool
    seeds: int
    launches: int
    rounds: int
    slice_seconds: float
    budget: float | None
    precision: float | None
    open_ended: bool
    level: float


class Check(TypedDict, total=False):
    """What a check compares."""

    against: str
    pairs: list[list[str]]
    threshold: float
    margin: float
    stored: bool


class SweepPoint(TypedDict, total=False):
    """A workload of the run that is another one at some value."""

    workload: str
    of: str
    value: float
    as_declared: bool


class Sweep(TypedDict, total=False):
    """What a run swept over."""

    over: str
    points: list[SweepPoint]


class Data(TypedDict, total=False):
    """Which examples a workload takes."""

    dataset: str
    batch: int
    epochs: int
    seed: int


class Optimiser(TypedDict, total=False):
    """How a workload's weights change."""

    kind: str
    lr: float
    momentum: float


class Workload(TypedDict, total=False):
    """What of a workload's spec is read without building it."""

    title: str
    data: Data
    loss: str
    optimiser: Optimiser
    target_accuracy: float
    label_smoothing: float


class Manifest(TypedDict, total=False):
    """A run's manifest."""

    run: str
    started: str
    samestep: str
    command: list[str]
    git_commit: str | None
    machine: Machine
    energy: Energy
    options: Options
    workloads: dict[str, Workload]
    cells: list[str]
    check: Check
    sweep: Sweep
    unit: str
