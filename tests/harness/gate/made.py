"""Made-up checks: runs whose cells are as fast, as large and as accurate as a test says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.gate.baseline import attachment
from harness.results import classification, store
from harness.verdicts import EQUIVALENT, NOT_EQUIVALENT, UNDECIDED
from tests.runs import MadeUpRun
from workloads import spec

WORKLOAD = spec.load("mlp-digits")
Table = dict[str, Any]
"""A baseline, as its file holds it."""

MACHINE = {"cpu": "A CPU", "cores_usable": 2, "memory_total": 8 * 2**30, "os": "Linux 1.0"}


def cell(framework: str, mode: str = "eager") -> str:
    return f"mlp-digits/{framework}/{mode}/cpu/float32"


HEAD, BASE, OTHER = cell("left"), cell("left@1.0"), cell("other")


def made(
    folder: Path,
    cells: Mapping[str, Mapping[str, Any]],
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
    baseline: Mapping[str, Any] | None = None,
    launches: int = 8,
    rounds: int = 4,
    noise: float = 0.005,
    seed: int = 0,
    machine: Mapping[str, Any] | None = None,
    threads: int = 2,
    speed: float = 1.0,
    threshold: float = 0.03,
    ended: bool = True,
    load: Sequence[int] = (),
) -> store.Record:
    """A check's run. `cells` says of each by what its figures are multiplied: train, predict, single,
    memory, first; how many of its 360 test examples are `wrong`; or that it
    `failed`, has a `wrong_step` (and is not equivalent), or is `undecided`.

    `speed` is the machine's; launches in `load` were disturbed, which halves the cells' speed alone.
    """
    draw = np.random.default_rng(seed)
    manifest: dict[str, Any] = {
        "machine": {**MACHINE, **(machine or {})},
        "options": {"threads": threads, "data": "real", "open_ended": True},
        "workloads": {"mlp-digits": WORKLOAD.to_dict()},
        "cells": list(cells),
    }
    told = {"threshold": threshold, "margin": 0.005}
    if baseline is not None:
        manifest["check"] = {
            "against": "the baseline old",
            "pairs": [(one, one) for one in baseline["cells"]],
            "stored": True,
            **told,
        }
    elif pairs is not None:
        manifest["check"] = {"against": "left@1.0", "pairs": pairs, "stored": False, **told}
    run = MadeUpRun(folder, manifest)
    if baseline is not None:
        for name, text in attachment(baseline).items():
            (run.folder / name).write_text(text)
    run.dataset("mlp-digits", "digits")
    for one, how in cells.items():
        _bring_up(run, one, how, draw, noise, speed)
    for launch in range(1, launches + 1):
        for one, how in cells.items():
            if not how.get("failed") and launch > 1:
                _launch(run, one, how, launch, draw, noise, speed)
        _rounds(run, cells, launch, rounds, draw, noise, speed, launch in load)
    for one, how in cells.items():
        if not (how.get("failed") or how.get("wrong_step")) and ended:
            run.done(one)
    if ended:
        run.end()
    return run.read()


def _noisy(value: float, draw: np.random.Generator, noise: float) -> float:
    return value * float(np.exp(draw.normal(0, noise)))


def _right(how: Mapping[str, Any], draw: np.random.Generator) -> dict[str, Any]:
    right = np.ones(360, dtype=bool)
    right[:7] = False
    right[draw.choice(353, how.get("wrong", 0), replace=False) + 7] = False
    return {"examples": 360, "accuracy": float(right.mean()), "right": classification.pack(right)}


def _bring_up(
    run: MadeUpRun, one: str, how: Mapping[str, Any], draw: Any, noise: float, speed: float
) -> None:
    if how.get("failed"):
        run.fail(one, phase="training")
        return
    if how.get("wrong_step"):
        run.parity(one, NOT_EQUIVALENT)
        run.fail(one, NOT_EQUIVALENT, reason="w differs", phase=None)
        return
    first = _noisy(0.1 * how.get("first", 1), draw, noise)
    run.first_step(one, first / speed)
    run.parity(one, UNDECIDED if how.get("undecided") else EQUIVALENT)
    run.trained(one, 10)
    run("evaluated", one, **_right(how, draw))
    peak = 2e8 + _noisy(1e8 * how.get("memory", 1), draw, noise / 5)
    run.memory(one, int(peak), int(2e8))


def _launch(
    run: MadeUpRun,
    one: str,
    how: Mapping[str, Any],
    launch: int,
    draw: Any,
    noise: float,
    speed: float,
) -> None:
    first = _noisy(0.1 * how.get("first", 1), draw, noise)
    run("launched", one, launch=launch, twin=False, first_step_seconds=first / speed)
    peak = 2e8 + _noisy(1e8 * how.get("memory", 1), draw, noise / 5)
    run("peaked", one, launch=launch, twin=False, import_rss=int(2e8), peak_rss=int(peak))
    run("retrained", one, launch=launch, seed=launch, **_right(how, draw))


def _rounds(
    run: MadeUpRun,
    cells: Mapping[str, Mapping[str, Any]],
    launch: int,
    rounds: int,
    draw: Any,
    noise: float,
    speed: float,
    loaded: bool,
) -> None:
    drawn = {one: _noisy(1.0, draw, noise) for one in cells}
    for number in range(1, rounds + 1):
        drift = _noisy(speed, draw, 0.1)
        run.calibrate(500 * drift, launch, number)
        for one, how in cells.items():
            if how.get("failed") or how.get("wrong_step"):
                continue
            for kind in ("train", "predict", "single"):
                rate = 1000 * drift * drawn[one] * how.get(kind, 1) * _noisy(1.0, draw, noise)
                rate *= 0.5 if loaded else 1
                run.slice(one, rate, launch, number, kind, "load of others: 1.0" if loaded else "")
    run("standing", workload="mlp-digits", launches=launch)
