"""The reference: the spec's formulas in NumPy float64, plain and readable. Never ranked."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray

from frameworks.contract import Adapter, Memory, Options, Step, Weights, unsupported
from frameworks.reference.arithmetic import EXACT, Arithmetic
from frameworks.reference.blocks import JOINS, Join, connect
from frameworks.reference.function import Function, Kinked
from frameworks.reference.layers import FUNCTIONS
from frameworks.reference.losses import LOSSES
from frameworks.reference.optimisers import UPDATES, Update
from workloads.batches import Batch
from workloads.layers import Layer
from workloads.optimisers import Optimiser
from workloads.spec import Placed, Workload


class Reference(Adapter):
    """Forward, backward and the optimiser in `dtype`, which is float64 but for studies of rounding.

    `arithmetic` is for such studies, too: see `frameworks.reference.arithmetic`. Other `functions`,
    `joins` of branches and `updates` than the formulas' are for studies of mistakes; a function may also
    be that of one layer, by its name.
    """

    def __init__(
        self,
        workload: Workload,
        weights: Weights,
        options: Options,
        dtype: DTypeLike = np.float64,
        arithmetic: Arithmetic = EXACT,
        functions: Mapping[type[Layer] | str, type[Function]] = FUNCTIONS,  # type: ignore[assignment]
        joins: Mapping[str, Join] = JOINS,
        updates: Mapping[type[Optimiser], type[Update]] = UPDATES,
    ) -> None:
        self._workload, self._arithmetic = workload, arithmetic
        self._dtype, self._threads = np.dtype(dtype), options.threads
        # The layers keep these arrays and the optimiser moves them in place.
        self._parameters = {k: np.empty(s, dtype) for k, s in workload.parameters.items()}
        self._state = {k: np.empty(s, dtype) for k, s in workload.state.items()}
        self._kinds, self._updates = functions, updates
        self._functions = {place.name: self._function(place) for place in workload.leaves}
        self._model = connect(workload.model, self._functions, arithmetic, joins)
        self.kinked = {k: f for k, f in self._functions.items() if isinstance(f, Kinked)}
        self.load(weights)

    def _function(self, place: Placed) -> Function:
        parameters = place.layer.parameters(place.input)
        state = place.layer.state(place.input)
        kind = self._kinds.get(place.name) or self._kinds.get(type(place.layer))
        function = kind or unsupported("reference", place.layer)
        return function(
            place.layer,
            {short: self._parameters[f"{place.name}.{short}"] for short in parameters},
            {short: self._state[f"{place.name}.{short}"] for short in state},
            self._arithmetic,
        )

    def layer(self, name: str) -> Function:
        """Return a layer by its name in the spec, with what its last forward saw."""
        return self._functions[name]

    @staticmethod
    def versions() -> dict[str, str]:
        return {"numpy": np.__version__, "python": platform.python_version()}

    def settings(self) -> dict[str, object]:
        return {"dtype": self._dtype.name, "threads": self._threads}

    def load(self, weights: Weights) -> None:
        for name, array in (self._parameters | self._state).items():
            array[...] = weights[name]
        optimiser = self._workload.optimiser
        update = self._updates.get(type(optimiser)) or unsupported("reference", optimiser)
        self._update = update(optimiser, self._parameters, self._arithmetic.float32)
        self._taken = 0  # steps since the start

    def averages(self) -> Weights:
        """Return the weights that predictions are by, where they are averages; else nothing."""
        return {k: a.copy() for k, a in self._update.slots.get("average", {}).items()}

    def memory(self) -> Memory:
        slots = self._update.slots.items()
        copies = {slot: {name: a.copy() for name, a in arrays.items()} for slot, arrays in slots}
        return Memory(self._taken, copies)

    def restore(self, memory: Memory) -> None:
        self._update.restore(memory)
        self._taken = memory.steps

    def forward(self, batch: Batch) -> NDArray:
        """Return the logits as in training, by the batch's masks."""
        for place, mask in zip(self._workload.masked, batch.masks, strict=True):
            self._functions[place.name].mask = mask
        return self._model.forward(batch.inputs.astype(self._dtype))

    def step(self, batch: Batch) -> Step:
        logits = self.forward(batch)
        loss, gradient = LOSSES[self._workload.loss](
            logits, batch.labels, self._workload.label_smoothing, self._arithmetic.float32
        )
        self._model.backward(self._arithmetic.result(gradient))
        gradients = {
            f"{name}.{short}": gradient
            for name, function in self._functions.items()
            for short, gradient in function.gradients.items()
        }
        return Step(logits, loss, {name: gradients[name] for name in self._parameters})

    def train(self, batches: Sequence[Batch]) -> NDArray[np.float32]:
        losses = []
        for batch in batches:
            step = self.step(batch)
            losses.append(step.loss)
            self.update(step.gradients)
        return np.asarray(losses, np.float64)

    def update(self, gradients: Mapping[str, NDArray]) -> None:
        """Move the weights by `gradients`, and the state by what the last `step` saw."""
        (update,) = self._workload.optimiser.updates(self._taken, 1)
        (rate,) = [None] if update is None else self._workload.rates(update, 1)
        self._update.take(gradients, rate)
        for function in self._functions.values():
            function.settle()
        self._taken += 1

    def predict(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        averages = self.averages()
        trained = {name: self._parameters[name].copy() for name in averages}
        self._put(averages)
        logits = np.concatenate([self._model.infer(x.astype(self._dtype)) for x in inputs])
        self._put(trained)
        return logits

    def _put(self, parameters: Mapping[str, NDArray]) -> None:
        """Set parameters, in place."""
        for name, array in parameters.items():
            self._parameters[name][...] = array

    def weights(self) -> Weights:
        return {name: array.copy() for name, array in (self._parameters | self._state).items()}
