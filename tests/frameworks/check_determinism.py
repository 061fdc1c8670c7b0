"""Asks a framework for its deterministic algorithms, inside its environment.

    python -P check_determinism.py <framework> <mode> yes|no

Prints one line of JSON, the last.
"""

from __future__ import annotations

import json
import os
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


def _pytorch() -> dict[str, Any]:
    import torch
    from torch._inductor import config

    return {
        "algorithms": torch.are_deterministic_algorithms_enabled(),
        "compiler": config.deterministic,
        "cudnn": torch.backends.cudnn.deterministic,
        "autotuning": torch.backends.cudnn.benchmark,
        "workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    }


def _tensorflow() -> dict[str, Any]:
    from tensorflow.python.framework.config import is_op_determinism_enabled

    return {"operators": is_op_determinism_enabled()}


def _jax() -> dict[str, Any]:
    """Return whether XLA itself, asked for its options, has the flag: it took the variable.

    They come as a protocol buffer; the flag is field 148 of xla.DebugOptions, a bool.
    """
    from jaxlib import _jax

    return {"operators": b"\xa0\x09\x01" in _jax.CompileOptions().SerializeAsString()}


def _mxnet() -> dict[str, Any]:
    names = ("MXNET_ENFORCE_DETERMINISM", "MXNET_CUDNN_AUTOTUNE_DEFAULT")
    return {name: os.environ.get(name) for name in names}


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
        kernel.run()  # none of them is refused
    flags = {"pytorch": _pytorch, "tensorflow": _tensorflow, "jax": _jax, "mxnet": _mxnet}
    return {
        "flags": flags[framework](),
        "setting": adapter.settings()["deterministic"],
        "same": losses[0] == losses[1],
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
