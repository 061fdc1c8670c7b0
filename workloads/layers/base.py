"""What a layer is: a frozen record with its output shape, its parameters and its cost.

Shapes are of one example: ``(channels, height, width)`` for images, ``(steps, features)`` for sequences,
``(features,)`` for vectors. A new layer is one class in this package, one in the reference and one line
in each adapter; an adapter without it is unavailable for workloads that have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from workloads.reading import SpecError

Shape = tuple[int, ...]

AT_ZERO, AT_EQUALS = "at zero", "at equals"
"""Where a layer's gradient jumps: where an element of its input is 0; where two of a window are equal."""


@dataclass(frozen=True)
class Layer:
    """A step of the model. `kind` is its word in a spec, `group` the stem of its name (``conv1``).

    `kink` is where its gradient jumps (AT_ZERO or AT_EQUALS), empty for a layer that is differentiable
    everywhere: rounding decides such ties, and the parity check allows for both sides. `initial_values`
    has by short name the number that a parameter begins with, where the initialiser draws none, and that
    a state begins with, where it is not 0. `width` is the key that says how many features it gives, empty
    where its input decides that: `workloads.width` multiplies it.
    """

    kind: ClassVar[str]
    group: ClassVar[str]
    kink: ClassVar[str] = ""
    initial_values: ClassVar[Mapping[str, float]] = {}
    width: ClassVar[str] = ""

    def output(self, shape: Shape) -> Shape:
        """Return the output's shape for an input of `shape`; raise SpecError where it cannot be."""
        return shape

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        """Return the canonical shape of each parameter, by its short name."""
        return {}

    def state(self, shape: Shape) -> dict[str, Shape]:
        """Return the shape of what is kept from step to step without a gradient, by short name."""
        return {}

    def fans(self, shape: Shape) -> tuple[int, int]:
        """Return how many inputs an output sums, and how many outputs an input goes to.

        Initialisers scale by them what they draw: all parameters that are not among `initial_values`.
        """
        raise NotImplementedError(
            f"{self.kind}: its parameters are drawn, and it has no fans: define them, or `initial_values`"
        )

    def multiply_adds(self, shape: Shape) -> int:
        """Return the multiply-adds of one example's forward pass (matrix arithmetic only)."""
        return 0

    def multiply_adds_of_inputs(self, shape: Shape) -> int:
        """Return those of them that read the layer's inputs: the first layer needs no gradient there."""
        return self.multiply_adds(shape)

    def mask(self, shape: Shape) -> tuple[float, Shape] | None:
        """Return the rate and the shape, of one example, of its dropout mask; None where it has none."""
        return None

    def check_batch(self, shape: Shape, batch: int) -> None:
        """Raise SpecError where it cannot be trained on a batch of so many inputs of `shape`."""


def image(kind: str, shape: Shape) -> None:
    """Raise SpecError where `shape` is not an image's; `kind` is the layer's word."""
    if len(shape) != 3:
        raise SpecError(f"{kind} needs an image (channels, height, width), got shape {shape}")


def sequence(kind: str, shape: Shape) -> None:
    """Raise SpecError where `shape` is not a sequence's; `kind` is the layer's word."""
    if len(shape) != 2:
        raise SpecError(f"{kind} needs a sequence (steps, features), got shape {shape}")


def features(kind: str, shape: Shape) -> int:
    """Return the features of a vector, or of each step of a sequence; `kind` is the layer's word.

    Raises:
        SpecError: `shape` is an image's.
    """
    if len(shape) > 2:
        raise SpecError(
            f"{kind} needs a vector or a sequence, got shape {shape}: put a flatten before it,"
            " or rows"
        )
    return shape[-1]
