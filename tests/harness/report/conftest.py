"""A believable run, written through the store as the conductor would write it."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.results.store import Run
from harness.verdicts import EQUIVALENT, NOT_EQUIVALENT, REPLAYED, UNDECIDED
from tests.parity_event import parity_event


@pytest.fixture
def fake() -> ModuleType:
    """The helpers of this file, which pytest does not let tests import."""
    return sys.modules[__name__]


SPEEDS = {
    "pytorch/eager": 68210.0,
    "pytorch/compile": 41050.5,
    "tensorflow/eager": 9120.0,
    "tensorflow/graph": 25530.0,
    "tensorflow/xla": 38020.0,
    "mxnet/imperative": 8890.0,
    "mxnet/hybrid": 16310.0,
    "jax/eager": 1210.0,
    "jax/jit": 22340.0,
    "reference/numpy": 305.4,
}
PACKAGES = {
    "pytorch": {"torch": "2.13.0+cpu", "numpy": "2.4.6"},
    "tensorflow": {"tensorflow": "2.21.0", "keras": "3.12.0", "numpy": "2.4.6"},
    "mxnet": {"mxnet": "1.9.1", "numpy": "1.23.5"},
    "jax": {"jax": "0.10.2", "jaxlib": "0.10.2", "numpy": "2.4.6"},
    "reference": {"numpy": "2.4.6"},
}
LOSS = 2.3059871


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


IMAGES = {
    "shape": [24, 1, 8, 8],
    "top": 16,
    "labels": [place % 10 for place in range(24)],
    "data": base64.b64encode(bytes(place % 17 for place in range(24 * 64))).decode(),
}


def begin(run: Run, images: Any = IMAGES, inputs: str = "ab") -> None:
    run.append("run-started")
    for name in PACKAGES:
        run.append(
            "framework-ready",
            framework=name,
            title=name.title(),
            reference=name == "reference",
            origin="lock",
            python="3.11.7",
            lock="9f" * 32,
            seconds=0.4,
        )
    run.append(
        "dataset",
        workload="cnn-digits",
        name="digits",
        source="embedded",
        train=1437,
        test=360,
        sha256={
            "train_inputs.npy": inputs * 32,
            "train_labels.npy": "cd" * 32,
            "test_inputs.npy": "ef" * 32,
            "test_labels.npy": "01" * 32,
        },
        classes=["zero", *map(str, range(1, 10))],
        images=images,
    )


def open_cell(run: Run, cell: str, loss: float | None = None, log: str = "") -> None:
    """All events of a cell up to its first step."""
    framework = cell.split("/")[1]
    run.append("cell-started", cell, log=log or f"logs/{cell.replace('/', '-')}.log")
    run.append(
        "opened",
        cell,
        import_seconds=1.93,
        versions=PACKAGES.get(framework, {}),
        python="3.11.7",
        pid=4711,
        rss=210 * 2**20,
    )
    run.append("built", cell, seconds=0.21, settings={"threads": 2, "layout": "NCHW"})
    nudge = 1 + 1e-7 * (len(cell) % 7)
    run.append("first-step", cell, seconds=0.034, loss=LOSS * nudge if loss is None else loss)


def train(run: Run, cell: str, accuracy: float = 0.9722) -> None:
    """Training to its end, the metrics and the memory."""
    run.append("progress", cell, step=100, steps=675, loss=0.41)
    run.append("trained", cell, steps=675, seconds=4.2, losses=[2.3, 1.9, 1.2], final_loss=0.0123)
    run.append(
        "evaluated",
        cell,
        accuracy=accuracy,
        precision=accuracy + 0.001,
        recall=accuracy - 0.001,
        f1=accuracy,
        per_class=[],
        confusion=[],
        examples=360,
        seconds=0.05,
    )
    run.append("memory", cell, peak_rss=498 * 2**20, import_rss=210 * 2**20, device_peak=None)


def time_slices(
    run: Run, cell: str, rounds: int = 5, speed: float | None = None, launches: int = 3
) -> None:
    """Timed slices that vary by a percent or so from round to round and from launch to launch."""
    speed = speed or SPEEDS.get("/".join(cell.split("/")[1:3]), 1000.0)
    for launch in range(1, launches + 1):
        for number in range(1, rounds + 1):
            for kind, factor in (("train", 1.0), ("predict", 3.1)):
                own = 1 + 0.01 * (number % 3) + 0.002 * ((launch * len(cell)) % 3)
                seconds = 3200 / (speed * factor) * own
                run.append(
                    "slice",
                    cell,
                    launch=launch,
                    round=number,
                    kind=kind,
                    steps=100,
                    samples=3200,
                    seconds=seconds,
                    cpu_seconds=seconds * 1.9,
                )


def fail(run: Run, cell: str, status: str = "crashed", **more: Any) -> None:
    told = {
        "phase": "train",
        "status": status,
        "signal": "SIGKILL",
        "reason": "killed by signal SIGKILL; the machine was short of memory",
        "log_tail": ["[06:31:02] operator.cc:120: | allocating 4 GiB |", "```", "Killed"],
    }
    run.append("cell-failed", cell, **(told | more))


def whole_cell(run: Run, cell: str, **more: Any) -> None:
    open_cell(run, cell)
    train(run, cell, **more)
    time_slices(run, cell)
    run.append("cell-done", cell)


def end(run: Run, status: str = "ok", exit_code: int = 0) -> None:
    run.append("run-ended", status=status, exit_code=exit_code)
    run.close()


def good_run(results: Path, *workloads: str, **options: Any) -> Path:
    """A run in which every cell is well."""
    cells = plan(*(workloads or ("cnn-digits",)))
    run = Run.create(results, manifest(cells, **options))
    begin(run, inputs="12" if options.get("data") == "synthetic" else "ab")
    for cell in cells:
        whole_cell(run, cell)
    end(run)
    return run.folder


def mixed_run(results: Path) -> Path:
    """A run with everything in it: failures, a missing framework, a skipped workload."""
    cells = plan("cnn-digits", "mlp-digits")
    run = Run.create(results, manifest([*cells, "cifar-cnn/pytorch/eager/cpu/float32"]))
    begin(run)
    run.append(
        "framework-unavailable",
        framework="mxnet",
        title="MXNet",
        reason="libquadmath.so.0 is missing: apt install libquadmath0",
    )
    run.append(
        "workload-skipped",
        workload="cifar-cnn",
        reason="cifar10 is absent: run `python cli.py data fetch cifar10`",
    )
    for cell in cells:
        if "/mxnet/" in cell:
            continue
        if "/compile/" in cell:
            fail(
                run,
                cell,
                "unavailable",
                phase="open",
                signal=None,
                log_tail=[],
                reason="mode compile needs the program g++, which is not on the path",
            )
        elif cell.startswith("mlp-digits/tensorflow/xla"):
            open_cell(run, cell)
            fail(run, cell)
        elif cell.startswith("mlp-digits/jax/eager"):
            open_cell(run, cell, loss=2.35)
            train(run, cell, accuracy=0.91)
            time_slices(run, cell)
            run.append("cell-done", cell)
        else:
            whole_cell(run, cell)
    end(run, "failed", 1)
    return run.folder


NAMES = [*range(10)]
HOSTILE = "</script><script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>{{7*7}}"


def score_classes(run: Run, cell: str, accuracy: float) -> None:
    """Metrics with a confusion matrix and scores a class."""
    right = round(36 * accuracy)
    confusion = [
        [right if a == b else 36 - right if b == (a + 1) % 10 else 0 for b in NAMES] for a in NAMES
    ]
    wrong = round(10 - 10 * accuracy)  # of the first images: each taken for the next class
    predicted = [(label + (place < wrong)) % 10 for place, label in enumerate(IMAGES["labels"])]
    each = {"precision": accuracy, "recall": accuracy, "f1": accuracy, "support": 36}
    run.append(
        "evaluated",
        cell,
        accuracy=accuracy,
        precision=accuracy,
        recall=accuracy,
        f1=accuracy,
        per_class=[each] * 10,
        confusion=confusion,
        examples=360,
        seconds=0.05,
        predicted=predicted,
    )


def rich_run(results: Path, odd: str = "") -> Path:
    """A run with all that a report can show: parity checks, one failed, curves, confusion, noise, logs.

    `odd` becomes a workload's, a framework's and a mode's name, a log's line and a version, where given.
    """
    cells = plan("cnn-digits", "mlp-digits")
    if odd:
        cells.append(f"{odd}/{odd.replace('/', '')}/{odd.replace('/', '')}/cpu/float32")
    run = Run.create(results, manifest(cells, parity_steps=20) | {"host": odd})
    begin(run)
    for place, cell in enumerate(cells):
        open_cell(run, cell, log=f"logs/{place}.log")
        log = run.folder / "logs" / f"{place}.log"
        log.write_text(f"first line\nthe last line of {cell} {odd}\n")
        wrong = cell.startswith("mlp-digits/mxnet/imperative")
        event = parity_event(NOT_EQUIVALENT if wrong else EQUIVALENT)
        run.append("parity", cell, **event)
        if wrong:
            fail(
                run,
                cell,
                NOT_EQUIVALENT,
                phase=None,
                signal=None,
                log_tail=[],
                reason=event["sentence"],
            )
            continue
        for step in range(25, 676, 25):
            run.append("progress", cell, step=step, steps=675, loss=2.3 / step)
        train(run, cell)
        score_classes(run, cell, 0.9722 if place % 3 else 0.9444)
        run.append(
            "latency",
            cell,
            batch=1,
            p50=1e-4 * (place + 1),
            p90=2e-4 * (place + 1),
            p99=4e-4 * (place + 1),
        )
        time_slices(run, cell)
        run.append(
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
        run.append("cell-done", cell)
    end(run, "failed", 1)
    return run.folder


UNSHOWN = "update of conv1.bias after step 20"


def undecided_run(results: Path, undecided: str = "pytorch/eager", **options: Any) -> Path:
    """A run in which all cells are equivalent, but for one, by far the fastest, which is undecided.

    It was undecided before timing, and a replayed slice was so for another tensor.
    """
    cells = plan("cnn-digits")
    run = Run.create(results, manifest(cells, parity_steps=20, **options))
    begin(run)
    for cell in cells:
        odd = f"/{undecided}/" in cell
        verdict, tensors = (UNDECIDED, [UNSHOWN]) if odd else (EQUIVALENT, [])
        open_cell(run, cell)
        run.append("parity", cell, **parity_event(verdict, undecided=tensors))
        train(run, cell, accuracy=0.99 if odd else 0.9722)
        time_slices(run, cell, speed=1e6 if odd else None)
        for kind in ("train", "predict"):
            run.append("parity", cell, **parity_event(when=REPLAYED, kind=kind, launch=2, round=1))
        if odd:
            replayed = {"when": REPLAYED, "kind": "train", "launch": 3, "round": 2}
            run.append("parity", cell, **parity_event(UNDECIDED, **replayed))
        run.append("cell-done", cell)
    end(run, UNDECIDED, 3)
    return run.folder


REFUSED = "the reference is not finite from step 6 on: lower the learning rate"


def refused_run(results: Path) -> Path:
    """A run of two workloads of which one was refused."""
    cells = plan("cnn-digits", "mlp-digits")
    run = Run.create(results, manifest(cells, parity_steps=20))
    begin(run)
    for cell in plan("cnn-digits"):
        whole_cell(run, cell)
    run.append("workload-refused", workload="mlp-digits", reason=REFUSED)
    end(run, "failed", 1)
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
    run = Run.create(results, whole)
    for name in dict.fromkeys(cell.split("/")[1] for cell in cells):
        version = f"2.1{3 if new else 2}.0{odd}" if name.endswith("pytorch") else f"1.0{odd}"
        run.append(
            "framework-ready",
            framework=name,
            title=name,
            reference=False,
            origin="lock",
            device="cpu",
            version=version,
            seconds=0.4,
        )
    run.append("dataset", workload="cnn-digits", name="digits", sha256={"inputs": "ab" * 32})
    for place, cell in enumerate(cells):
        open_cell(run, cell)
        if day == 9 and place == 2:
            fail(run, cell)
            continue
        train(run, cell)
        wobble = 1 + 0.01 * ((day * (place + 3)) % 5 - 2) / 2
        shared = (0.8 if day >= 6 else 1) * (1 + 0.02 * (day % 3)) * wobble
        own = 0.9 if new and place == 1 else 1
        time_slices(run, cell, rounds=2, speed=SPEEDS[TREND[place]] * shared * own)
        run.append("cell-done", cell)
    end(run, "failed" if day == 9 else "ok", int(day == 9))
    return run.folder


def dated_runs(results: Path, odd: str = "") -> Path:
    """Twenty-two of them, and a quick one."""
    for day in range(22):
        dated_run(results, day, odd)
    dated_run(results, 23, odd, quick=True)
    return results
