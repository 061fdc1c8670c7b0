"""How far rounding may lead: bounds from the unit roundoff, the lengths of sums and the steps.

docs/parity.md derives them. In short: a sum of n terms in any order is off, relative to the sum of
the terms' sizes, by at most n u, and with high probability by a small multiple of sqrt(n) u (Higham
and Mary, SIAM J. Sci. Comput. 41(5), 2019). A tensor that is reached through sums of n1, n2, ...
terms is then off by a small multiple of (sqrt(n1) + sqrt(n2) + ...) u, to first order.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from workloads import layers
from workloads.spec import Placed, Workload

UNIT_ROUNDOFF = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "tf32": 2.0**-11,
    "bfloat16": 2.0**-8,
}
"""The largest relative error of rounding to nearest, with 53, 24, 11 and 8 bits of significand."""

COARSE = {"tf32": (2.0, 2.0**-13), "bfloat16": (3.0, 1.0)}
"""By coarse precision, in units of it: what rounding both operands of a product adds, and in bfloat16
its result, however many terms its sum has, for those are added up in float32; and what one rounding
outside of products is: TF32's layers in between compute in float32, bfloat16's in bfloat16."""

PRODUCTS = (layers.Dense, layers.Conv2d)

CONFIDENCE = 2.0
"""The multiple of sqrt(n) u. For one sum it is exceeded with probability 2 exp(-2) at worst; a norm
over many sums averages far below it."""


class Bounds:
    """The part of each tensor's bound that is known before anything is run."""

    def __init__(self, workload: Workload, precision: str) -> None:
        self.unit = UNIT_ROUNDOFF[precision]
        self.storage = min(self.unit, UNIT_ROUNDOFF["float32"])
        """Weights are float32 in every precision but the arbiter's."""
        self._product, self._inside = COARSE.get(precision, (0.0, 1.0))
        self._sums = self.storage / self.unit
        self._batch = workload.data.batch
        self._places = {place.name: place for place in workload.leaves}
        self._forward = {}
        forward = 0.0
        for place in workload.leaves:
            forward += self._roundings(_forward_sum(place), isinstance(place.layer, PRODUCTS))
            self._forward[place.name] = forward
        self._logits = forward + 1
        own = math.sqrt(workload.classes) + math.sqrt(self._batch)
        self._loss = self._logits + self._sums * own
        self._backward = self._way_back(workload)

    def _roundings(self, terms: int, product: bool) -> float:
        """Return what a sum of so many terms adds, in units: see COARSE."""
        if product:
            return self._product + self._sums * math.sqrt(terms)
        return self._inside * math.sqrt(terms)

    def _way_back(self, workload: Workload) -> dict[str, float]:
        """The roundings of the layers that a gradient comes through, by the place it comes to."""
        total, sums = 0.0, {}
        for place in reversed(workload.leaves):
            sums[place.name] = total
            match place.layer:
                case layers.Dense(units=units):
                    total += self._roundings(units, True)
                case layers.Conv2d(filters=filters, kernel=kernel):
                    total += self._roundings(filters * kernel**2, True)
                case _:
                    total += self._roundings(1, False)
        return sums

    def near_kinks(self) -> dict[str, float]:
        """Return, for each layer with a kink, how near to it rounding may choose the side.

        Relative to the root mean square of what the layer sees: the bound on the error of that.
        """
        kinked = (layers.Relu, layers.MaxPool)
        return {
            name: CONFIDENCE * self.unit * self._forward[name]
            for name, place in self._places.items()
            if isinstance(place.layer, kinked)
        }

    def of(self, kind: str, name: str, steps: int) -> float:
        """Return the relative bound of a tensor; `kind` as in `parity.Answers`, `steps` so far."""
        if kind == "logits":
            roundings = self._logits
        elif kind in ("loss", "losses"):
            roundings = self._loss
        else:
            place = self._places[name.rpartition(".")[0]]
            shared = math.prod(place.output[1:]) if len(place.output) == 3 else 1
            own = self._roundings(self._batch * shared, True)
            roundings = self._loss + self._backward[place.name] + own
        return CONFIDENCE * self.unit * roundings * math.sqrt(steps)


def storage_floor(right: NDArray, origin: NDArray | float, steps: int, unit: float) -> float:
    """Return what rounding the weights themselves adds to the error of what they moved by.

    Each step rounds w by up to u |w|, however little it moves.
    """
    moved = float(np.linalg.norm(right - origin))
    return (
        CONFIDENCE * unit * math.sqrt(steps) * float(np.linalg.norm(right)) / moved
        if moved
        else 0.0
    )


def _forward_sum(place: Placed) -> int:
    """How many terms an element of a layer's output sums."""
    match place.layer:
        case layers.Dense():
            return place.input[0]
        case layers.Conv2d(kernel=kernel):
            return place.input[0] * kernel**2
        case layers.AvgPool(size=size):
            return size**2
        case layers.GlobalAvgPool():
            return math.prod(place.input[1:])
        case layers.LayerNorm():
            return place.input[0]
    return 1
