"""The arbiter: the spec's formulas in NumPy float64, plain and readable. Never ranked."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray

from frameworks.contract import Adapter, Memory, Options, Step, Weights
from frameworks.reference.blocks import connect
from frameworks.reference.function import Function
from frameworks.reference.layers import FUNCTIONS, Dropout
from frameworks.reference.losses import LOSSES
from frameworks.reference.optimisers import UPDATES
from frameworks.reference.rounding import EXACT, Rounding
from workloads.batches import Batch
from workloads.layers import Residual
from workloads.spec import Placed, Workload


class Reference(Adapter):
    """Forward, backward and the optimiser in `dtype`, which is float64 but for studies of rounding.

    `kinks` is for studies of ties: a number t for some layers, by name. The gradients of ReLU and
    of a maximum jump: at 0, and where two elements of a window are equal. Near there, rounding
    decides which side a framework takes, and one such decision moves the weights by far more than
    rounding itself does. With t, ReLU's gradient passes where x > t rms(x) instead of x > 0, and
    max pooling sends it to the first (t >= 0) or the last (t < 0) element that is within
    abs(t) rms(x) of the window's largest; the rms is over the whole batch. Outputs stay what they
    are, but for ReLU's units between t rms(x) and 0, which hand on x - t rms(x). Runs with +t and -t
    of the size of rounding show how far such decisions can move a trajectory.

    `rounding` is for studies of coarser arithmetic: what operands and results of products (dense
    layers and convolutions, forward and backward) are rounded to.
    """

    def __init__(
        self,
        workload: Workload,
        weights: Weights,
        options: Options,
        dtype: DTypeLike = np.float64,
        kinks: Mapping[str, float] | None = None,
        rounding: Rounding = EXACT,
    ) -> None:
        self._workload, self._rounding = workload, rounding
        self._dtype, self._kinks = np.dtype(dtype), kinks or {}
        self._threads = options.threads
        # The layers keep these arrays and the optimiser moves them in place.
        self._parameters = {k: np.empty(s, dtype) for k, s in workload.parameters.items()}
        self._state = {k: np.empty(s, dtype) for k, s in workload.state.items()}
        leaves = [p for p in workload.leaves if not isinstance(p.layer, Residual)]
        self._functions = {place.name: self._function(place) for place in leaves}
        self._model = connect(workload.model, self._functions)
        self.load(weights)

    def _function(self, place: Placed) -> Function:
        parameters = place.layer.parameters(place.input)
        state = place.layer.state(place.input)
        return FUNCTIONS[type(place.layer)](
            place.layer,
            {short: self._parameters[f"{place.name}.{short}"] for short in parameters},
            {short: self._state[f"{place.name}.{short}"] for short in state},
            self._kinks.get(place.name, 0.0),
            self._rounding,
        )

    @staticmethod
    def versions() -> dict[str, str]:
        return {"numpy": np.__version__, "python": platform.python_version()}

    def settings(self) -> dict[str, object]:
        return {"dtype": self._dtype.name, "threads": self._threads}

    def load(self, weights: Weights) -> None:
        for name, array in (self._parameters | self._state).items():
            array[...] = weights[name]
        self._update = UPDATES[type(self._workload.optimiser)](
            self._workload.optimiser, self._parameters
        )
        self._taken = 0  # steps since the start

    def memory(self) -> Memory:
        slots = self._update.slots.items()
        copies = {slot: {name: a.copy() for name, a in arrays.items()} for slot, arrays in slots}
        return Memory(self._taken, copies)

    def restore(self, memory: Memory) -> None:
        self._update.restore(memory)
        self._taken = memory.steps

    def step(self, batch: Batch) -> Step:
        dropouts = [f for f in self._functions.values() if isinstance(f, Dropout)]
        for dropout, mask in zip(dropouts, batch.masks, strict=True):
            dropout.mask = mask
        logits = self._model.forward(batch.inputs.astype(self._dtype))
        loss, gradient = LOSSES[self._workload.loss](
            logits, batch.labels, self._workload.label_smoothing
        )
        self._model.backward(gradient)
        gradients = {
            f"{name}.{short}": gradient
            for name, function in self._functions.items()
            for short, gradient in function.gradients.items()
        }
        return Step(logits, loss, {name: gradients[name] for name in self._parameters})

    def train(self, batches: Sequence[Batch]) -> NDArray[np.float32]:
        losses = []
        rates = self._workload.rates(self._taken, len(batches))
        for batch, rate in zip(batches, rates, strict=True):
            step = self.step(batch)
            losses.append(step.loss)
            self._update.move(step.gradients, rate)
            for function in self._functions.values():
                function.settle()
        self._taken += len(batches)
        return np.asarray(losses, np.float64)

    def predict(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.concatenate([self._model.infer(x.astype(self._dtype)) for x in inputs])

    def weights(self) -> Weights:
        return {name: array.copy() for name, array in (self._parameters | self._state).items()}
