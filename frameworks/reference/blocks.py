"""How layers are put together: one after the other, and side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from numpy.typing import NDArray

from frameworks.contract import unsupported
from frameworks.reference.arithmetic import EXACT, Arithmetic
from frameworks.reference.function import Function
from workloads import layers as spec
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


class Residual:
    """y = body(x) + shortcut(x), so dx is the sum of what both send back."""

    def __init__(self, body: Part, shortcut: Part, arithmetic: Arithmetic = EXACT) -> None:
        self._body, self._shortcut, self._arithmetic = body, shortcut, arithmetic

    def forward(self, x: NDArray) -> NDArray:
        return self._arithmetic.each(self._body.forward(x) + self._shortcut.forward(x))

    def infer(self, x: NDArray) -> NDArray:
        return self._arithmetic.each(self._body.infer(x) + self._shortcut.infer(x))

    def backward(self, dy: NDArray) -> NDArray:
        return self._arithmetic.each(self._body.backward(dy) + self._shortcut.backward(dy))


def connect(
    places: Iterable[Placed], functions: Mapping[str, Function], arithmetic: Arithmetic
) -> Chain:
    """Return the model of `places`, made of the leaves' functions by name."""
    parts: list[Part] = []
    for place in places:
        if type(place.layer) is spec.Residual:
            body, shortcut = (
                connect(branch, functions, arithmetic) for branch in (place.body, place.shortcut)
            )
            parts.append(Residual(body, shortcut, arithmetic))
        else:
            parts.append(functions.get(place.name) or unsupported("reference", place.layer))
    return Chain(parts)
