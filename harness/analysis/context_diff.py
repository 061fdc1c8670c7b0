"""What is not the same around the figures of two runs: machine, options, versions, settings, verdicts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.results import store, tables

PASSING = ("load", "memory_available", "mhz", "swap_used", "memory_pressure", "throttled")
"""What a machine's description has of a moment only."""


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same; `where` are the cells or frameworks, none for the whole run.

    `kind` is "machine", "options", "samestep", "versions", "settings" or "cells" (status and parity).
    What a run does not record is None.
    """

    kind: str
    what: str
    before: Any
    after: Any
    where: tuple[str, ...] = ()


def differences(a: store.Record, b: store.Record) -> Iterator[Difference]:
    """Yield everything that differs, the whole run's first; of cells and frameworks that both have."""
    contexts = [_told(record) for record in (a, b)]
    for kind, before in contexts[0].items():
        after = contexts[1][kind]
        both = {where for where, _ in before} & {where for where, _ in after}
        groups: dict[tuple[str, str, str], tuple[Any, Any, list[str]]] = {}
        for where, what in {**before, **after}:
            x, y = before.get((where, what)), after.get((where, what))
            if x != y and where in both:
                groups.setdefault((what, repr(x), repr(y)), (x, y, []))[2].append(where)
        for (what, _, _), (x, y, places) in groups.items():
            yield Difference(kind, what, x, y, tuple(filter(None, places)))


def flat(value: Mapping[str, Any], stem: str = "") -> dict[str, Any]:
    """Return nested tables as one, with dotted keys."""
    table: dict[str, Any] = {}
    for key, item in value.items():
        name = f"{stem}{key}"
        table |= flat(item, f"{name}.") if isinstance(item, Mapping) else {name: item}
    return table


def _told(record: store.Record) -> dict[str, dict[tuple[str, str], Any]]:
    """What a run records of itself: by kind, then by where and what."""
    manifest = record.manifest
    machine = {k: v for k, v in (manifest.get("machine") or {}).items() if k not in PASSING}
    # A GPU's free memory and load are of the moment too.
    lasting = ("name", "memory_total", "driver", "cuda", "capability")
    gpus = [{k: gpu.get(k) for k in lasting} for gpu in machine.get("gpus") or () if gpu]
    parts = {
        "machine": machine | {"gpus": gpus},
        "options": manifest.get("options") or {},
        "samestep": {key: manifest.get(key) for key in ("samestep", "git_commit")},
    }
    return {
        **{kind: {("", k): v for k, v in flat(part).items()} for kind, part in parts.items()},
        "versions": dict(_versions(record)),
        "settings": dict(_settings(record)),
        "cells": dict(_cells(record)),
    }


def _versions(record: store.Record) -> Iterator[tuple[tuple[str, str], Any]]:
    seen: dict[str, dict[str, Any]] = defaultdict(dict)
    for event in record.every("framework-ready"):
        device = event.get("device", "cpu")
        versions = seen[str(event.get("framework"))]
        versions |= {f"lock on {device}": event.get("lock_sha256"), "origin": event.get("origin")}
    for event in record.every("opened"):
        versions = seen[tables.split(str(event.get("cell", "")))["framework"]]
        versions |= {**(event.get("versions") or {}), **flat(event.get("allocator") or {})}
        versions |= {key: event[key] for key in ("python", "numpy") if event.get(key)}
    for framework, versions in seen.items():
        yield from (((framework, key), value) for key, value in versions.items())


def _settings(record: store.Record) -> Iterator[tuple[tuple[str, str], Any]]:
    for event in record.every("built"):
        cell = str(event.get("cell", ""))
        yield from (
            ((cell, key), setting) for key, setting in flat(event.get("settings") or {}).items()
        )


def _cells(record: store.Record) -> Iterator[tuple[tuple[str, str], Any]]:
    for row in store.summary(record).to_dict("records"):
        yield from (((row["cell"], key), row[key]) for key in ("status", "parity"))
