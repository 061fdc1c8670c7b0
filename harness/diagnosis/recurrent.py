"""What wrong recurrent layers look like: gates in another order or formula, ways that change places."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.function import Function
from frameworks.reference.recurrent import Gru, GruWay, Lstm, LstmWay, Recurrent, Way
from harness.diagnosis.suspects import Suspect, of_functions, of_layers
from harness.parity.reference import ReferenceRun
from workloads import layers

GATES: Mapping[type[layers.Recurrent], str] = {layers.Lstm: "ifgo", layers.Gru: "rzn"}
"""The gates in the spec's order."""


class HardGates(LstmWay):
    """Gates are clipped lines."""

    def gate(self, x: NDArray) -> NDArray:
        return np.clip(0.2 * x + 0.5, 0, 1)


class NoTanh(LstmWay):
    """h = o c."""

    def step(self, from_x: NDArray, from_h: NDArray, h: NDArray) -> NDArray:
        super().step(from_x, from_h, h)
        return self.seen[-1][3] * self.c


class ResetBefore(GruWay):
    """The reset gate comes before the product: n = tanh(x's + W (r h) + bias_h)."""

    def step(self, from_x: NDArray, from_h: NDArray, h: NDArray) -> NDArray:
        units = self.units
        rz = from_x[:, : 2 * units] + from_h[:, : 2 * units]
        r, z = np.split(self.gate(rz), 2, axis=1)
        q = (r * h) @ self.weight_h[2 * units :].T + self.parameters["bias_h"]
        n = self.tanh(from_x[:, 2 * units :] + q)
        self.seen.append((r, z, n, q, h))
        return (1 - z) * n + z * h


class UpdateTurned(GruWay):
    """h = z n + (1 - z) h."""

    def step(self, from_x: NDArray, from_h: NDArray, h: NDArray) -> NDArray:
        super().step(from_x, from_h, h)
        _, z, n, _, _ = self.seen[-1]
        return z * n + (1 - z) * h


class WithoutBiasOfH(GruWay):
    """The bias in the reset gate's reach is left out."""

    def bias_of_h(self) -> NDArray:
        return 0 * super().bias_of_h()


class BiasOutside(GruWay):
    """The bias of h is added outside the reset gate's reach."""

    def bias_of_h(self) -> NDArray:
        return 0 * super().bias_of_h()

    def step(self, from_x: NDArray, from_h: NDArray, h: NDArray) -> NDArray:
        bias = super().bias_of_h()
        return super().step(from_x + bias, from_h, h)


WAYS: tuple[tuple[str, type[layers.Recurrent], type[Recurrent], type[Way]], ...] = (
    ("lstm: gates are hard sigmoids", layers.Lstm, Lstm, HardGates),
    ("lstm: h is o c, without the tanh", layers.Lstm, Lstm, NoTanh),
    (
        "gru: the reset gate comes before h's product, and not after (reset_after)",
        *(layers.Gru, Gru, ResetBefore),
    ),
    ("gru: z and 1 - z have changed places", layers.Gru, Gru, UpdateTurned),
    ("gru: bias_h is left out", layers.Gru, Gru, WithoutBiasOfH),
    ("gru: bias_h lies outside the reset gate's reach", layers.Gru, Gru, BiasOutside),
)


def _joined(
    base: type[Recurrent], join: Callable[[list[NDArray], bool], NDArray]
) -> type[Function]:
    """Return a layer whose outputs are made of its ways'; the flag says that its one way is reverse."""

    class Joined(base):  # type: ignore[valid-type, misc]
        def forward(self, x: NDArray) -> NDArray:
            ways = np.split(super().forward(x), len(self.layer.suffixes), axis=2)
            return join(ways, self.layer.direction == layers.REVERSE)

    return Joined


def _back_first(ways: list[NDArray], reverse: bool) -> NDArray:
    return np.concatenate(ways[::-1], axis=2)


def _back_as_made(ways: list[NDArray], reverse: bool) -> NDArray:
    if reverse:
        return ways[0][:, ::-1]
    return np.concatenate([ways[0], *(way[:, ::-1] for way in ways[1:])], axis=2)


def _ends(ways: list[NDArray], reverse: bool) -> NDArray:
    """What a last step then finds of the way back is the step that it ends with: the first."""
    back = [np.broadcast_to(way[:, :1], way.shape) for way in ways[1:]]
    return np.concatenate([ways[0], *back], axis=2)


ENDS: Mapping[str, Callable[[list[NDArray], bool], NDArray]] = {
    "the way back comes first in the output": _back_first,
    "the way back leaves its outputs in the order in which it makes them": _back_as_made,
    "the way back's last step is the one that it ends with": _ends,
}


def suspects(run: ReferenceRun, single: bool) -> Iterator[Suspect]:
    """Yield other computations of the same step."""
    for words, kind, function, way in WAYS:
        variant = type("Other", (function,), {"way": way})
        yield from of_functions(run, words, kind, variant, single)
    for kind, function in {layers.Lstm: Lstm, layers.Gru: Gru}.items():
        for words, join in ENDS.items():
            joined = _joined(function, join)
            yield from of_functions(run, f"{kind.kind}: {words}", kind, joined, single)
        yield from of_layers(
            run, f"{kind.kind} goes through the steps the other way", partial(_turned, kind), single
        )
        if not single and any(type(place.layer) is kind for place in run.workload.leaves):
            yield from _of_weights(run, kind)


def _of_weights(run: ReferenceRun, kind: type[layers.Recurrent]) -> Iterator[Suspect]:
    yield from _of_orders(run, kind, GATES[kind])
    if kind is layers.Lstm:
        words = "lstm: 1 is added to the bias of the forget gate"
        yield Suspect(words, _changed(run, layers.Lstm, _with_forget_bias))
    if any(getattr(p.layer, "direction", "") == layers.BIDIRECTIONAL for p in run.workload.leaves):
        start = {name: run.start[_of_other_way(name, run.start)] for name in run.start}
        words = f"{kind.kind}: the two ways have each other's weights"
        yield Suspect(words, replace(run, start=start))


def _turned(kind: type[layers.Recurrent], layer: layers.Layer) -> layers.Layer:
    """Return a layer of the kind that has one way with the other in its stead."""
    if not isinstance(layer, kind) or layer.direction == layers.BIDIRECTIONAL:
        return layer
    forward = layer.direction == layers.FORWARD
    return replace(layer, direction=layers.REVERSE if forward else layers.FORWARD)


def _of_orders(run: ReferenceRun, kind: type[layers.Recurrent], gates: str) -> Iterator[Suspect]:
    for order in [*permutations(range(len(gates)))][1:]:
        names = ", ".join(gates[place] for place in order)
        yield Suspect(
            f"{kind.kind}: the gates come in the order {names}",
            _changed(run, kind, partial(_ordered, order)),
        )


def _of_other_way(name: str, names: Mapping[str, NDArray]) -> str:
    if name.endswith("_reverse"):
        return name.removesuffix("_reverse")
    return f"{name}_reverse" if f"{name}_reverse" in names else name


def _changed(
    run: ReferenceRun, kind: type[layers.Layer], change: Callable[[str, NDArray], NDArray]
) -> ReferenceRun:
    """Return the run with the parameters of one kind of layer changed, each by its short name."""
    start = dict(run.start)
    for place in run.workload.leaves:
        if isinstance(place.layer, kind):
            for short in place.layer.parameters(place.input):
                name = f"{place.name}.{short}"
                start[name] = change(short, start[name])
    return replace(run, start=start)


def _ordered(order: Sequence[int], short: str, weight: NDArray) -> NDArray:
    if short.startswith("bias_h"):  # of one gate
        return weight
    gates = np.split(weight, len(order))
    # Where the implementation reads a gate, it finds another: that of the spec's order.
    return np.concatenate([gates[place] for place in np.argsort(order)])


def _with_forget_bias(short: str, weight: NDArray) -> NDArray:
    if not short.startswith("bias"):
        return weight
    return weight + np.repeat(np.array([0, 1, 0, 0], weight.dtype), len(weight) // 4)
