"""Planted faults of numbers, formulas and evaluation, for the net of workloads/pictures.toml.

Those of attention and of recurrent layers' own code are for the nets that have these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from frameworks.contract import Adapter, Options, Weights
from tests.frameworks.mutants import Mutant, with_optimiser
from tests.frameworks.recurrent_mutants import OtherForward
from tests.frameworks.transformer_mutants import OwnAttention
from workloads import layers
from workloads.batches import Batch
from workloads.init import dropouts
from workloads.layers import BatchNorm, GroupNorm, Layer, LayerNorm, LeakyRelu
from workloads.optimisers import Adam
from workloads.spec import Workload

WORKLOAD = Path(__file__).parent / "workloads" / "pictures.toml"


class OtherNumber(Mutant):
    """A fault that another value of a key has by right."""

    kind: type[Layer]
    key: str
    value: float

    def spec(self, workload: Workload) -> Workload:
        def change(layer: Layer) -> Layer:
            is_meant = isinstance(layer, self.kind)
            return replace(layer, **{self.key: self.value}) if is_meant else layer

        return replace(workload, layers=layers.changed(workload.layers, change))


class BatchNormEpsilon(OtherNumber):
    """batch norm's epsilon is another framework's: 1e-5"""

    kind, key, value = BatchNorm, "epsilon", 1e-5


class BatchNormMomentum(OtherNumber):
    """batch norm's momentum is another framework's: 0.1"""

    kind, key, value = BatchNorm, "momentum", 0.1


class GroupNormEpsilon(OtherNumber):
    """group norm's epsilon is another framework's: 1e-3"""

    kind, key, value = GroupNorm, "epsilon", 1e-3


class LayerNormEpsilon(OtherNumber):
    """layer norm's epsilon is another framework's: 1e-3"""

    kind, key, value = LayerNorm, "epsilon", 1e-3


class OtherSlope(OtherNumber):
    """a leaky ReLU's slope is another framework's: 0.3"""

    kind, key, value = LeakyRelu, "slope", 0.3


class Unsmoothed(Mutant):
    """label smoothing is left out"""

    def spec(self, workload: Workload) -> Workload:
        return replace(workload, label_smoothing=0.0)


class Coupled(Mutant):
    """weight decay is coupled"""

    def spec(self, workload: Workload) -> Workload:
        optimiser = workload.optimiser
        return replace(workload, optimiser=Adam(**vars(optimiser)))


class LargerEpsilon(Mutant):
    """Adam's epsilon is another framework's: 1e-7"""

    spec = with_optimiser(epsilon=1e-7)  # type: ignore[assignment]


class FasterAverage(Mutant):
    """the average of weights moves by another share"""

    spec = with_optimiser(average=0.99)  # type: ignore[assignment]


class ScheduleAhead(Mutant):
    """the schedule is an update ahead"""

    def spec(self, workload: Workload) -> Workload:
        class Sooner(type(workload.schedule)):  # type: ignore[misc]
            def factor(self, step: int) -> float:
                return float(super().factor(step + 1))

        keys = {key.name: getattr(workload.schedule, key.name) for key in fields(Sooner)}
        return replace(workload, schedule=Sooner(**keys))


class MemoryLost(Mutant):
    """each call of train begins without the optimiser's memory"""

    def train(self, batches: Sequence[Batch]) -> np.ndarray:
        self.inner.load(self.inner.weights())
        return super().train(batches)


class ShortLeftOut(Mutant):
    """short batches make no step"""

    def train(self, batches: Sequence[Batch]) -> np.ndarray:
        size = self.workload.data.batch
        losses = [
            self.inner.train([batch])[0]
            if len(batch.labels) == size
            else self.inner.step(batch).loss
            for batch in batches
        ]
        return np.asarray(losses, np.float32)


class DropoutInEvaluation(Mutant):
    """dropout is on in evaluation"""

    random = np.random.default_rng(1)

    def predict(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        random, logits = self.random, []
        for x in inputs:
            shapes = dropouts(self.workload, len(x))
            masks = tuple((random.random(s) >= rate).astype(np.uint8) for rate, s in shapes)
            logits.append(self.inner.step(Batch(x, np.zeros(len(x), np.int64), masks)).logits)
        return np.concatenate(logits)


class OtherInEvaluation(Mutant):
    """A fault of predictions, which a second adapter makes."""

    def __init__(
        self, honest: type[Adapter], workload: Workload, weights: Weights, options: Options
    ) -> None:
        super().__init__(honest, workload, weights, options)
        self._second, self._start = honest(self.predicted(workload), weights, options), weights

    def predicted(self, workload: Workload) -> Workload:
        return workload

    def predict(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        memory = self.inner.memory()
        self._second.load(self.weights_of(self.inner.weights()))
        self._second.restore(memory)
        return self._second.predict(inputs)

    def weights_of(self, weights: Weights) -> Weights:
        return weights


class EpsilonInEvaluation(OtherInEvaluation):
    """batch norm's epsilon is another in evaluation"""

    def predicted(self, workload: Workload) -> Workload:
        return replace(
            workload,
            layers=tuple(
                replace(layer, epsilon=1e-2) if isinstance(layer, BatchNorm) else layer
                for layer in workload.layers
            ),
        )


class StateOfStart(OtherInEvaluation):
    """predictions take batch norm's state of the start"""

    def weights_of(self, weights: Weights) -> Weights:
        return {**weights, **{name: self._start[name] for name in self.workload.state}}


FORMULAS = {
    cls.__doc__ or cls.__name__: cls
    for cls in (
        BatchNormEpsilon,
        BatchNormMomentum,
        GroupNormEpsilon,
        LayerNormEpsilon,
        OtherSlope,
        Unsmoothed,
        Coupled,
        LargerEpsilon,
        FasterAverage,
        ScheduleAhead,
        MemoryLost,
        ShortLeftOut,
        DropoutInEvaluation,
        EpsilonInEvaluation,
        StateOfStart,
    )
}
"""Faults that every framework can have, by what they are."""


# Faults in a framework's own code, for the one whose eager mode shows its inside most openly.


class NotScaledUp(OtherForward):
    """dropout does not scale up what it lets pass"""

    layer = "dropout1"

    def forward(self, module: Any, honest: Callable[[Any], Any], x: Any) -> Any:
        return x * module.mask if module.training else x


class UnbiasedVariance(OtherForward):
    """layer norm takes the unbiased variance"""

    layer = "norm3"

    def forward(self, module: Any, honest: Callable[[Any], Any], x: Any) -> Any:
        deviation = (x.var(-1, keepdim=True) + module.eps).sqrt()
        return (x - x.mean(-1, keepdim=True)) / deviation * module.weight + module.bias


class GroupsTakeTurns(OtherForward):
    """group norm's channels take turns in the groups"""

    layer = "norm2"

    def forward(self, module: Any, honest: Callable[[Any], Any], x: Any) -> Any:
        groups = x.unflatten(1, (-1, module.num_groups))
        axes = (1, 3, 4)
        centred = groups - groups.mean(axes, keepdim=True)
        h = centred / (groups.var(axes, keepdim=True, unbiased=False) + module.eps).sqrt()
        return h.flatten(1, 2) * module.weight[:, None, None] + module.bias[:, None, None]


class QuickGelu(OtherForward):
    """gelu is x sigmoid(1.702 x)"""

    layer = "gelu1"

    def forward(self, module: Any, honest: Callable[[Any], Any], x: Any) -> Any:
        return x * (1.702 * x).sigmoid()


class GradientsInBfloat16(Mutant):
    """gradients are rounded to bfloat16"""

    def mend(self, inner: Any) -> None:
        for weight in inner._core._parameters.values():
            weight.register_hook(lambda gradient: gradient.bfloat16().float())


class NotScaled(OwnAttention):
    """attention's scores are not scaled"""

    def scale_of(self, q: Any) -> float:
        return 1.0


class ScaledByWidth(OwnAttention):
    """attention's scores are scaled by all features"""

    def scale_of(self, q: Any) -> float:
        return float((q.shape[1] * q.shape[3]) ** -0.5)


class DoesNotSeeItself(OwnAttention):
    """the causal mask is off by one: a step does not see itself"""

    sees = 0


class UpdateTurned(OtherForward):
    """GRU's z and 1 - z have changed places"""

    layer = "recurrent2"

    def forward(self, module: Any, honest: Callable[[Any], Any], x: Any) -> Any:
        import torch

        linear, units = torch.nn.functional.linear, module.units
        h, outputs = x.new_zeros(len(x), units), []
        for step in linear(x, module.weight_x, module.bias).unbind(1):
            of_h = linear(h, module.weight_h)
            r, z = (step[:, : 2 * units] + of_h[:, : 2 * units]).sigmoid().chunk(2, 1)
            n = (step[:, 2 * units :] + r * (of_h[:, 2 * units :] + module.bias_h)).tanh()
            h = z * n + (1 - z) * h
            outputs.append(h)
        return torch.stack(outputs, 1)


class BackFirst(OtherForward):
    """the way back comes first"""

    layer = "recurrent1"

    def forward(self, module: Any, honest: Callable[[Any], Any], x: Any) -> Any:
        import torch

        there, back = honest(x).chunk(2, 2)
        return torch.cat([back, there], 2)


NATIVE_FORMULAS = {
    cls.__doc__ or cls.__name__: cls
    for cls in (NotScaledUp, UnbiasedVariance, GroupsTakeTurns, QuickGelu, GradientsInBfloat16)
}
NATIVE_ATTENTION = {
    cls.__doc__ or cls.__name__: cls for cls in (NotScaled, ScaledByWidth, DoesNotSeeItself)
}
NATIVE_GATES = {cls.__doc__ or cls.__name__: cls for cls in (UpdateTurned, BackFirst)}
NATIVE = NATIVE_FORMULAS | NATIVE_ATTENTION | NATIVE_GATES
FAULTS = FORMULAS | NATIVE
