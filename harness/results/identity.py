"""What runs must have in common to be held against each other: the computation, and the machine.

Both are read from a run's manifest and journal, of today's runs and of old ones.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

from harness.machine import devices
from harness.results import serialise, store


@dataclass(frozen=True)
class Computation:
    """What a run computed of one workload.

    `spec` and `data` are hashes, of the spec without its title and of the data's own hashes. With both
    the same, each training step is the same mathematics: enough to compare two runs, which names every
    other option that differs. `steps` and `deterministic` are the options: how long it trained instead of
    the spec's epochs, and by which algorithms. `kept_variables` are those of the user's environment that
    workers were given, as NAME=value, which may change anything. A ranking, a series and a baseline hold
    runs together without a word on their options, so they demand these too.
    """

    spec: str
    data: str
    steps: int | None
    deterministic: bool
    kept_variables: str

    @property
    def ground(self) -> str:
        """12 hex digits that stand for all of it."""
        return serialise.digest(astuple(self), 12)

    def same_mathematics(self, other: Computation) -> bool:
        """Whether a training step is the same."""
        return (self.spec, self.data) == (other.spec, other.data)


def computation(record: store.Record, workload: str) -> Computation:
    """Return what a run computed of a workload. Data that no hash vouches for is no other run's data."""
    options = record.manifest.get("options") or {}
    spec = (record.manifest.get("workloads") or {}).get(workload) or {}
    return Computation(
        spec=serialise.digest({**spec, "title": None}, 16),
        data=serialise.digest(data_hashes(record).get(workload) or str(record.folder), 16),
        steps=options.get("steps"),
        deterministic=bool(options.get("deterministic")),
        kept_variables=kept_variables(options.get("kept_variables") or {}),
    )


def kept_variables(variables: Mapping[str, str]) -> str:
    """Return variables with their values, in one order."""
    return ", ".join(f"{name}={value}" for name, value in sorted(variables.items()))


def data_hashes(record: store.Record) -> dict[str, Mapping[str, str] | None]:
    """Return the hashes of the data, by workload."""
    return {str(event.get("workload")): event.get("sha256") for event in record.every("dataset")}


def fingerprint(machine: Mapping[str, Any]) -> str:
    """Return 12 hex digits that machines share which are alike for timing; "" where that is unknown.

    `machine` is what `host.describe` returned, now or for an old run's manifest. A machine whose
    processor has no known name is like no other one, so nothing that has "" may be held equal.
    """
    if not machine.get("cpu"):
        return ""
    return serialise.digest(_traits(machine), 12)


def unlike(a: Mapping[str, Any], b: Mapping[str, Any], device: str | None = None) -> list[str]:
    """Say in words what makes two machines unlike, as "usable cores: 2, then 4"; nothing if alike.

    Without `device`, by what the fingerprint holds: a history and a baseline outlive updates, and what an
    update changes shows in them beside other frameworks or the calibration. With `device`, also by what
    else a speed there hangs on: two runs' absolute speeds have nothing beside them that would show it.
    """
    before, after = (
        _traits(machine) | (_updated(machine, device) if device else {}) for machine in (a, b)
    )
    differences = [
        f"{name}: {value or 'unknown'}, then {after[name] or 'unknown'}"
        for name, value in before.items()
        if value != after[name]
    ]
    nameless = not (a.get("cpu") and b.get("cpu"))
    return differences or (["processor: of no known name"] if nameless else [])


def _traits(machine: Mapping[str, Any]) -> dict[str, str]:
    """What decides on a machine's speed and stays, by its name in words; "" for what is unknown.

    A system's point releases are left out. Of memory a kernel takes a part for itself, another one after
    each update: it is rounded to the nearest power of two or three halves of one.
    """
    cores = machine.get("cores_usable")
    system = re.match(r"\D*\d*(\.\d+)?", str(machine.get("os") or ""))
    sizes = (machine.get(key) for key in ("memory_total", "memory_limit"))
    memory = min((size for size in sizes if size and size > 0), default=None)
    cards = sorted(str(gpu.get("name")) for gpu in machine.get("gpus") or () if gpu)
    return {
        "processor": str(machine.get("cpu") or ""),
        "usable cores": f"{cores:g}" if cores else "",
        "memory": f"about {_nominal(memory / 2**30):g} GiB" if memory else "",
        "GPUs": ", ".join(cards) or "none",
        "system": system[0].strip() if system else "",
        "architecture": str(machine.get("architecture") or ""),
    }


def _updated(machine: Mapping[str, Any], device: str) -> dict[str, str]:
    """What decides on a device's speed and changes with an update or a setting."""
    drivers = {str(gpu.get("driver")) for gpu in machine.get("gpus") or () if gpu}
    traits = {key: str(machine.get(key) or "") for key in ("kernel", "governor")}
    return traits | ({} if device == devices.CPU else {"driver": ", ".join(sorted(drivers))})


def _nominal(size: float) -> float:
    """Return the nearest, by ratio, of ..., 4, 6, 8, 12, 16, 24, ..."""
    power = 2.0 ** math.floor(math.log2(size))
    return float(min((power, 1.5 * power, 2 * power), key=lambda near: abs(math.log(near / size))))
