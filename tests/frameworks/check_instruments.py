"""Tries an adapter's kernels and its profiler, inside its framework's environment.

    python -P check_instruments.py kernels <framework> <mode>
    python -P check_instruments.py profile <framework> <mode> <folder>

Prints one line of JSON, the last.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

import frameworks
from frameworks.contract import Adapter, Options
from workloads import spec
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


if __name__ == "__main__":
    job, *arguments = sys.argv[1:]
    print(json.dumps({"kernels": _kernels}[job](*arguments)))
