"""One process of seeds.py, inside a framework's environment: one model, the answers for many seeds."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))  # last: nothing of ours shadows a library

import numpy as np

import frameworks
from frameworks.contract import Options, answers
from workloads import spec
from workloads.batches import Batches


def main(job: dict[str, Any]) -> None:
    """Answer for every seed; the start weights and the order come from files."""
    folder, arrays = Path(job["folder"]), Path(job["arrays"])
    workload, adapter = spec.load(job["workload"]), None
    inputs, labels = (
        np.load(arrays / f"train_{x}.npy", mmap_mode="r") for x in ("inputs", "labels")
    )
    for seed in job["seeds"]:
        own = workload.with_data(seed=seed, batch=job["batch"])
        with np.load(folder / f"start-{seed}.npz") as loaded:
            start = dict(loaded)
        batches = Batches(inputs, labels, np.load(folder / f"order-{seed}.npy"), own)
        if adapter is None:
            options = Options(job["mode"], threads=1)
            adapter = frameworks.adapter(job["framework"])(own, start, options)
        found = answers(adapter, start, batches.take(0, job["steps"]))
        np.savez(folder / f"answers-{seed}.npz", **found)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
