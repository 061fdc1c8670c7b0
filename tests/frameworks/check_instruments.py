"""Tries an adapter's kernels, its profiler and its threads, inside its framework's environment.

    python -P check_instruments.py look <framework> <mode> <folder> (kernels|resident|profile)...
    python -P check_instruments.py events <framework> <mode>
    python -P check_instruments.py graphs <framework> <mode>
    python -P check_instruments.py cores <framework> <mode> <workload>...

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
from workloads.spec import Workload

WORKLOAD = spec.load("cnn-digits")


def _adapter(framework: str, mode: str, workload: Workload = WORKLOAD) -> Adapter:
    return frameworks.adapter(framework)(workload, start_weights(workload), Options(mode))


def _batches(workload: Workload) -> list[Batch]:
    random, shape = np.random.default_rng(0), (5, workload.data.batch)
    inputs = random.standard_normal((*shape, *workload.input_shape), np.float32)
    labels = random.integers(0, workload.classes, shape)
    return [Batch(*one) for one in zip(inputs, labels, strict=True)]


def _kernels(framework: str, mode: str) -> dict[str, float]:
    """Return each kernel's rate, of a few runs."""
    kernels = _adapter(framework, mode).kernels()
    return {name: kernel.rate(0.0) for name, kernel in kernels.items()}


def _look(framework: str, mode: str, folder: str, *jobs: str) -> dict[str, Any]:
    """Do several jobs in this one process; tell what came of each."""
    each = {
        "kernels": lambda: _kernels(framework, mode),
        "resident": lambda: _resident(framework, mode),
        "profile": lambda: _profile(framework, mode, folder),
    }
    return {job: each[job]() for job in jobs}


def _profile(framework: str, mode: str, folder: str) -> dict[str, Any]:
    """Profile some steps between two trainings from the start; tell what came of all three."""
    start, batches = start_weights(WORKLOAD), _batches(WORKLOAD)
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


def _resident(framework: str, mode: str) -> dict[str, Any]:
    """Train twice from the start: on batches in host memory, and on those put on the device."""
    adapter, start, batches = _adapter(framework, mode), start_weights(WORKLOAD), _batches(WORKLOAD)
    there = adapter.resident(batches)
    if there is None:
        return {"offered": False}
    host = adapter.train(batches).tolist()
    adapter.load(start)
    clock = adapter.device_seconds(lambda: None)
    return {
        "offered": True,
        "host": host,
        "there": adapter.train(there).tolist(),
        "clock": clock,
        "copied": any(isinstance(one.inputs, np.ndarray) for one in there),
    }


def _events(framework: str, mode: str) -> dict[str, Any]:
    """Time by device events that are fakes, around work that tells when it is done."""
    import torch

    told: list[str] = []

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            told.append(f"timing {enable_timing}")

        def record(self) -> None:
            told.append("record")

        def synchronize(self) -> None:
            told.append("synchronize")

        def elapsed_time(self, other: object) -> float:
            return 1500.0  # milliseconds

    adapter: Any = _adapter(framework, mode)
    adapter._device, torch.cuda.Event = torch.device("cuda", 0), Event
    seconds = adapter.device_seconds(lambda: told.append("work"))
    return {"seconds": seconds, "told": told}


def _graphs(framework: str, mode: str) -> dict[str, Any]:
    """Tell of each compiled graph which inputs it updates, and which of them may move.

    CUDA graphs are recorded only of a graph whose updated inputs keep their addresses.
    """
    from torch._inductor.output_code import CompiledFxGraph

    found, original = [], CompiledFxGraph.post_compile

    def spied(graph: Any, *rest: Any) -> None:
        updated, kept = set(graph.mutated_input_idxs), set(graph.fx_kwargs["static_input_idxs"])
        found.append(
            {
                "updated": len(updated),
                "move": len(updated - kept),
                "inference": graph.fx_kwargs["is_inference"],
            }
        )
        original(graph, *rest)

    setattr(CompiledFxGraph, "post_compile", spied)  # noqa: B010 (mypy)
    adapter, batches = _adapter(framework, mode), _batches(WORKLOAD)
    adapter.train(batches)
    adapter.predict([batch.inputs for batch in batches])
    return {"graphs": found, "parameters": len(WORKLOAD.parameters)}


def _cores(framework: str, mode: str, *workloads: str) -> dict[str, float]:
    """Return the most processors that a few slices of training kept busy, a workload."""
    found = {}
    for name in workloads:
        workload = spec.load(name)
        adapter, batches = _adapter(framework, mode, workload), _batches(workload)
        adapter.train(batches)
        found[name] = max(_busy(adapter, batches) for _ in range(3))
    return found


def _busy(adapter: Adapter, batches: list[Batch]) -> float:
    begin, begin_cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - begin < 0.7:
        adapter.train(batches * 4)
    return (time.process_time() - begin_cpu) / (time.perf_counter() - begin)


if __name__ == "__main__":
    job, *arguments = sys.argv[1:]
    jobs = {"look": _look, "cores": _cores, "events": _events, "graphs": _graphs}
    print(json.dumps(jobs[job](*arguments)))
