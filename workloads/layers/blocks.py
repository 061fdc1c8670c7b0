"""Layers that hold chains of layers side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

from workloads.layers.base import Layer, Shape, channel_axis
from workloads.reading import SpecError, at, one_of

Chain = tuple[Layer, ...]
"""Layers one after the other; none at all is the identity."""

ADD, CONCAT = "add", "concat"


def changed(chain: Chain, change: Callable[[Layer], Layer]) -> Chain:
    """Return layers with `change` made to each that is no block, also within blocks."""

    def within(layer: Layer) -> Layer:
        if isinstance(layer, Block):
            return layer.with_chains(tuple(changed(inner, change) for inner in layer.chains))
        return change(layer)

    return tuple(map(within, chain))


@dataclass(frozen=True)
class Block(Layer):
    """Chains that all take the block's input, and whose outputs are joined."""

    @property
    def chains(self) -> tuple[Chain, ...]:
        """The chains, in order."""
        raise NotImplementedError

    @property
    def keys(self) -> tuple[str, ...]:
        """Where each of the chains stands in the block's table."""
        raise NotImplementedError

    def with_chains(self, chains: tuple[Chain, ...]) -> Block:
        """Return the block with these chains in place of its own."""
        raise NotImplementedError

    def ends(self, shape: Shape) -> list[Shape]:
        """Return each chain's output shape for an input of `shape`."""
        ends = []
        for key, chain in zip(self.keys, self.chains, strict=True):
            end = shape
            for i, layer in enumerate(chain):
                with at(f"{key}[{i}]"):
                    end = layer.output(end)
            ends.append(end)
        return ends


@dataclass(frozen=True)
class Residual(Block):
    """y = body(x) + shortcut(x); without a `shortcut`, x itself."""

    kind: ClassVar[str] = "residual"
    group: ClassVar[str] = "residual"
    body: Chain
    shortcut: Chain = ()

    @property
    def chains(self) -> tuple[Chain, ...]:
        return self.body, self.shortcut

    @property
    def keys(self) -> tuple[str, ...]:
        return "body", "shortcut"

    def with_chains(self, chains: tuple[Chain, ...]) -> Residual:
        body, shortcut = chains
        return replace(self, body=body, shortcut=shortcut)

    def output(self, shape: Shape) -> Shape:
        body, shortcut = self.ends(shape)
        if body != shortcut:
            raise SpecError(f"residual: the body gives shape {body}, the shortcut {shortcut}")
        return body


@dataclass(frozen=True)
class Branches(Block):
    """y = the sum of all branches(x), or with `join` = CONCAT their outputs side by side, in order.

    Side by side are channels of images, and features of sequences and vectors. An empty branch is x.
    """

    kind: ClassVar[str] = "branches"
    group: ClassVar[str] = "branches"
    join: str = field(metadata=one_of(ADD, CONCAT))
    branches: tuple[Chain, ...]

    @property
    def chains(self) -> tuple[Chain, ...]:
        return self.branches

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(f"branches[{i}]" for i in range(len(self.branches)))

    def with_chains(self, chains: tuple[Chain, ...]) -> Branches:
        return replace(self, branches=chains)

    def output(self, shape: Shape) -> Shape:
        if len(self.branches) < 2:
            raise SpecError(f"branches: takes two branches or more, got {len(self.branches)}")
        ends = self.ends(shape)
        axis = channel_axis(ends[0])
        fixed = [(*end[:axis], 0, *end[axis + 1 :]) if self.join == CONCAT else end for end in ends]
        if len(set(fixed)) > 1:
            shapes = ", ".join(map(str, ends))
            alike = "alike but for their channels" if self.join == CONCAT else "the same"
            raise SpecError(f'branches: join = "{self.join}": shapes {shapes} are not {alike}')
        if self.join == ADD:
            return ends[0]
        return (*ends[0][:axis], sum(end[axis] for end in ends), *ends[0][axis + 1 :])
