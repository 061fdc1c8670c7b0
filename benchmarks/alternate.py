"""One launch of overhead.py, inside a framework's environment: adapter and plain loop in turns.

    python -P benchmarks/alternate.py '{"framework": ..., "mode": ..., "workload": ..., ...}'

Prints one line of JSON: each round's ratio of throughputs, adapter / loop.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # at the end, so that nothing in the tree shadows a library

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

import frameworks  # noqa: E402
from frameworks.contract import Options  # noqa: E402
from workloads import spec  # noqa: E402
from workloads.batches import Batch, per_slice  # noqa: E402
from workloads.init import start_weights  # noqa: E402

Train = Callable[[Sequence[Batch]], Any]


def plain_loop(framework: str, workload: str, mode: str) -> Train:
    """Return the training loop of frameworks/<framework>/loops/<workload>.py for one of its modes.

    Its `build(mode)` returns a function that trains on batches in NumPy and returns each step's loss.
    """
    module = workload.replace("-", "_")
    return importlib.import_module(f"frameworks.{framework}.loops.{module}").build(mode)


def seconds(train: Train, batches: Sequence[Batch]) -> float:
    """Return how long one slice takes."""
    began = time.perf_counter()
    train(batches)
    return time.perf_counter() - began


def alternate(job: dict[str, Any]) -> dict[str, Any]:
    """Time slices in the order A B B A, so that a drift of the machine hits both alike."""
    workload = spec.load(job["workload"]).with_data(batch=job["batch"])
    random = np.random.default_rng(0)
    shape = (job["batch"], *workload.input_shape)

    def inputs() -> NDArray[np.float32]:
        if workload.tokens:
            return random.integers(0, workload.tokens, shape).astype(np.float32)
        return random.standard_normal(shape, np.float32)

    label_shape = (job["batch"], *workload.label_shape)
    few = [Batch(inputs(), random.integers(0, workload.classes, label_shape)) for _ in range(8)]
    # The adapter first: it sets threads and precision for the whole process, so for both.
    options = Options(job["mode"], threads=job["threads"])
    adapter = frameworks.adapter(job["framework"])(workload, start_weights(workload), options)
    ours, plain = adapter.train, plain_loop(job["framework"], job["workload"], job["mode"])
    for train in (ours, plain, ours, plain):  # compile, warm up
        train(few)
    steps = max(8, round(8 * job["slice_s"] / seconds(plain, few)))
    batches = per_slice(few, steps)
    ratios, plain_s = [], 0.0
    for _ in range(job["rounds"]):
        a, b, c, d = (seconds(train, batches) for train in (ours, plain, plain, ours))
        ratios.append((b + c) / (a + d))
        plain_s += b + c
    return {"ratios": ratios, "plain_steps_per_s": 2 * steps * job["rounds"] / plain_s}


if __name__ == "__main__":
    print(json.dumps(alternate(json.loads(sys.argv[1]))))
