"""Layers on sequences, (steps, features)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

from workloads.layers.base import Layer, Shape, image, sequence
from workloads.reading import number, one_of


@dataclass(frozen=True)
class Rows(Layer):
    """An image as the sequence of its rows: (channels, height, width) to (height, channels width).

    A step's features are its row of the first channel, then that of the second, and so on.
    """

    kind: ClassVar[str] = "rows"
    group: ClassVar[str] = "rows"

    def output(self, shape: Shape) -> Shape:
        image(self.kind, shape)
        channels, height, width = shape
        return (height, channels * width)


@dataclass(frozen=True)
class LastStep(Layer):
    """The last step of a sequence: (steps, features) to (features,)."""

    kind: ClassVar[str] = "laststep"
    group: ClassVar[str] = "laststep"

    def output(self, shape: Shape) -> Shape:
        sequence(self.kind, shape)
        return shape[1:]


@dataclass(frozen=True)
class MeanSteps(Layer):
    """The mean of each feature over the steps: (steps, features) to (features,)."""

    kind: ClassVar[str] = "meansteps"
    group: ClassVar[str] = "meansteps"

    def output(self, shape: Shape) -> Shape:
        sequence(self.kind, shape)
        return shape[1:]


FORWARD, REVERSE, BIDIRECTIONAL = "forward", "reverse", "bidirectional"


@dataclass(frozen=True)
class Recurrent(Layer):
    """What carries a state of `units` from step to step: (steps, features) to (steps, units).

    ``direction`` is "forward", from the first step to the last; "reverse", from the last to the first;
    or "bidirectional", which has both, each with parameters of its own (those of the way back end in
    ``_reverse``), their outputs one after the other: (steps, 2 units). A step of the output always
    belongs to that step of the input: the way back has seen all steps at the first, not at the last.

    The state begins at zero. Both fans are `units`: ``uniform-fan-in`` draws up to 1 / sqrt(units).
    """

    group: ClassVar[str] = "recurrent"
    gates: ClassVar[int]
    units: int = field(metadata=number(low=1))
    direction: str = field(default=FORWARD, metadata=one_of(FORWARD, REVERSE, BIDIRECTIONAL))

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What the names of the parameters of each way end in."""
        return ("", "_reverse") if self.direction == BIDIRECTIONAL else ("",)

    def output(self, shape: Shape) -> Shape:
        sequence(self.kind, shape)
        return (shape[0], self.units * len(self.suffixes))

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {
            f"{short}{suffix}": parameter
            for suffix in self.suffixes
            for short, parameter in self.of_a_way(shape[1]).items()
        }

    def of_a_way(self, inputs: int) -> dict[str, Shape]:
        """Return the shapes of the parameters of one way, by their names in the formulas."""
        rows = self.gates * self.units
        return {"weight_x": (rows, inputs), "weight_h": (rows, self.units), "bias": (rows,)}

    def fans(self, shape: Shape) -> tuple[int, int]:
        return self.units, self.units

    def multiply_adds(self, shape: Shape) -> int:
        steps, inputs = shape
        return steps * len(self.suffixes) * self.gates * self.units * (inputs + self.units)

    def multiply_adds_of_inputs(self, shape: Shape) -> int:
        return len(self.suffixes) * self.gates * self.units * math.prod(shape)


@dataclass(frozen=True)
class Lstm(Recurrent):
    """Hochreiter and Schmidhuber 1997, with forget gates (Gers et al. 2000); without peepholes.

    With the rows of ``weight_x``, ``weight_h`` and ``bias`` (of 4 units) as the gates i, f, g, o:

        i, f, o = sigmoid(x weight_x^T + h weight_h^T + bias), g = tanh(the same of its rows)
        c = f c + i g;  h = o tanh(c)

    There is one bias; frameworks that add two get zeros for the other. The output is h.
    """

    kind: ClassVar[str] = "lstm"
    gates: ClassVar[int] = 4


@dataclass(frozen=True)
class Gru(Recurrent):
    """Cho et al. 2014, the reset gate after the product, as cuDNN has it (``reset_after``).

    With the rows of ``weight_x``, ``weight_h`` and ``bias`` (of 3 units) as the gates r, z, n:

        r, z = sigmoid(x weight_x^T + h weight_h^T + bias)
        n = tanh(x weight_x^T + bias + r (h weight_h^T + bias_h))
        h = (1 - z) n + z h

    ``bias_h`` (units,) lies in the reset gate's reach, and ``bias`` of n does not: so n has two.
    """

    kind: ClassVar[str] = "gru"
    gates: ClassVar[int] = 3

    def of_a_way(self, inputs: int) -> dict[str, Shape]:
        return {**super().of_a_way(inputs), "bias_h": (self.units,)}
