"""Planted faults of tokens, positions, attention and labels a step, for the net of transformer.toml."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from frameworks.contract import Weights
from tests.frameworks.mutants import Mutant
from workloads.batches import Batch
from workloads.layers import SINUSOIDAL, Attention, Layer, Positions, Residual
from workloads.spec import Workload

WORKLOAD = Path(__file__).with_name("transformer.toml")


class OtherAttention(Mutant):
    """A fault that another attention has by right: `change` of every one."""

    def change(self, layer: Attention) -> Attention:
        raise NotImplementedError

    def spec(self, workload: Workload) -> Workload:
        return replace(workload, layers=self._changed(workload.layers))

    def _changed(self, layers: Sequence[Layer]) -> tuple[Layer, ...]:
        changed: list[Layer] = []
        for layer in layers:
            if isinstance(layer, Residual):
                layer = replace(layer, body=self._changed(layer.body))
            changed.append(self.change(layer) if isinstance(layer, Attention) else layer)
        return tuple(changed)


class NotCausal(OtherAttention):
    """attention sees what comes"""

    def change(self, layer: Attention) -> Attention:
        return replace(layer, causal=False)


class OneHeadMore(OtherAttention):
    """attention has one head more"""

    def change(self, layer: Attention) -> Attention:
        return replace(layer, heads=3)


class Reordered(Mutant):
    """A fault that is the same as another order of a weight's entries, from the outside."""

    order: Callable[[str, np.ndarray], np.ndarray]
    """Returns a weight as the fault has it, and `back` as it is to be."""
    back: Callable[[str, np.ndarray], np.ndarray]

    def given(self, weights: Weights) -> Weights:
        return {name: np.ascontiguousarray(self.order(name, w)) for name, w in weights.items()}

    def returned(self, weights: Weights) -> Weights:
        return {name: np.ascontiguousarray(self.back(name, w)) for name, w in weights.items()}


class PositionsShifted(Reordered):
    """positions are shifted by one step"""

    def order(self, name: str, weight: np.ndarray) -> np.ndarray:
        return np.roll(weight, 1, axis=0) if name.startswith("positions") else weight

    def back(self, name: str, weight: np.ndarray) -> np.ndarray:
        return np.roll(weight, -1, axis=0) if name.startswith("positions") else weight


class HeadsPermuted(Reordered):
    """heads are put side by side in another order"""

    def order(self, name: str, weight: np.ndarray) -> np.ndarray:
        return np.roll(weight, 4, axis=1) if name == "attention1.weight_o" else weight

    def back(self, name: str, weight: np.ndarray) -> np.ndarray:
        return np.roll(weight, -4, axis=1) if name == "attention1.weight_o" else weight


class PaddingTrained(Mutant):
    """the row of the padding token is trained"""

    def spec(self, workload: Workload) -> Workload:
        embedding, *rest = workload.layers
        return replace(workload, layers=(replace(embedding, padding=None), *rest))  # type: ignore[call-arg]


class SinusoidsLeftOut(Mutant):
    """sinusoidal positions are left out"""

    def spec(self, workload: Workload) -> Workload:
        rest = [layer for layer in workload.layers if layer != Positions(SINUSOIDAL)]
        return replace(workload, layers=tuple(rest))


class PaddingCounted(Mutant):
    """steps that are padding count in the loss"""

    def batch(self, batch: Batch) -> Batch:
        return batch._replace(labels=np.maximum(batch.labels, 0))


class MaskReused(Mutant):
    """attention's first mask of dropout serves for all batches"""

    first: tuple[np.ndarray, ...] | None = None

    def batches(self, batches: Sequence[Batch]) -> list[Batch]:
        self.first = self.first or batches[0].masks
        return [batch._replace(masks=self.first) for batch in batches]


TRANSFORMED = {
    cls.__doc__ or cls.__name__: cls
    for cls in (
        NotCausal,
        OneHeadMore,
        PositionsShifted,
        PaddingTrained,
        SinusoidsLeftOut,
        HeadsPermuted,
        PaddingCounted,
        MaskReused,
    )
}
"""Faults that every framework can have, by what they are."""


# Faults in a framework's own code, for the one whose eager mode shows its inside most openly.


class OwnAttention(Mutant):
    """The first attention by products of matrices, wrong in one way."""

    sees, axis = 1, 3

    def scale_of(self, q: Any) -> float:
        return float(q.shape[3] ** -0.5)

    def mend(self, inner: Any) -> None:
        import torch

        attention = inner._core._model.residual1.attention1

        def forward(x: Any) -> Any:
            q, k, v = (
                torch.nn.functional.linear(x, *(getattr(attention, n) for n in names))
                .unflatten(2, (2, -1))
                .transpose(1, 2)
                for names in (
                    ("weight_q", "bias_q"),
                    ("weight_k", "bias_k"),
                    ("weight_v", "bias_v"),
                )
            )
            scores = q @ k.transpose(2, 3) * self.scale_of(q)
            unseen = torch.ones(scores.shape[2:]).triu(self.sees) > 0
            y = scores.masked_fill(unseen, -1e9).softmax(self.axis) @ v
            y = y.transpose(1, 2).flatten(2)
            return torch.nn.functional.linear(y, attention.weight_o, attention.bias_o)

        attention.forward = forward


class CausalOffByOne(OwnAttention):
    """the causal mask is off by one: a step sees the next"""

    sees = 2


class ScaledByHeads(OwnAttention):
    """scores are scaled by the number of heads for the head's size"""

    def scale_of(self, q: Any) -> float:
        return float(q.shape[1] ** -0.5)


class SoftmaxOverQueries(OwnAttention):
    """the softmax is over the steps of q for those of k"""

    axis = 2


class RepeatedTokensDropped(Mutant):
    """of a token that comes several times one place has a gradient"""

    def mend(self, inner: Any) -> None:
        import torch

        class Last(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, weight: Any, x: Any) -> Any:
                ctx.save_for_backward(weight, x)
                return weight[x]

            @staticmethod
            def backward(ctx: Any, dy: Any) -> Any:
                weight, x = ctx.saved_tensors
                gradient = torch.zeros_like(weight)
                gradient[x.flatten()] = dy.flatten(0, 1)
                return gradient, None

        embedding = inner._core._model.embedding1
        embedding.forward = lambda x: Last.apply(embedding.weight, x.long())


class MeanOfSequences(Mutant):
    """the loss is the mean over each sequence, and then over those"""

    def mend(self, inner: Any) -> None:
        import torch

        def loss(logits: Any, labels: Any) -> Any:
            nll = torch.nn.functional.cross_entropy(
                logits.transpose(1, 2), labels, ignore_index=-1, reduction="none"
            )
            return (nll.sum(1) / (labels >= 0).sum(1)).mean()

        inner._core._loss = loss


NATIVE_TRANSFORMED = {
    cls.__doc__ or cls.__name__: cls
    for cls in (
        CausalOffByOne,
        ScaledByHeads,
        SoftmaxOverQueries,
        RepeatedTokensDropped,
        MeanOfSequences,
    )
}
