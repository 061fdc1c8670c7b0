"""Runs in a framework's environment: has an honest adapter and its mutants answer the parity check.

python -P check_mutants.py FRAMEWORK MODE WORKLOAD STEPS GIVEN.npz FOLDER FAULT...
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
from tests.frameworks import optimiser_mutants
from tests.frameworks.mutants import FAULTS, Mutant
from tests.frameworks.recurrent_mutants import NATIVE_RECURRENT, RECURRENT
from tests.frameworks.transformer_mutants import NATIVE_TRANSFORMED, TRANSFORMED
from tests.frameworks.window_mutants import NATIVE_WINDOWED, WINDOWED
from workloads import spec
from workloads.batches import Batch


def main(framework: str, mode: str, workload: str, steps: int, given: Path, folder: Path) -> None:
    with np.load(given) as arrays:
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
    faults = FAULTS | TRANSFORMED | NATIVE_TRANSFORMED | RECURRENT | NATIVE_RECURRENT
    faults |= WINDOWED | NATIVE_WINDOWED | optimiser_mutants.FAULTS
    for number, fault in enumerate(["", *sys.argv[7:]]):
        kind = faults[fault] if fault else Mutant
        mutant = kind(honest, spec.load(workload), data, Options(mode, threads=1))
        np.savez(folder / f"{number}.npz", **answers(mutant, data, batches, accumulate))
    print(json.dumps({"done": len(sys.argv[7:]) + 1}))


if __name__ == "__main__":
    name, mode, workload, steps, given, folder = sys.argv[1:7]
    main(name, mode, workload, int(steps), Path(given), Path(folder))
