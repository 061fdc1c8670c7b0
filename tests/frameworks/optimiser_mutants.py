"""Planted faults of optimisers and of short batches. Worker side: numpy only.

Each is planted in a workload of its own, for which the catalogue has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from frameworks.contract import Adapter, Options, Weights
from tests.frameworks.mutants import LearningRateOff, Mutant, with_optimiser
from workloads.batches import Batch
from workloads.spec import Workload

FOLDER = Path(__file__).with_name("workloads")
GATHERED, CLIPPED = str(FOLDER / "gathered.toml"), str(FOLDER / "clipped.toml")


class NesterovIgnored(Mutant):
    """plain momentum for Nesterov's"""

    spec = with_optimiser(nesterov=False)  # type: ignore[assignment]


class NesterovOfV(LearningRateOff):
    """Nesterov's step is (1 + momentum) v"""

    def spec(self, workload: Workload) -> Workload:
        rate = (1 + workload.optimiser.momentum) * workload.optimiser.lr  # type: ignore[attr-defined]
        return with_optimiser(nesterov=False, lr=rate)(self, workload)


class BiasesDecay(Mutant):
    """biases and norms decay, which are to be spared"""

    spec = with_optimiser(decay="all")  # type: ignore[assignment]


class KernelsDoNotDecay(Mutant):
    """kernels do not decay"""

    spec = with_optimiser(weight_decay=0.0)  # type: ignore[assignment]


class GradientsSummed(LearningRateOff):
    """gradients are summed over the batches of an update"""

    def spec(self, workload: Workload) -> Workload:
        optimiser = workload.optimiser
        changes = {"lr": optimiser.accumulate * optimiser.lr}
        changes["weight_decay"] = optimiser.weight_decay / optimiser.accumulate
        return with_optimiser(**changes)(self, workload)


class UpdateEachBatch(Mutant):
    """every batch ends with an update"""

    spec = with_optimiser(accumulate=1)  # type: ignore[assignment]


class PredictsByWeights(Mutant):
    """predictions are by the weights and not by their average"""

    def __init__(
        self, honest: type[Adapter], workload: Workload, weights: Weights, options: Options
    ) -> None:
        super().__init__(honest, workload, weights, options)
        self._second = honest(workload, weights, options)

    def predict(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        self._second.load(self.inner.weights())  # averages begin with them
        return self._second.predict(inputs)


class ShortFilledUp(Mutant):
    """a short batch is filled up with its own examples"""

    def batch(self, batch: Batch) -> Batch:
        def filled(array: Any) -> Any:
            return np.resize(array, (self.workload.data.batch, *array.shape[1:]))

        return Batch(filled(batch.inputs), filled(batch.labels), tuple(map(filled, batch.masks)))


class NotClipped(Mutant):
    """the gradient is not clipped"""

    spec = with_optimiser(clip_norm=0.0)  # type: ignore[assignment]


class ByValue(Mutant):
    """the gradient is clipped by value"""

    spec = with_optimiser(clip_norm=0.0, clip_value=0.2)  # type: ignore[assignment]


class NoRmsMomentum(Mutant):
    """RMSprop has no momentum"""

    spec = with_optimiser(momentum=0.0)  # type: ignore[assignment]


class SmallerEpsilon(Mutant):
    """RMSprop's epsilon is another framework's"""

    spec = with_optimiser(epsilon=1e-7)  # type: ignore[assignment]


BY_WORKLOAD: dict[str, list[type[Mutant]]] = {
    GATHERED: [
        NesterovIgnored,
        NesterovOfV,
        BiasesDecay,
        KernelsDoNotDecay,
        GradientsSummed,
        UpdateEachBatch,
        PredictsByWeights,
        ShortFilledUp,
    ],
    CLIPPED: [NotClipped, ByValue, NoRmsMomentum, SmallerEpsilon],
}
FAULTS = {str(cls.__doc__): cls for kinds in BY_WORKLOAD.values() for cls in kinds}
