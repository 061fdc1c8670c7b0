"""Tries an adapter's kernels and its profiler, inside its framework's environment.

    python -P check_instruments.py kernels <framework> <mode>
    python -P check_instruments.py profile <framework> <mode> <folder>

Prints one line of JSON, the last.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2]))

import numpy as np

import frameworks
from frameworks.contract import Adapter, Options
from workloads import spec
from workloads.batches import Batch
from workloads.init import start_weights

WORKLOAD = spec.load("cnn-digits")


def _adapter(framework: str, mode: str) -> Adapter:
    return frameworks.adapter(framework)(WORKLOAD, start_weights(WORKLOAD), Options(mode))


def _kernels(framework: str, mode: str) -> dict[str, float]:
    """Return each kernel's rate, of its second run."""
    rates = {}
    for name, kernel in _adapter(framework, mode).kernels().items():
        kernel.run()
        begin = time.perf_counter()
        kernel.run()
        rates[name] = kernel.amount / (time.perf_counter() - begin)
    return rates


def _profile(framework: str, mode: str, folder: str) -> dict[str, Any]:
    """Profile some steps between two trainings from the start; tell what came of all three."""
    start, random = start_weights(WORKLOAD), np.random.default_rng(0)
    shape = (5, WORKLOAD.data.batch)
    inputs = random.standard_normal((*shape, *WORKLOAD.input_shape), np.float32)
    labels = random.integers(0, WORKLOAD.classes, shape)
    batches = [Batch(*one) for one in zip(inputs, labels, strict=True)]
    adapter = _adapter(framework, mode)
    before = adapter.train(batches).tolist()
    profile = adapter.profile(batches, Path(folder))
    adapter.load(start)
    restored = all(np.array_equal(w, start[name]) for name, w in adapter.weights().items())
    after = adapter.train(batches).tolist()
    return {
        "trace": str(profile.trace),
        "operators": [asdict(one) for one in profile.operators],
        "restored": restored,
        "before": before,
        "after": after,
    }


if __name__ == "__main__":
    job, *arguments = sys.argv[1:]
    print(json.dumps({"kernels": _kernels, "profile": _profile}[job](*arguments)))
