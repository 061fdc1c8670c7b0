"""What a worker replies to each job, and whether a reply is one: a broken worker may say anything."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any, TypedDict, get_args, get_type_hints

from harness import disk
from harness.results import fit

STATUSES = ("failed", "unavailable", disk.FULL)
"""How a job may fail, in a worker's own words."""


class Opened(TypedDict):
    """The reply to `open`."""

    import_seconds: float
    versions: dict[str, Any]
    python: str
    numpy: str
    allocator: dict[str, Any]
    rss: int | None


class Built(TypedDict):
    """The reply to `build`."""

    seconds: float
    settings: dict[str, Any]
    resident: bool


class FirstStep(TypedDict):
    """The reply to `first_step`."""

    seconds: float
    loss: float | None


class Answered(TypedDict):
    """The reply to `answer`."""

    answers: str
    seconds: float


class Trained(TypedDict):
    """The reply to `train`."""

    seconds: float
    losses: str
    moments: list[list[float]]


class Evaluated(TypedDict):
    """The reply to `evaluate`."""

    seconds: float
    predictions: str
    cross_entropy: float | None


class Warmed(TypedDict):
    """The reply to `warm`."""

    steps: int
    seconds_a_step: list[float]


class Latency(TypedDict):
    """The reply to `latency`."""

    batch: int
    calls: int
    seconds: float
    p50: float
    p90: float
    p99: float


class Timed(TypedDict):
    """The reply to `slice`."""

    steps: int
    samples: int
    seconds: float
    cpu_seconds: float


class Replayed(TypedDict):
    """The reply to `replay`."""

    arrays: str


class Clock(TypedDict):
    """The reply to `clock`."""

    steps: int
    seconds: float
    device_seconds: float | None


class Memory(TypedDict):
    """The reply to `memory`."""

    peak_rss: int | None
    pss: int | None
    device_peak: int | None


class Profiled(TypedDict):
    """The reply to `profile`."""

    trace: str
    operators: list[dict[str, Any]]


class Limits(TypedDict):
    """The reply to `limits`."""

    rates: dict[str, float]


class Progress(TypedDict):
    """What `train` tells on its way."""

    step: int
    steps: int
    loss: float | None


class Failed(TypedDict):
    """Why a job was not done."""

    status: str
    reason: str


class Begun(TypedDict):
    """The reply to `begin_from`: nothing."""


_KINDS: dict[str, type] = {
    "open": Opened,
    "build": Built,
    "begin_from": Begun,
    "first_step": FirstStep,
    "answer": Answered,
    "train": Trained,
    "evaluate": Evaluated,
    "warm": Warmed,
    "latency": Latency,
    "slice": Timed,
    "replay": Replayed,
    "clock": Clock,
    "memory": Memory,
    "profile": Profiled,
    "limits": Limits,
}
"""The kind of each job's reply."""


def misfit(job: str, event: Mapping[str, Any]) -> str | None:
    """Say what of an event that a worker sent about a job is not as it has to be; None where all is."""
    match event.get("event"):
        case "done":
            return _misfit(event.get("result"), _KINDS[job])
        case "failed":
            if event.get("status") not in STATUSES:
                return f"a failure with the status {str(event.get('status'))[:40]!r}"
            return _misfit(event, Failed)
        case "progress":
            return _misfit(event, Progress) if job == "train" else None
    return f"an unexpected message: {str(event)[:80]}"


def _misfit(fields: Any, kind: type) -> str | None:
    if not isinstance(fields, Mapping):
        return f"a reply without fields: {str(fields)[:40]!r}"
    required = kind.__required_keys__  # type: ignore[attr-defined]
    for key, hint in get_type_hints(kind).items():
        value = fields.get(key)
        lacks = value is None or (isinstance(value, list) and None in value)
        if lacks and key in required and NoneType not in get_args(hint):
            return f"a reply without {key}"
    return fit.misfit(fields, kind)
