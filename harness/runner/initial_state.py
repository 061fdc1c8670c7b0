"""What a training begins with: start weights and batch order as files, the same for every framework."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from harness.runner.context import Task
from workloads import init


def write_start(task: Task, seed: int | None = None) -> dict[str, str]:
    """Write start weights and batch order as .npy files, once for everyone; return their sha256.

    They are of the workload's own seed, or of `seed`.
    """
    folder, workload = task.start_of(seed), task.seeded(seed)
    folder.mkdir()
    examples = len(task.arrays.open("train_labels"))
    arrays: dict[str, NDArray] = {**init.start_weights(workload)}
    arrays["order"] = init.batch_order(workload, examples, task.steps)
    hashes = {}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
        hashes[name] = hashlib.sha256(array.tobytes()).hexdigest()
    return hashes
