"""How layers are put together: one after the other, and side by side."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from frameworks.contract import unsupported
from frameworks.reference.arithmetic import EXACT, Arithmetic
from frameworks.reference.function import Function
from workloads import layers as spec
from workloads.layers.base import channel_axis
from workloads.layers.blocks import ADD, CONCAT
from workloads.spec import Placed


class Part(Protocol):
    """A layer or several, see `Function`."""

    def forward(self, x: NDArray) -> NDArray: ...

    def infer(self, x: NDArray) -> NDArray: ...

    def backward(self, dy: NDArray) -> NDArray: ...


class Chain:
    """Parts one after the other; none is x itself."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts

    def forward(self, x: NDArray) -> NDArray:
        for part in self._parts:
            x = part.forward(x)
        return x

    def infer(self, x: NDArray) -> NDArray:
        for part in self._parts:
            x = part.infer(x)
        return x

    def backward(self, dy: NDArray) -> NDArray:
        for part in reversed(self._parts):
            dy = part.backward(dy)
        return dy


class Sum:
    """y = the sum of all branches(x), so dx is the sum of what they send back; `axis` is of no use."""

    def __init__(
        self, branches: Sequence[Part], axis: int = 1, arithmetic: Arithmetic = EXACT
    ) -> None:
        self._branches, self._arithmetic = branches, arithmetic

    def forward(self, x: NDArray) -> NDArray:
        return total([branch.forward(x) for branch in self._branches], self._arithmetic)

    def infer(self, x: NDArray) -> NDArray:
        return total([branch.infer(x) for branch in self._branches], self._arithmetic)

    def backward(self, dy: NDArray) -> NDArray:
        return total([branch.backward(dy) for branch in self._branches], self._arithmetic)


class Concat:
    """The branches' outputs side by side along an `axis`; dx is the sum of what they send back."""

    def __init__(self, branches: Sequence[Part], axis: int, arithmetic: Arithmetic = EXACT) -> None:
        self._branches, self._axis, self._arithmetic = branches, axis, arithmetic

    def forward(self, x: NDArray) -> NDArray:
        ends = [branch.forward(x) for branch in self._branches]
        self._borders = np.cumsum([end.shape[self._axis] for end in ends])[:-1]
        return np.concatenate(ends, self._axis)

    def infer(self, x: NDArray) -> NDArray:
        return np.concatenate([branch.infer(x) for branch in self._branches], self._axis)

    def backward(self, dy: NDArray) -> NDArray:
        parts = np.split(dy, self._borders, self._axis)
        pairs = zip(self._branches, parts, strict=True)
        return total([branch.backward(part) for branch, part in pairs], self._arithmetic)


def total(arrays: Sequence[NDArray], arithmetic: Arithmetic) -> NDArray:
    """Return the sum of `arrays`, which an implementation may add up in any order."""
    y = functools.reduce(np.add, arrays)
    if len(arrays) == 2:
        return arithmetic.each(y)
    return arithmetic.each(y, functools.reduce(np.add, map(np.abs, arrays)), len(arrays) - 1)


Join = Callable[[Sequence[Part], int, Arithmetic], Part]
"""What makes a part of branches, given the axis of their channels, and the arithmetic."""

RESIDUAL = "residual"

JOINS: Mapping[str, Join] = {RESIDUAL: Sum, ADD: Sum, CONCAT: Concat}
"""By what a block of branches is: residual, or the way in which it joins them."""


def connect(
    places: Iterable[Placed],
    functions: Mapping[str, Function],
    arithmetic: Arithmetic,
    joins: Mapping[str, Join] = JOINS,
) -> Chain:
    """Return the model of `places`, made of the leaves' functions by name."""
    parts: list[Part] = []
    for place in places:
        layer = place.layer
        chains = [connect(chain, functions, arithmetic, joins) for chain in place.chains]
        if type(layer) in (spec.Residual, spec.Branches):
            join = joins[getattr(layer, "join", RESIDUAL)]
            parts.append(join(chains, 1 + channel_axis(place.output), arithmetic))
        else:
            parts.append(functions.get(place.name) or unsupported("reference", layer))
    return Chain(parts)
