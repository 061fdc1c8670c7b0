"""How start weights are drawn: kinds of initialisers, and which parameter takes which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from workloads.layers import Layer, Shape
from workloads.reading import SpecError, later, nearest, number, one_of

OF_FANS = (
    "uniform-fan-in",
    "xavier-uniform",
    "xavier-normal",
    "xavier-truncated",
    "he-uniform",
    "he-normal",
    "he-truncated",
)
"""Kinds that scale by how many inputs an output sums, or how many outputs an input goes to."""

INITIALISERS = (*OF_FANS, "gaussian", "truncated", "orthogonal", "constant")


@dataclass(frozen=True)
class Initialiser:
    """How an array is drawn, with fan_in = the inputs that an output sums, fan_out = the outputs that
    an input goes to:

    - uniform-fan-in: U(-b, b), b = 1 / sqrt(fan_in), which is what PyTorch's dense and convolution
      layers take by default, biases included;
    - gaussian: N(0, std^2);
    - xavier (Glorot and Bengio 2010): variance 2 / (fan_in + fan_out); he (He et al. 2015): 2 / fan_in;
      uniform, normal, or truncated as Keras has it: a normal whose variance after the cut is that;
    - truncated: N(0, std^2) without what is beyond two std;
    - orthogonal (Saxe et al. 2014): gain Q of a QR of a normal matrix (the longer side, the shorter),
      the diagonal of R positive; the first axis is one side, all others are the other;
    - constant: `value`.
    """

    kind: str = field(metadata=one_of(*INITIALISERS))
    std: float = field(default=0.01, metadata=number(above=0))
    gain: float = later(1.0, number(above=0))
    value: float = later(0.0)


@dataclass(frozen=True)
class Init(Initialiser):
    """How start weights are drawn; `bias` is for biases, `layers` by the name of a layer or parameter.

    The first of these holds for a parameter: `layers` by its name (``dense2.bias``), also where it
    would begin with a constant; for a bias `bias`; `layers` by its layer (``conv1``); the record itself.
    A bias of the last two begins at 0, but for uniform-fan-in and constant.
    """

    bias: Initialiser | None = later(None)
    layers: dict[str, Initialiser] | None = later(None)

    def __hash__(self) -> int:
        """Hash what it says: a table has no hash of its own."""
        return hash(repr(self))

    def of(self, layer: str, short: str, drawn: bool = True) -> Initialiser | None:
        """Return what the parameter `short` of a layer is drawn by, None where it is a constant.

        `drawn` says that the layer has no number for it among its `initial_values`.
        """
        named, is_bias = self.layers or {}, short.startswith("bias")
        if by_name := named.get(f"{layer}.{short}"):
            return by_name
        if not drawn:
            return None
        if is_bias and self.bias:
            return self.bias
        of_layer = named.get(layer, self)
        if is_bias and of_layer.kind not in ("uniform-fan-in", "constant"):
            return Initialiser("constant")
        return of_layer

    def check(self, layers: Mapping[str, tuple[Layer, Shape]]) -> None:
        """Raise SpecError where a name is not known, or a kind does not fit.

        `layers` has by name each layer and its input's shape.
        """
        parameters = {
            name: [short for short in layer.parameters(shape) if short not in layer.initial_values]
            for name, (layer, shape) in layers.items()
        }
        allowed = [name for name, drawn in parameters.items() if drawn]
        for name, (layer, shape) in layers.items():
            allowed += [f"{name}.{short}" for short in layer.parameters(shape)]
        for name in self.layers or ():
            if name not in allowed:
                guess = nearest(name, allowed)
                raise SpecError(
                    f'layers: "{name}" is no layer with weights, and no parameter{guess}'
                )
        for name, (layer, shape) in layers.items():
            for short, size in layer.parameters(shape).items():
                drawn = short not in layer.initial_values
                kind = getattr(self.of(name, short, drawn), "kind", "")
                if kind == "orthogonal" and len(size) < 2:
                    raise SpecError(f"orthogonal: {name}.{short} has shape {size}, needs two axes")
                if kind in OF_FANS and not drawn:
                    raise SpecError(
                        f"{kind}: {name}.{short} has no fans: take gaussian or constant"
                    )
