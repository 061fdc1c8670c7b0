"""The events of a cell in a run's journal (see `harness.results.events`)."""

# No `from __future__ import annotations`: of annotations that are texts, Python 3.11 takes every key of
# a TypedDict for a required one.

from typing import Any, Literal, NotRequired, TypedDict

from harness.results.events import CellEvent

CheckedKind = Literal[
    "train", "predict", "single", "resident", "training", "evaluate", "latency", "latency one"
]
"""What a parity check looks at."""


class TensorCheck(TypedDict):
    """One tensor of a parity check."""

    tensor: str
    when: str
    error: float | None
    bound: float | None
    effect: float | None
    largest: NotRequired[float | None]
    largest_bound: NotRequired[float | None]
    largest_effect: NotRequired[float | None]
    share: float | None


class Curve(TypedDict):
    """A learning curve, column by column."""

    steps: NotRequired[list[float | None]]
    seconds: NotRequired[list[float | None]]
    losses: NotRequired[list[float | None]]


class Preparing(CellEvent):
    """A cell's first worker starts, to be built and checked."""


class CellStarted(CellEvent):
    """What a cell's first launch came to follows: it was built and checked, and is trained now."""

    log: str


class Opened(CellEvent):
    """The worker has imported its framework."""

    pid: NotRequired[int]
    import_seconds: float
    versions: dict[str, Any]
    python: NotRequired[str]
    numpy: NotRequired[str]
    allocator: NotRequired[dict[str, Any]]
    rss: NotRequired[int | None]


class Built(CellEvent):
    """The worker has built the model."""

    seconds: float
    settings: dict[str, Any]
    resident: NotRequired[bool]


class FirstStep(CellEvent):
    """The first training step was taken."""

    seconds: float
    loss: float | None


class Parity(CellEvent):
    """A parity check of the cell."""

    when: Literal["before timing", "replayed", "after timing"]
    verdict: Literal["equivalent", "not equivalent", "undecided"]
    sentence: str
    hint: NotRequired[str | None]
    kind: NotRequired[CheckedKind]
    launch: NotRequired[int]
    round: NotRequired[int | None]
    steps: NotRequired[int]
    seconds: NotRequired[float]
    worst_share: float | None
    worst_tensor: str
    undecided: list[str]
    checks: list[TensorCheck]


class Progress(CellEvent):
    """Training goes on."""

    step: int
    steps: NotRequired[int]
    loss: NotRequired[float | None]


class Trained(CellEvent):
    """Training ended."""

    steps: int
    seconds: float
    losses: NotRequired[list[float | None]]
    final_loss: NotRequired[float | None]
    curve: NotRequired[Curve]


class Evaluated(CellEvent):
    """The test set was scored."""

    accuracy: float
    precision: NotRequired[float]
    recall: NotRequired[float]
    f1: NotRequired[float]
    perplexity: NotRequired[float | None]
    per_class: NotRequired[list[dict[str, Any]]]
    confusion: NotRequired[list[list[Any]]]
    examples: int
    right: NotRequired[str]
    predicted: NotRequired[list[int]]
    seconds: NotRequired[float]


class Memory(CellEvent):
    """The worker's memory, after training."""

    import_rss: NotRequired[int | None]
    peak_rss: int | None
    pss: NotRequired[int | None]
    device_peak: NotRequired[int | None]
    device_used: NotRequired[int | None]


class Launched(CellEvent):
    """A later worker of the cell is up."""

    launch: int
    twin: bool
    import_seconds: NotRequired[float]
    build_seconds: NotRequired[float]
    first_step_seconds: NotRequired[float]


class Relaunched(CellEvent):
    """A worker of a resumed run's cell that has its score is up: its launches go on."""

    launch: int
    twin: bool
    import_seconds: NotRequired[float]
    build_seconds: NotRequired[float]
    first_step_seconds: NotRequired[float]


class AccuracyCurve(TypedDict):
    """The accuracies of a training on its way, column by column."""

    steps: list[float]
    seconds: list[float]
    accuracies: list[float]


class Retrained(CellEvent):
    """A worker trained again, with another seed: in a check once a launch, in a run on --seeds."""

    launch: int
    seed: int
    seconds: NotRequired[float]
    examples: NotRequired[int]
    accuracy: NotRequired[float]
    right: NotRequired[str]
    diverged: NotRequired[bool]
    curve: NotRequired[AccuracyCurve]


class Peaked(CellEvent):
    """A later worker's memory."""

    launch: int
    twin: bool
    import_rss: NotRequired[int | None]
    peak_rss: int | None
    pss: NotRequired[int | None]
    device_peak: NotRequired[int | None]


class Warmed(CellEvent):
    """A worker warmed up."""

    launch: int
    twin: NotRequired[bool]
    steady_from: int | None
    seconds: NotRequired[float]
    seconds_a_step: NotRequired[list[float]]


class Slice(CellEvent):
    """A timed slice; `twin-slice` has the same fields."""

    turn: NotRequired[int]
    launch: NotRequired[int]
    round: int
    kind: Literal["train", "predict", "resident", "single"]
    steps: NotRequired[int]
    samples: int
    seconds: float
    cpu_seconds: NotRequired[float | None]
    noise: NotRequired[list[str]]
    joules: NotRequired[float | None]
    card: NotRequired[dict[str, Any]]


class Clock(CellEvent):
    """The host's clock beside the device's."""

    steps: NotRequired[int]
    seconds: float
    device_seconds: float
    ratio: float


class Latency(CellEvent):
    """Single predictions were timed."""

    batch: int
    calls: NotRequired[int]
    p50: float
    p90: float
    p99: float
    seconds: NotRequired[float]


class Limits(CellEvent):
    """The best rates of the machine, as this framework reaches them."""

    rates: dict[str, float | None]
    seconds: NotRequired[float]


class CellFailed(CellEvent):
    """A cell failed."""

    phase: NotRequired[str | None]
    status: str
    reason: str
    signal: NotRequired[str | None]
    log_tail: NotRequired[list[str]]


class CellDone(CellEvent):
    """A cell is through."""
