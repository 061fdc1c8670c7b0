"""How small an error does the parity check see? Scales one gradient at a time, and bisects.

    python benchmarks/tightness.py [WORKLOAD]                                 default: cnn-digits

The answers that are judged are the reference's own in float32, as a framework's might be, with the
gradient of one tensor scaled by 1 + x, in the step that is looked into and in every update. Prints the
smallest x that is caught, for each tensor, and in units of the bound of that tensor's gradient.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from frameworks.answers import answers  # noqa: E402
from frameworks.contract import Options, Step  # noqa: E402
from frameworks.reference.adapter import Reference  # noqa: E402
from harness import defaults  # noqa: E402
from harness.parity import (  # noqa: E402
    ReferenceRun,
    Verdict,
    judge,
    run_reference,
)
from harness.paths import cache_folder  # noqa: E402
from harness.verdicts import NOT_EQUIVALENT  # noqa: E402
from workloads import datasets, init, spec  # noqa: E402
from workloads.batches import Batch, Batches  # noqa: E402
from workloads.spec import Workload  # noqa: E402

SMALLEST, LARGEST = 1e-7, 1.0
"""Between these x is looked for."""

HALVINGS = 10
"""Of the interval's logarithm: x is then known to 1.6%."""


class Scaled(Reference):
    """The reference in float32; the gradient of `tensor` is `factor` times what it should be."""

    tensor, factor = "", 1.0

    def step(self, batch: Batch) -> Step:
        step = super().step(batch)
        gradients = dict(step.gradients)
        if self.tensor:
            gradients[self.tensor] = gradients[self.tensor] * np.float32(self.factor)
        return dataclasses.replace(step, gradients=gradients)


class ParityCheck:
    """The check of one workload, as a run makes it. All that uses its interface is here."""

    def __init__(self, workload: Workload, steps: int) -> None:
        """Run the reference over the first batches. Raises DatasetError where there is no data."""
        cache = cache_folder() / "datasets"
        arrays = datasets.prepare(workload.dataset, cache, seed=workload.data.seed)
        inputs, labels = arrays.open("train_inputs"), arrays.open("train_labels")
        order = init.batch_order(workload, len(labels), steps)
        batches = Batches(inputs, labels, order, workload).checked(steps)
        self._run: ReferenceRun = run_reference(workload, init.start_weights(workload), batches)

    def _verdict(self, tensor: str, x: float) -> Verdict:
        start = self._run.start
        adapter = Scaled(self._run.workload, start, Options("numpy"), dtype=np.float32)
        adapter.tensor, adapter.factor = tensor, 1 + x
        with threadpool_limits(1):
            scaled = answers(adapter, start, self._run.batches)
        return judge(scaled, self._run, "float32")

    def catches(self, tensor: str, x: float) -> bool:
        """Say whether a gradient that is 1 + x times what it should be is called not equivalent."""
        return self._verdict(tensor, x).value == NOT_EQUIVALENT

    def bound(self, tensor: str) -> float:
        """Return the bound of the relative error of a tensor's gradient at step 1."""
        checks = self._verdict(tensor, 0.0).checks
        return next(
            check.bound / check.effect
            for check in checks
            if check.tensor == f"gradient of {tensor}"
        )

    def caught_by(self, tensor: str, x: float) -> str:
        """Return the tensor and the moment that the check names."""
        worst = self._verdict(tensor, x).worst
        return f"{worst.tensor} {worst.when}"


@dataclass(frozen=True)
class Tightness:
    """The smallest x that is caught for a tensor, in units of its gradient's bound too, and by what.

    Where LARGEST is missed, x is infinite.
    """

    tensor: str
    smallest: float
    in_bounds: float
    caught_by: str


def tightness(check: ParityCheck, tensor: str) -> Tightness:
    """Find the smallest x by bisection, x being caught where a smaller one is.

    Raises:
        ValueError: SMALLEST is caught already, so that the check calls rounding an error.
    """
    if check.catches(tensor, SMALLEST):
        raise ValueError(
            f"{tensor}: x = {SMALLEST:.0e} is caught by {check.caught_by(tensor, SMALLEST)}: the"
            " reference's float32 answers are not equivalent; look at the bounds first"
        )
    if not check.catches(tensor, LARGEST):
        return Tightness(tensor, math.inf, math.inf, "")
    missed, caught = math.log(SMALLEST), math.log(LARGEST)
    for _ in range(HALVINGS):
        middle = (missed + caught) / 2
        if check.catches(tensor, math.exp(middle)):
            caught = middle
        else:
            missed = middle
    smallest = math.exp(caught)
    reason = check.caught_by(tensor, smallest)
    return Tightness(tensor, smallest, smallest / check.bound(tensor), reason)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("workload", nargs="?", default="cnn-digits", help="a name, or a TOML file")
    workload = spec.load(parser.parse_args().workload)
    check = ParityCheck(workload, defaults.PARITY_STEPS)
    print("| tensor | smallest x caught | in units of its bound | caught by |")
    print("| --- | ---: | ---: | --- |")
    for tensor in workload.parameters:
        row = tightness(check, tensor)
        print(
            f"| {tensor} | {row.smallest:.1e} | {row.in_bounds:.2g} | {row.caught_by} |", flush=True
        )


if __name__ == "__main__":
    main()
