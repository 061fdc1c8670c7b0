"""Runs in a framework's environment: has an honest adapter and its mutants answer the parity check.

python -P check_mutants.py FRAMEWORK MODE STEPS (WORKLOAD FOLDER)...

A workload's folder has its given.npz and faults.json; answers go there as 0.npz (honest), 1.npz, ...
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

import numpy as np

import frameworks
from frameworks.answers import answers
from frameworks.contract import Options
from tests.frameworks import formula_mutants, optimiser_mutants
from tests.frameworks.mutants import FAULTS, Mutant
from tests.frameworks.recurrent_mutants import NATIVE_RECURRENT, RECURRENT
from tests.frameworks.transformer_mutants import NATIVE_TRANSFORMED, TRANSFORMED
from tests.frameworks.window_mutants import NATIVE_WINDOWED, WINDOWED
from workloads import spec
from workloads.batches import Batch

ALL = FAULTS | TRANSFORMED | NATIVE_TRANSFORMED | RECURRENT | NATIVE_RECURRENT
ALL |= WINDOWED | NATIVE_WINDOWED | optimiser_mutants.FAULTS | formula_mutants.FAULTS


def answer(framework: str, mode: str, workload: str, steps: int, folder: Path) -> None:
    """Answer a workload's given.npz as the honest adapter does, and its faults.json as each says."""
    with np.load(folder / "given.npz") as arrays:
        data = dict(arrays)
    inputs, labels = data.pop("inputs"), data.pop("labels")
    masks = [data.pop(key) for key in sorted(data) if key.startswith("masks/")]
    sizes = data.pop("sizes")
    batches = [
        Batch(inputs[i][:n], labels[i][:n], tuple(layer[i][:n] for layer in masks))
        for i, n in enumerate(sizes[:steps])
    ]
    accumulate = spec.load(workload).optimiser.accumulate
    honest = frameworks.adapter(framework)
    for number, fault in enumerate(["", *json.loads((folder / "faults.json").read_text())]):
        kind = ALL[fault] if fault else Mutant
        mutant = kind(honest, spec.load(workload), data, Options(mode, threads=1))
        np.savez(folder / f"{number}.npz", **answers(mutant, data, batches, accumulate))


if __name__ == "__main__":
    name, mode, steps, *places = sys.argv[1:]
    for workload, folder in zip(places[::2], places[1::2], strict=True):
        answer(name, mode, workload, int(steps), Path(folder))
    print(json.dumps({"done": len(places) // 2}))
