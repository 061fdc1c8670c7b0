"""Planted faults: an adapter that is wrong in one way. Worker side: numpy only.

A fault is written once, around any adapter, where it can be told from outside: by what the adapter
is given and by what it hands back. Those that only a framework's own code can have are in NATIVE.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from frameworks.contract import Adapter, Memory, Options, Step, Weights
from workloads import layers
from workloads.batches import Batch
from workloads.init import start_weights
from workloads.spec import Workload


class Mutant:
    """An adapter with one fault: overrides of how it is built, fed and read."""

    def __init__(
        self, honest: type[Adapter], workload: Workload, weights: Weights, options: Options
    ) -> None:
        self.workload = workload
        self.inner = honest(self.spec(workload), self.given(weights), options)
        self.mend(self.inner)

    def spec(self, workload: Workload) -> Workload:
        return workload

    def given(self, weights: Weights) -> Weights:
        return weights

    def returned(self, weights: Weights) -> Weights:
        return weights

    def batch(self, batch: Batch) -> Batch:
        return batch

    def batches(self, batches: Sequence[Batch]) -> list[Batch]:
        return list(batches)

    def mend(self, inner: Any) -> None:
        """For native faults: change the adapter once it is built."""

    scale = 1.0

    def load(self, weights: Weights) -> None:
        self.inner.load(self.given(weights))

    def weights(self) -> Weights:
        return self.returned(self.inner.weights())

    def step(self, batch: Batch) -> Step:
        step = self.inner.step(self.batch(batch))
        gradients = {name: self.scale * g for name, g in self.returned(step.gradients).items()}
        return Step(step.logits, self.scale * step.loss, gradients)

    def train(self, batches: Sequence[Batch]) -> np.ndarray:
        fed = [self.batch(batch) for batch in self.batches(batches)]
        return self.scale * self.inner.train(fed)[: len(batches)]

    def predict(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        return self.inner.predict(inputs)

    def memory(self) -> Memory:
        return self.inner.memory()

    def restore(self, memory: Memory) -> None:
        self.inner.restore(memory)


def with_optimiser(**changes: Any) -> Callable[[Any, Workload], Workload]:
    def spec(self: Any, workload: Workload) -> Workload:
        optimiser = dataclasses.replace(workload.optimiser, **changes)
        return dataclasses.replace(workload, optimiser=optimiser)

    return spec


class LearningRateOff(Mutant):
    """the learning rate is off by 1%"""

    def spec(self, workload: Workload) -> Workload:
        return with_optimiser(lr=1.01 * workload.optimiser.lr)(self, workload)


class Dampened(Mutant):
    """momentum with dampening: v = m v + (1 - m) g"""

    def spec(self, workload: Workload) -> Workload:
        rate = workload.optimiser.lr * (1 - workload.optimiser.momentum)  # type: ignore[attr-defined]
        return with_optimiser(lr=rate)(self, workload)


class NoMomentum(Mutant):
    """momentum is left out"""

    spec = with_optimiser(momentum=0.0)  # type: ignore[assignment]


class Decayed(Mutant):
    """weight decay of 5e-4 sneaked in"""

    spec = with_optimiser(weight_decay=5e-4)  # type: ignore[assignment]


class Averaged(Mutant):
    """max pooling is replaced by averages"""

    def spec(self, workload: Workload) -> Workload:
        changed = tuple(
            layers.AvgPool(x.size, x.stride, x.padding, x.ceil)
            if isinstance(x, layers.MaxPool)
            else x
            for x in workload.layers
        )
        return dataclasses.replace(workload, layers=changed)


class Smoothed(Mutant):
    """label smoothing of 0.01 where there is none"""

    def spec(self, workload: Workload) -> Workload:
        return dataclasses.replace(workload, label_smoothing=0.01)


class Summed(LearningRateOff):
    """the loss is summed and not averaged"""

    def spec(self, workload: Workload) -> Workload:
        self.scale = float(workload.data.batch)
        return with_optimiser(lr=self.scale * workload.optimiser.lr)(self, workload)


class Scaled(Summed):
    """the loss is scaled by 1.001"""

    def spec(self, workload: Workload) -> Workload:
        self.scale = 1.001
        return with_optimiser(lr=self.scale * workload.optimiser.lr)(self, workload)


class NoBias(Mutant):
    """biases are dropped"""

    def given(self, weights: Weights) -> Weights:
        return {n: np.zeros_like(w) if n.endswith(".bias") else w for n, w in weights.items()}


class Transposed(Mutant):
    """kernels are transposed"""

    def given(self, weights: Weights) -> Weights:
        turned = {n: w.transpose(0, 1, 3, 2) if w.ndim == 4 else w for n, w in weights.items()}
        return {name: np.ascontiguousarray(w) for name, w in turned.items()}

    returned = given


class FlattenSwapped(Mutant):
    """flatten takes NHWC order"""

    def _columns(self) -> tuple[str, np.ndarray]:
        for place in self.workload.leaves:
            if isinstance(place.layer, layers.Flatten):
                shape = place.input
        name = next(n for n in self.workload.parameters if n.startswith("dense"))
        return name, np.arange(int(np.prod(shape))).reshape(shape).transpose(1, 2, 0).ravel()

    def given(self, weights: Weights) -> Weights:
        name, order = self._columns()
        turned = np.empty_like(weights[name])
        turned[:, order] = weights[name]
        return {**weights, name: turned}

    def returned(self, weights: Weights) -> Weights:
        name, order = self._columns()
        return {**weights, name: np.ascontiguousarray(weights[name][:, order])}


class NotCopied(Mutant):
    """one layer keeps weights of its own"""

    def given(self, weights: Weights) -> Weights:
        name = next(reversed([n for n in weights if n.endswith(".weight")]))
        other = start_weights(self.workload.with_data(seed=self.workload.data.seed + 1))
        return {**weights, name: other[name]}


class LabelsShuffled(Mutant):
    """labels are shuffled within the batch"""

    def batch(self, batch: Batch) -> Batch:
        return batch._replace(labels=np.roll(batch.labels, 1))


class Unnormalised(Mutant):
    """the normalisation is off by 1/255"""

    def batch(self, batch: Batch) -> Batch:
        data = self.workload.data
        off = np.float32(1 / 255 / data.std[0])
        return batch._replace(inputs=batch.inputs + off)


class Half(Mutant):
    """float16 where float32 is promised"""

    def batch(self, batch: Batch) -> Batch:
        return batch._replace(inputs=batch.inputs.astype(np.float16).astype(np.float32))

    def given(self, weights: Weights) -> Weights:
        return {name: w.astype(np.float16).astype(np.float32) for name, w in weights.items()}


class DropoutOn(Mutant):
    """dropout is left on"""

    def batch(self, batch: Batch) -> Batch:
        kept = np.random.default_rng(0).random(batch.inputs.shape) >= 0.1
        return batch._replace(inputs=(batch.inputs * kept / 0.9).astype(np.float32))


class StaleBatch(Mutant):
    """every step sees the batch before"""

    last: Batch | None = None

    def batches(self, batches: Sequence[Batch]) -> list[Batch]:
        fed = [self.last or batches[0], *batches[:-1]]
        self.last = batches[-1]
        return fed


class OffByOne(Mutant):
    """the order of batches is off by one"""

    def batches(self, batches: Sequence[Batch]) -> list[Batch]:
        return [*batches[1:], batches[0]]


class ExtraStep(Mutant):
    """one step more than was asked for"""

    def batches(self, batches: Sequence[Batch]) -> list[Batch]:
        return [*batches, batches[-1]]


class OneElementShort(Mutant):
    """the batch's last example is left out of the loss"""

    def batch(self, batch: Batch) -> Batch:
        inputs, labels = batch.inputs.copy(), batch.labels.copy()
        inputs[-1], labels[-1] = inputs[0], labels[0]
        return batch._replace(inputs=inputs, labels=labels)


COMMON = {
    cls.__doc__ or cls.__name__: cls
    for cls in (
        LearningRateOff,
        Dampened,
        NoMomentum,
        Decayed,
        Averaged,
        Smoothed,
        Summed,
        Scaled,
        NoBias,
        Transposed,
        FlattenSwapped,
        NotCopied,
        LabelsShuffled,
        Unnormalised,
        Half,
        DropoutOn,
        StaleBatch,
        OffByOne,
        ExtraStep,
        OneElementShort,
    )
}
"""Faults that every framework can have, by what they are."""


# Faults in a framework's own code, for the one whose eager mode shows its inside most openly.


class Frozen(Mutant):
    """one layer is frozen"""

    def mend(self, inner: Any) -> None:
        inner._core._model[0].weight.register_hook(lambda gradient: 0 * gradient)


class Clipped(Mutant):
    """the gradient is clipped"""

    def mend(self, inner: Any) -> None:
        import torch

        parameters = list(inner._core._model.parameters())
        torch.optim.Optimizer.register_step_pre_hook(
            inner._core._optimiser,
            lambda *_: torch.nn.utils.clip_grad_norm_(parameters, 0.1) and None,
        )


class Accumulated(Mutant):
    """the gradient is accumulated over two steps"""

    def mend(self, inner: Any) -> None:
        honest, count = inner._core._optimiser.zero_grad, [0]

        def sometimes(*_: Any, **__: Any) -> None:
            count[0] += 1
            if count[0] % 2:
                honest()

        inner._core._optimiser.zero_grad = sometimes


class Nesterov(Mutant):
    """Nesterov's momentum for the plain one"""

    def mend(self, inner: Any) -> None:
        inner._core._optimiser.param_groups[0]["nesterov"] = True


class SigmoidApproximated(Mutant):
    """the sigmoid is approximated"""

    def mend(self, inner: Any) -> None:
        import torch

        class Rough(torch.nn.Module):
            def forward(self, x: Any) -> Any:
                return 0.5 + 0.5 * torch.tanh(0.5 * x * (1 + 1e-3 * x * x))

        for name, module in list(inner._core._model.named_children()):
            if isinstance(module, torch.nn.Sigmoid):
                setattr(inner._core._model, name, Rough())


class Autocast(Mutant):
    """bfloat16 arithmetic where float32 is promised"""

    def mend(self, inner: Any) -> None:
        inner._core._model.register_forward_hook(lambda module, given, out: out.float())

    def step(self, batch: Batch) -> Step:
        import torch

        with torch.autocast("cpu", torch.bfloat16):
            return super().step(batch)

    def train(self, batches: Sequence[Batch]) -> np.ndarray:
        import torch

        with torch.autocast("cpu", torch.bfloat16):
            return super().train(batches)


NATIVE = {
    cls.__doc__ or cls.__name__: cls
    for cls in (Frozen, Clipped, Accumulated, Nesterov, SigmoidApproximated, Autocast)
}
FAULTS = {**COMMON, **NATIVE}
