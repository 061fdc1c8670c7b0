"""Whole made-up runs, for reports to show."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.verdicts import EQUIVALENT, NOT_EQUIVALENT, REPLAYED, UNDECIDED
from tests.harness.report.made_up import SPEEDS, ReportRun
from tests.parity_event import parity_event


@pytest.fixture
def fake() -> ModuleType:
    """The helpers of this file, which pytest does not let tests import."""
    return sys.modules[__name__]


def spec(target: float = 0.95, dataset: str = "digits") -> dict[str, Any]:
    return {
        "title": "A small convolutional net",
        "loss": "cross-entropy",
        "target_accuracy": target,
        "data": {"dataset": dataset, "batch": 32, "epochs": 15},
        "optimiser": {"kind": "sgd", "lr": 0.05, "momentum": 0.9},
    }


def manifest(cells: Iterable[str], **options: Any) -> dict[str, Any]:
    workloads = dict.fromkeys(cell.split("/")[0] for cell in cells)
    return {
        "samestep": "0.1.0",
        "started": "2026-11-24T06:30:12.123456+00:00",
        "command": ["python", "cli.py", "run", "--framework", "all", "--out", "my results"],
        "git_commit": "3f1c9a7e55d0b1a2c3d4e5f60718293a4b5c6d7e",
        "machine": {
            "os": "Ubuntu 24.04.1 LTS",
            "kernel": "6.8.0-45-generic",
            "cpu": "AMD EPYC 9354 32-Core Processor",
            "cores_logical": 64,
            "cores_physical": 32,
            "cores_usable": 2,
            "memory_total": 270 * 2**30,
            "memory_limit": 8 * 2**30,
            "virtualised": "kvm",
            "load": [0.41, 0.5, 0.6],
            "gpus": [],
        },
        "options": {"data": "real", "threads": 2, "seed": 0, "quick": False, **options},
        "workloads": {name: spec() for name in workloads},
        "cells": list(cells),
        "datasets": {},
        "frameworks": {},
    }


def plan(*workloads: str) -> list[str]:
    return [
        f"{name}/{each}/cpu/{'float64' if each.startswith('reference') else 'float32'}"
        for name in workloads
        for each in SPEEDS
    ]


def good_run(results: Path, *workloads: str, **options: Any) -> Path:
    """A run in which every cell is well."""
    cells = plan(*(workloads or ("cnn-digits",)))
    run = ReportRun(results, manifest(cells, **options))
    run.begin(inputs="12" if options.get("data") == "synthetic" else "ab")
    for cell in cells:
        run.whole_cell(cell)
    run.end()
    return run.folder


def mixed_run(results: Path) -> Path:
    """A run with everything in it: failures, a missing framework, a skipped workload."""
    cells = plan("cnn-digits", "mlp-digits")
    run = ReportRun(results, manifest([*cells, "cifar-cnn/pytorch/eager/cpu/float32"]))
    run.begin()
    run(
        "framework-unavailable",
        framework="mxnet",
        title="MXNet",
        reason="libquadmath.so.0 is missing: apt install libquadmath0",
    )
    run(
        "workload-skipped",
        workload="cifar-cnn",
        reason="cifar10 is absent: run `python cli.py data fetch cifar10`",
    )
    for cell in cells:
        if "/mxnet/" in cell:
            continue
        if "/compile/" in cell:
            run.fail(
                cell,
                "unavailable",
                phase="open",
                signal=None,
                log_tail=[],
                reason="mode compile needs the program g++, which is not on the path",
            )
        elif cell.startswith("mlp-digits/tensorflow/xla"):
            run.open_cell(cell)
            run.fail(cell)
        elif cell.startswith("mlp-digits/jax/eager"):
            run.open_cell(cell, loss=2.35)
            run.train(cell, accuracy=0.91)
            run.time_slices(cell)
            run.done(cell)
        else:
            run.whole_cell(cell)
    run.end("failed", 1)
    return run.folder


HOSTILE = "</script><script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>{{7*7}}"


def rich_run(results: Path, odd: str = "") -> Path:
    """A run with all that a report can show: parity checks, one failed, curves, confusion, noise, logs.

    `odd` becomes a workload's, a framework's and a mode's name, a log's line and a version, where given.
    """
    cells = plan("cnn-digits", "mlp-digits")
    if odd:
        cells.append(f"{odd}/{odd.replace('/', '')}/{odd.replace('/', '')}/cpu/float32")
    run = ReportRun(results, manifest(cells, parity_steps=20) | {"host": odd})
    run.begin()
    for place, cell in enumerate(cells):
        run.open_cell(cell, log=f"logs/{place}.log")
        log = run.folder / "logs" / f"{place}.log"
        log.write_text(f"first line\nthe last line of {cell} {odd}\n")
        wrong = cell.startswith("mlp-digits/mxnet/imperative")
        event = parity_event(NOT_EQUIVALENT if wrong else EQUIVALENT)
        run("parity", cell, **event)
        if wrong:
            run.fail(
                cell,
                NOT_EQUIVALENT,
                phase=None,
                signal=None,
                log_tail=[],
                reason=event["sentence"],
            )
            continue
        for step in range(25, 676, 25):
            run("progress", cell, step=step, steps=675, loss=2.3 / step)
        run.train(cell)
        run.score_classes(cell, 0.9722 if place % 3 else 0.9444)
        run(
            "latency",
            cell,
            batch=1,
            p50=1e-4 * (place + 1),
            p90=2e-4 * (place + 1),
            p99=4e-4 * (place + 1),
        )
        run.time_slices(cell)
        run(
            "slice",
            cell,
            launch=3,
            round=6,
            kind="train",
            steps=100,
            samples=3200,
            seconds=1.0,
            cpu_seconds=1.0,
            noise=["load of others: 0.4"],
        )
        run.done(cell)
    run.end("failed", 1)
    return run.folder


UNSHOWN = "update of conv1.bias after step 20"


def undecided_run(results: Path, undecided: str = "pytorch/eager", **options: Any) -> Path:
    """A run in which all cells are equivalent, but for one, by far the fastest, which is undecided.

    It was undecided before timing, and a replayed slice was so for another tensor.
    """
    cells = plan("cnn-digits")
    run = ReportRun(results, manifest(cells, parity_steps=20, **options))
    run.begin()
    for cell in cells:
        odd = f"/{undecided}/" in cell
        verdict, tensors = (UNDECIDED, [UNSHOWN]) if odd else (EQUIVALENT, [])
        run.open_cell(cell)
        run("parity", cell, **parity_event(verdict, undecided=tensors))
        run.train(cell, accuracy=0.99 if odd else 0.9722)
        run.time_slices(cell, speed=1e6 if odd else None)
        for kind in ("train", "predict"):
            run("parity", cell, **parity_event(when=REPLAYED, kind=kind, launch=2, round=1))
        if odd:
            replayed = {"when": REPLAYED, "kind": "train", "launch": 3, "round": 2}
            run("parity", cell, **parity_event(UNDECIDED, **replayed))
        run.done(cell)
    run.end(UNDECIDED, 3)
    return run.folder


REFUSED = "the reference is not finite from step 6 on: lower the learning rate"


def refused_run(results: Path) -> Path:
    """A run of two workloads of which one was refused."""
    cells = plan("cnn-digits", "mlp-digits")
    run = ReportRun(results, manifest(cells, parity_steps=20))
    run.begin()
    for cell in plan("cnn-digits"):
        run.whole_cell(cell)
    run("workload-refused", workload="mlp-digits", reason=REFUSED)
    run.end("failed", 1)
    return run.folder


TREND = ("pytorch/eager", "pytorch/compile", "jax/jit", "mxnet/hybrid")


def dated_run(results: Path, day: int, odd: str = "", **more: Any) -> Path:
    """One of many runs: pytorch/compile is a tenth slower from the 13th day on, with a new version.

    All cells are slower from the 6th day on; the machine is another one from the 18th day on.
    """
    cells = [f"cnn-digits/{odd}{each}/cpu/float32" for each in TREND]
    whole = manifest(cells, parity_steps=20, **more)
    whole["started"] = f"2026-11-{day + 1:02}T06:30:12+00:00"
    if day >= 18:
        whole["machine"] |= {"cpu": f"Xeon {odd}"}
    new = day >= 13
    run = ReportRun(results, whole)
    for name in dict.fromkeys(cell.split("/")[1] for cell in cells):
        version = f"2.1{3 if new else 2}.0{odd}" if name.endswith("pytorch") else f"1.0{odd}"
        run(
            "framework-ready",
            framework=name,
            title=name,
            reference=False,
            origin="lock",
            device="cpu",
            version=version,
            seconds=0.4,
        )
    run("dataset", workload="cnn-digits", name="digits", sha256={"inputs": "ab" * 32})
    for place, cell in enumerate(cells):
        run.open_cell(cell)
        if day == 9 and place == 2:
            run.fail(cell)
            continue
        run.train(cell)
        wobble = 1 + 0.01 * ((day * (place + 3)) % 5 - 2) / 2
        shared = (0.8 if day >= 6 else 1) * (1 + 0.02 * (day % 3)) * wobble
        own = 0.9 if new and place == 1 else 1
        run.time_slices(cell, rounds=2, speed=SPEEDS[TREND[place]] * shared * own)
        run.done(cell)
    run.end("failed" if day == 9 else "ok", int(day == 9))
    return run.folder


def dated_runs(results: Path, odd: str = "") -> Path:
    """Twenty-two of them, and a quick one."""
    for day in range(22):
        dated_run(results, day, odd)
    dated_run(results, 23, odd, quick=True)
    return results
