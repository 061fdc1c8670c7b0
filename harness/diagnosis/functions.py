"""Layers by another formula than the spec's: functions of the reference with one mistake each.

Forward passes alone: that is what they are compared by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.activations import sigmoid
from frameworks.reference.arithmetic import Arithmetic
from frameworks.reference.blocks import RESIDUAL, Concat, Join, Part, Sum
from frameworks.reference.convolutions import Conv2d
from frameworks.reference.function import Function
from frameworks.reference.layers import Dropout
from frameworks.reference.norms import BatchNorm, GroupNorm, LayerNorm
from frameworks.reference.pools import AvgPool, MaxPool
from frameworks.reference.transformer import Attention, Embedding, Positions
from harness.diagnosis.attention import OTHER_ATTENTION
from harness.diagnosis.suspects import Suspect, of_functions
from harness.parity.reference import ReferenceRun
from workloads import layers
from workloads.layers.blocks import ADD, CONCAT
from workloads.layers.windows import SAME


def _masked(change: Callable[[NDArray, float], NDArray | None]) -> type[Attention]:
    """Return attention whose mask of dropout is made of the right one and the rate."""

    class Masked(Attention):
        def _forward(self, x: NDArray, mask: NDArray | None) -> NDArray:
            changed = None if mask is None else change(mask, self.layer.dropout)
            return super()._forward(x, changed)

    return Masked


def _dropping(change: Callable[[NDArray, float], NDArray | None]) -> type[Dropout]:
    class Dropping(Dropout):
        def forward(self, x: NDArray) -> NDArray:
            changed = change(self.mask, self.layer.rate)
            return x if changed is None else x * changed / (1 - self.layer.rate)

    return Dropping


class ScalesLate(Dropout):
    """What training does not scale up, inference scales down."""

    def infer(self, x: NDArray) -> NDArray:
        return x * (1 - self.layer.rate)


OTHER_MASKS: Mapping[str, Callable[[NDArray, float], NDArray | None]] = {
    "dropout is off in training": lambda mask, rate: None,
    "dropout does not scale up what it lets pass": lambda mask, rate: mask * (1 - rate),
    "dropout scales by 1 / rate, and not by 1 / (1 - rate)": (
        lambda mask, rate: mask * (1 - rate) / rate if rate else mask
    ),
    "dropout drops what it is to let pass": lambda mask, rate: 1.0 - mask,
}


class ZeroPadded(MaxPool):
    """Zeros beyond the edges, which win where all else is negative."""

    beyond = 0.0


class UpperLeft:
    """A layer whose odd element of padding is at the upper left: all else is the layer's."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)

    def windows(self, shape: layers.Shape) -> tuple[Any, ...]:
        windows = self._layer.windows(shape)
        if self._layer.padding != SAME:
            return tuple(windows)
        return tuple(replace(w, before=w.after, after=w.before) for w in windows)


def _upper_left(function: type[Function]) -> type[Function]:
    class Moved(function):  # type: ignore[valid-type, misc]
        def __init__(self, layer: Any, *arguments: Any) -> None:
            super().__init__(UpperLeft(layer), *arguments)

    return Moved


def _with_table(encoding: str, change: Callable[[NDArray], NDArray]) -> type[Positions]:
    """Return positions whose learned or fixed vectors, (steps, features), are changed."""

    class Changed(Positions):
        def table(self, x: NDArray) -> NDArray:
            table = super().table(x)
            return change(table) if self.layer.encoding == encoding else table

    return Changed


def _sines_first(table: NDArray) -> NDArray:
    return np.concatenate([table[:, ::2], table[:, 1::2]], axis=1)


def _cosines_first(table: NDArray) -> NDArray:
    return np.stack([table[:, 1::2], table[:, ::2]], axis=2).reshape(table.shape)


class FromOne(Positions):
    """Sinusoids count steps from 1."""

    def table(self, x: NDArray) -> NDArray:
        if self.layer.encoding == layers.LEARNED:
            return super().table(x)
        steps, features = x.shape[1:]
        return layers.sinusoids(steps + 1, features)[1:].astype(x.dtype)


OTHER_TABLES: Mapping[str, Callable[[NDArray], NDArray]] = {
    "positions are shifted by a step": lambda table: np.roll(table, 1, 0),
    "positions are shifted by a step, towards the start": lambda table: np.roll(table, -1, 0),
    "positions are left out": np.zeros_like,
}


class ScaledTokens(Embedding):
    """Tokens' vectors times the root of their features."""

    def forward(self, x: NDArray) -> NDArray:
        return super().forward(x) * np.sqrt(self.parameters["weight"].shape[1])


class ZeroToken(Embedding):
    """The padding token's vector is zero, whatever its row is."""

    def forward(self, x: NDArray) -> NDArray:
        y = super().forward(x)
        return y if self.layer.padding is None else y * (self.x != self.layer.padding)[..., None]


class QuickGelu(Function):
    """x sigmoid(1.702 x)."""

    def forward(self, x: NDArray) -> NDArray:
        return x * sigmoid(1.702 * x)


def _layer_norm(normal: Callable[[NDArray, float], NDArray]) -> type[LayerNorm]:
    """Return a layer norm by another formula, of x and epsilon."""

    class Otherwise(LayerNorm):
        def normalise(self, x: NDArray) -> NDArray:
            return (
                self.parameters["weight"] * normal(x, self.layer.epsilon) + self.parameters["bias"]
            )

    return Otherwise


def _centred(x: NDArray, axis: int = -1) -> NDArray:
    return x - x.mean(axis=axis, keepdims=True)


OTHER_LAYER_NORMS: Mapping[str, Callable[[NDArray, float], NDArray]] = {
    "layernorm takes the unbiased variance (n - 1, not n)": (
        lambda x, epsilon: _centred(x) / np.sqrt(x.var(-1, ddof=1, keepdims=True) + epsilon)
    ),
    "layernorm has its epsilon outside the root": (
        lambda x, epsilon: _centred(x) / (x.std(-1, keepdims=True) + epsilon)
    ),
    "layernorm is over the steps, and not over the features": (
        lambda x, epsilon: _centred(x, 1) / np.sqrt(x.var(1, keepdims=True) + epsilon)
    ),
    "layernorm does not take the mean off": (
        lambda x, epsilon: x / np.sqrt(np.square(x).mean(-1, keepdims=True) + epsilon)
    ),
}


class Unbiased(BatchNorm):
    """The batch's own variance is divided by n - 1."""

    def normalise(self, x: NDArray) -> NDArray:
        super().normalise(x)
        count = self.count
        deviation = np.sqrt(self.variance * count / (count - 1) + self.layer.epsilon)
        return self._scaled(self._normal(x, self.mean, deviation), self.mean, deviation)


class Stopped(BatchNorm):
    """No gradient goes through the batch's mean and variance."""

    def differentiate(self, dy: NDArray) -> NDArray:
        super().differentiate(dy)
        return dy * self._wide(self.parameters["weight"] / self.deviation)


class ByState(Stopped):
    """Training normalises by the state, as inference does; the state stays."""

    def normalise(self, x: NDArray) -> NDArray:
        super().normalise(x)
        self.mean, variance = self.state["mean"].copy(), self.state["variance"]
        self.deviation = np.sqrt(variance + self.layer.epsilon)
        self.h = self._normal(x, self.mean, self.deviation)
        return self._scaled(self.h, self.mean, self.deviation)

    def settle(self) -> None:
        pass


class Undropped(Dropout):
    """Training drops nothing, as inference."""

    def forward(self, x: NDArray) -> NDArray:
        return x

    def backward(self, dy: NDArray) -> NDArray:
        return dy


class VarianceStopped(BatchNorm):
    """No gradient goes through the batch's variance."""

    def differentiate(self, dy: NDArray) -> NDArray:
        super().differentiate(dy)
        centred = dy - self._wide(self.gradients["bias"] / self.count)
        return centred * self._wide(self.parameters["weight"] / self.deviation)


class Interleaved(GroupNorm):
    """Channels take turns in going to a group."""

    def normalise(self, x: NDArray) -> NDArray:
        order = np.arange(x.shape[1]).reshape(-1, self.layer.groups).T.ravel()
        in_order = self.parameters
        self.parameters = {name: array[order] for name, array in in_order.items()}
        y = super().normalise(x[:, order])
        self.parameters = in_order
        return y[:, np.argsort(order)]


OTHER_FUNCTIONS: tuple[tuple[str, type[layers.Layer], type[Function]], ...] = (
    *((words, layers.Attention, function) for words, function in OTHER_ATTENTION.items()),
    (
        "max pooling is padded by zeros: what is beyond the edges is never the largest",
        *(layers.MaxPool, ZeroPadded),
    ),
    *(
        ('"same" has its odd element at the upper left, not at the lower right', kind, moved)
        for kind, moved in {
            layers.Conv2d: _upper_left(Conv2d),
            layers.MaxPool: _upper_left(MaxPool),
            layers.AvgPool: _upper_left(AvgPool),
        }.items()
    ),
    (
        "sinusoidal positions have all sines before all cosines: they are to take turns",
        *(layers.Positions, _with_table(layers.SINUSOIDAL, _sines_first)),
    ),
    (
        "sinusoidal positions have each cosine before its sine",
        *(layers.Positions, _with_table(layers.SINUSOIDAL, _cosines_first)),
    ),
    ("sinusoidal positions count steps from 1, not from 0", layers.Positions, FromOne),
    *(
        (words, layers.Positions, _with_table(encoding, change))
        for words, change in OTHER_TABLES.items()
        for encoding in (layers.LEARNED, layers.SINUSOIDAL)
    ),
    ("embedding is scaled by the root of its features", layers.Embedding, ScaledTokens),
    ("embedding: the padding token's vector is zero", layers.Embedding, ZeroToken),
    ("gelu is x sigmoid(1.702 x)", layers.Gelu, QuickGelu),
    *(
        (words, layers.LayerNorm, _layer_norm(normal))
        for words, normal in OTHER_LAYER_NORMS.items()
    ),
    ("batch norm normalises by the unbiased variance (n - 1, not n)", layers.BatchNorm, Unbiased),
    ("groupnorm: channels take turns in the groups", layers.GroupNorm, Interleaved),
    *((words, layers.Dropout, _dropping(change)) for words, change in OTHER_MASKS.items()),
    *((f"attention's {words}", layers.Attention, _masked(c)) for words, c in OTHER_MASKS.items()),
    ("dropout scales by 1 - rate in inference", layers.Dropout, ScalesLate),
)
"""Mistakes in words, the layer that may have them, and what it then computes."""


class BodyAlone(Sum):
    """The shortcut is left out."""

    def forward(self, x: NDArray) -> NDArray:
        return self._branches[0].forward(x)

    def infer(self, x: NDArray) -> NDArray:
        return self._branches[0].infer(x)


class BodyTwice(Sum):
    """The body counts twice."""

    def forward(self, x: NDArray) -> NDArray:
        return self._branches[0].forward(x) + super().forward(x)

    def infer(self, x: NDArray) -> NDArray:
        return self._branches[0].infer(x) + super().infer(x)


class Halved(Sum):
    """The mean stands for the sum."""

    def forward(self, x: NDArray) -> NDArray:
        return super().forward(x) / len(self._branches)

    def infer(self, x: NDArray) -> NDArray:
        return super().infer(x) / len(self._branches)


class Reversed(Concat):
    """The last branch comes first."""

    def __init__(self, branches: Sequence[Part], axis: int, arithmetic: Arithmetic) -> None:
        super().__init__(branches[::-1], axis, arithmetic)


class Rolled(Concat):
    """The last branch comes first, and the others behind it in order."""

    def __init__(self, branches: Sequence[Part], axis: int, arithmetic: Arithmetic) -> None:
        super().__init__([branches[-1], *branches[:-1]], axis, arithmetic)


OTHER_WAYS_BACK: tuple[tuple[str, type[layers.Layer], type[Function]], ...] = (
    ("no gradient goes through batch norm's mean and variance", layers.BatchNorm, Stopped),
    ("no gradient goes through batch norm's variance", layers.BatchNorm, VarianceStopped),
)
"""Mistakes of gradients alone, in words, the layer that may have them, and how it then goes back."""

OTHER_JOINS: tuple[tuple[str, str, Join], ...] = (
    ("residual: the shortcut is left out", RESIDUAL, BodyAlone),
    ("residual: the body counts twice", RESIDUAL, BodyTwice),
    ("residual: the mean of body and shortcut is taken, and not the sum", RESIDUAL, Halved),
    ("branches: their mean is taken, and not the sum", ADD, Halved),
    ("branches are put side by side in another order: from the last", CONCAT, Reversed),
    ("branches are put side by side in another order: the last comes first", CONCAT, Rolled),
)


def evaluating(run: ReferenceRun) -> Iterator[Suspect]:
    """Yield batch norm that trains as it predicts, by itself and with dropout that does."""
    if any(isinstance(place.layer, layers.BatchNorm) for place in run.workload.leaves):
        by_state: dict[type[layers.Layer] | str, type[Function]] = {layers.BatchNorm: ByState}
        words = "batch norm trains by its running statistics, as in inference"
        yield Suspect(words, run, functions=by_state)
        words = "training runs in evaluation mode: no dropout, batch norm by its running statistics"
        if run.workload.masked:
            yield Suspect(words, run, functions={**by_state, layers.Dropout: Undropped})


def suspects(run: ReferenceRun, single: bool) -> Iterator[Suspect]:
    """Yield what the workload's layers compute by other formulas."""
    for words, kind, function in OTHER_FUNCTIONS:
        yield from of_functions(run, words, kind, function, single)
    if single:
        return
    for words, kind_of_join, join in OTHER_JOINS:
        yield Suspect(words, run, joins={kind_of_join: join})
    yield from evaluating(run)
