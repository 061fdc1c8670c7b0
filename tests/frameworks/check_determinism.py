"""Asks a framework for its deterministic algorithms, inside its environment.

    python -P check_determinism.py <framework> <mode> yes|no

Prints one line of JSON, the last.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2]))

import numpy as np

import frameworks
from frameworks.contract import Options, Unavailable
from workloads import spec
from workloads.batches import Batch
from workloads.init import start_weights

WORKLOAD = spec.load("cnn-digits")


def main(framework: str, mode: str, asked: str) -> dict[str, Any]:
    """Train twice from the start; return the flags, the setting, and whether the bits are the same."""
    start, random = start_weights(WORKLOAD), np.random.default_rng(0)
    inputs = random.standard_normal((3, 8, *WORKLOAD.input_shape), np.float32)
    labels = random.integers(0, WORKLOAD.classes, (3, 8))
    batches = [Batch(*one) for one in zip(inputs, labels, strict=True)]
    try:
        adapter = frameworks.adapter(framework)(
            WORKLOAD, start, Options(mode, deterministic=asked == "yes")
        )
    except Unavailable as error:
        return {"refused": str(error)}
    losses = []
    for _ in range(2):
        adapter.load(start)
        losses.append(adapter.train(batches).tolist())
    for kernel in adapter.kernels().values():
        (kernel.trial or kernel).run()  # none of them is refused
    flags = importlib.import_module(f"frameworks.{framework}.flags")
    return {
        "flags": flags.deterministic(),
        "setting": adapter.settings()["deterministic"],
        "same": losses[0] == losses[1],
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
