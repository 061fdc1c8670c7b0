"""The arbiter: the spec's formulas in NumPy float64, plain and readable. Never ranked."""

from __future__ import annotations

import platform
from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray

from frameworks.contract import Adapter, Options, Step, Weights
from frameworks.reference.layers import FUNCTIONS
from frameworks.reference.losses import LOSSES
from workloads.batches import Batch
from workloads.spec import Workload


class Reference(Adapter):
    """Forward, backward and SGD in `dtype`, which is float64 but for studies of rounding."""

    def __init__(
        self,
        workload: Workload,
        weights: Weights,
        options: Options,
        dtype: DTypeLike = np.float64,
    ) -> None:
        self._dtype = np.dtype(dtype)
        self._threads = options.threads
        self._loss = LOSSES[workload.loss]
        self._optimiser = workload.optimiser
        self._weights = {name: w.astype(self._dtype) for name, w in weights.items()}
        self._velocity = {name: np.zeros_like(w) for name, w in self._weights.items()}
        self._layers = {}
        for place in workload.model:
            short_names = place.layer.parameters(place.input)
            own = {short: self._weights[f"{place.name}.{short}"] for short in short_names}
            self._layers[place.name] = FUNCTIONS[type(place.layer)](place.layer, own)

    @staticmethod
    def versions() -> dict[str, str]:
        return {"numpy": np.__version__, "python": platform.python_version()}

    def settings(self) -> dict[str, object]:
        return {"dtype": self._dtype.name, "threads": self._threads}

    def _forward(self, inputs: NDArray) -> NDArray:
        x = inputs.astype(self._dtype)
        for layer in self._layers.values():
            x = layer.forward(x)
        return x

    def step(self, batch: Batch) -> Step:
        inputs, labels = batch
        logits = self._forward(inputs)
        loss, gradient = self._loss(logits, labels)
        gradients = {}
        for name, layer in reversed(self._layers.items()):
            gradient = layer.backward(gradient)
            gradients.update({f"{name}.{short}": g for short, g in layer.gradients.items()})
        return Step(logits, loss, {name: gradients[name] for name in self._weights})

    def train(self, batches: Sequence[Batch]) -> NDArray[np.float32]:
        losses = []
        for batch in batches:
            step = self.step(batch)
            losses.append(step.loss)
            for name, weight in self._weights.items():
                velocity = self._velocity[name]
                velocity *= self._optimiser.momentum
                velocity += step.gradients[name]
                weight -= self._optimiser.lr * velocity
        return np.asarray(losses, np.float64)

    def predict(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.concatenate([self._forward(x) for x in inputs])

    def weights(self) -> Weights:
        return {name: w.copy() for name, w in self._weights.items()}
