"""Asks a framework for its arithmetic, inside its environment.

    python -P check_precisions.py flags <framework>
    python -P check_precisions.py answers <framework> <mode> <folder> <workload>...

The answers to a workload's <workload>.npz in the folder go to <workload>-found.npz there.

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
from frameworks.answers import answers
from frameworks.contract import PRECISIONS, Options, Unavailable
from workloads import spec
from workloads.batches import Batch


def _flags(framework: str) -> dict[str, Any]:
    """Return the framework's own flags, by the precision that was applied before."""
    flags = importlib.import_module(f"frameworks.{framework}.flags")
    return {name: flags.precision(name) for name in (*PRECISIONS, "float32")}  # and back


def _answers(framework: str, mode: str, folder: str, *names: str) -> dict[str, Any]:
    """Answer the parity check in bfloat16; return what is told, by workload."""
    return {name: _answered(framework, mode, Path(folder), name) for name in names}


def _answered(framework: str, mode: str, folder: Path, name: str) -> dict[str, str]:
    """Return the precision in force, and what TF32 is told on a CPU."""
    workload = spec.load(name)
    with np.load(folder / f"{name}.npz") as file:
        arrays = dict(file)
    start = {one: arrays[one] for one in (*workload.parameters, *workload.state)}
    batches = [Batch(x, y) for x, y in zip(arrays["inputs"], arrays["labels"], strict=True)]
    kind, told = frameworks.adapter(framework), {}
    for precision in ("tf32", "bfloat16"):
        try:
            adapter = kind(workload, start, Options(mode, precision=precision))
        except Unavailable as error:
            told[precision] = str(error)
        else:
            told[precision] = adapter.settings()["precision"]
            np.savez(folder / f"{name}-found.npz", **answers(adapter, start, batches))
            told["predicted"] = str(adapter.predict([batches[0].inputs]).dtype)
    return told


if __name__ == "__main__":
    job, *arguments = sys.argv[1:]
    print(json.dumps({"flags": _flags, "answers": _answers}[job](*arguments)))
