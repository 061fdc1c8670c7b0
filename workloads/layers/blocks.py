"""Layers that hold branches of layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from workloads.layers.base import Layer, Shape
from workloads.reading import SpecError


@dataclass(frozen=True)
class Residual(Layer):
    """y = body(x) + shortcut(x); without a `shortcut`, x itself."""

    kind: ClassVar[str] = "residual"
    group: ClassVar[str] = "residual"
    body: tuple[Layer, ...]
    shortcut: tuple[Layer, ...] = ()

    def output(self, shape: Shape) -> Shape:
        ends = []
        for branch in (self.body, self.shortcut):
            end = shape
            for layer in branch:
                end = layer.output(end)
            ends.append(end)
        if ends[0] != ends[1]:
            raise SpecError(f"residual: the body gives shape {ends[0]}, the shortcut {ends[1]}")
        return ends[0]
