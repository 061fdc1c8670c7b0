"""How long the HTML report of a very large run takes, what memory, and how big it gets.

    python benchmarks/report_size.py [--cells 500] [--samples 1000000] [--keep FOLDER]

Makes up a run, and reports it in a process of its own. The promise: under 10 s, under 1 GB, under 6 MB.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

SECONDS, BYTES, FILE_BYTES = 10.0, 1e9, 6e6
A_WORKLOAD, LAUNCHES, MODES = 10, 20, ("eager", "graph")


def main() -> None:
    """Make the run, report it, print what it took; exit 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=500)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="keep the run and its report in this folder")
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.report:
        _report(options.report)
        return
    with tempfile.TemporaryDirectory() as scratch:
        run = (options.keep or Path(scratch)) / "20261124T000000Z-b16b"
        run.mkdir(parents=True, exist_ok=True)
        make(run, options.cells, options.samples)
        command = [sys.executable, __file__, "--report", str(run)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    usage = json.loads(done.stdout)
    print(
        f"{options.cells} cells, {options.samples:,} samples: {usage['seconds']:.1f} s"
        f" ({usage['cpu']:.1f} s of a CPU), {usage['peak'] / 1e6:,.0f} MB of memory,"
        f" a file of {usage['bytes'] / 1e6:.2f} MB"
    )
    within = usage["seconds"] < SECONDS and usage["peak"] < BYTES and usage["bytes"] < FILE_BYTES
    sys.exit(int(not within))


def make(run: Path, cells: int, samples: int) -> None:
    """Write a run of so many cells, with so many samples in all."""
    names = [
        f"workload-{i // A_WORKLOAD}/framework-{i % A_WORKLOAD // len(MODES)}"
        f"/{MODES[i % len(MODES)]}/cpu/float32"
        for i in range(cells)
    ]
    workloads = sorted({name.split("/")[0] for name in names})
    spec = {"title": "made up", "data": {"dataset": "digits", "batch": 32, "epochs": 1}}
    manifest = {
        "schema": 2,
        "run": run.name,
        "started": "2026-11-24T00:00:00+00:00",
        "cells": names,
        "workloads": dict.fromkeys(workloads, spec),
        "options": {"data": "real", "threads": 2},
        "machine": {"cpu": "made up"},
        "command": ["python", "cli.py", "run"],
    }
    (run / "manifest.json").write_text(json.dumps(manifest))
    with (run / "events.jsonl").open("w") as journal:
        for name in workloads:
            event = {
                "event": "dataset",
                "workload": name,
                "name": "digits",
                "sha256": {"x": "ab"},
                "test": 1000,
                "images": _images(name),
            }
            journal.write(json.dumps({"time": 0, **event}) + "\n")
        for place, cell in enumerate(names):
            for event in _events(place):
                journal.write(json.dumps({"time": place, "cell": cell, **event}) + "\n")
        _slices(journal, names, samples)
        for cell in names:
            journal.write(json.dumps({"time": 9e4, "event": "cell-done", "cell": cell}) + "\n")
        journal.write(json.dumps({"time": 9e4, "event": "run-ended", "status": "ok"}) + "\n")


def _events(place: int) -> Iterator[dict[str, Any]]:
    """What a cell tells beside its slices."""
    rng = random.Random(place)  # noqa: S311
    yield {"event": "cell-started", "log": f"logs/{place}.log"}
    yield {"event": "opened", "import_seconds": 1.2, "versions": {"made-up": "1.0"}}
    yield {"event": "built", "seconds": 0.2, "settings": {"threads": 2, "layout": "NHWC"}}
    yield {"event": "first-step", "seconds": rng.random(), "loss": 2.3}
    checks = [
        {
            "tensor": f"gradient of conv{i}.weight",
            "when": "at step 1",
            "error": 1e-7 * (i + 1),
            "bound": 1e-5,
            "effect": 1.0,
            "largest": 1e-7,
            "largest_bound": 1e-5,
            "largest_effect": 1.0,
            "share": 0.01 * (i + 1),
        }
        for i in range(30)
    ]
    check: dict[str, Any] = {"event": "parity", "verdict": "equivalent", "sentence": "equivalent"}
    check |= {"checks": checks, "undecided": [], "worst_share": rng.random(), "worst_tensor": "x"}
    yield {**check, "when": "before timing"}
    for launch in range(1, LAUNCHES + 1):
        yield {**check, "when": "during timing", "kind": "train", "launch": launch, "round": 1}
    for step in range(10, 1000, 10):
        yield {"event": "progress", "step": step, "steps": 1000, "loss": 2.3 / step + rng.random()}
    losses = [2.3 - i / 20 for i in range(20)]
    yield {"event": "trained", "steps": 1000, "seconds": 3.0, "losses": losses, "final_loss": 0.01}
    confusion = [[rng.randrange(100) for _ in range(10)] for _ in range(10)]
    each = [{"precision": 0.9, "recall": 0.9, "f1": 0.9, "support": 100}] * 10
    yield {
        "event": "evaluated",
        "accuracy": 0.9,
        "precision": 0.9,
        "recall": 0.9,
        "f1": 0.9,
        "examples": 1000,
        "per_class": each,
        "confusion": confusion,
        "predicted": [rng.randrange(10) for _ in range(24)],
    }
    peak = rng.randrange(210_000_000, 700_000_000)
    yield {"event": "memory", "import_rss": 200_000_000, "peak_rss": peak}


def _images(seed: str) -> dict[str, Any]:
    """Images of noise, in colour, which packs worse than any real ones."""
    pixels = random.Random(seed).randbytes(24 * 3 * 32 * 32)  # noqa: S311
    return {
        "shape": [24, 3, 32, 32],
        "top": 255,
        "labels": [0] * 24,
        "data": base64.b64encode(pixels).decode(),
    }


def _slices(journal: Any, cells: list[str], samples: int) -> None:
    rounds = samples // (len(cells) * LAUNCHES * 2)
    rng = random.Random(0)  # noqa: S311
    for launch in range(1, LAUNCHES + 1):
        for number in range(1, rounds + 1):
            for place, cell in enumerate(cells):
                for kind in ("train", "predict"):
                    took = (1 + place % A_WORKLOAD) * 1e-3 * (1 + 0.02 * rng.random())
                    noise = ', "noise": ["busy: 0.4 s"]' if rng.random() < 0.01 else ""
                    journal.write(
                        f'{{"time": {number}, "event": "slice", "cell": "{cell}", "round": {number},'
                        f' "launch": {launch}, "kind": "{kind}", "steps": 10, "samples": 320,'
                        f' "seconds": {took}, "cpu_seconds": {2 * took}{noise}}}\n'
                    )


def _report(run: Path) -> None:
    """Report the run, and print what that took as JSON."""
    from harness.report.html import renderer
    from harness.results import store

    begin = time.perf_counter()
    path = renderer.write([store.read(run)], run / "report.html")
    seconds = time.perf_counter() - begin
    used = resource.getrusage(resource.RUSAGE_SELF)
    usage = {"seconds": seconds, "cpu": used.ru_utime, "peak": used.ru_maxrss * 1024}
    print(json.dumps(usage | {"bytes": path.stat().st_size}))


if __name__ == "__main__":
    main()
