"""What norms need beside MXNet's operators: batch norm's running variance, group norm's channels.

The variance is unbiased in the spec, biased in MXNet's CPU operator. The operator keeps
v' = (1 - momentum) v' + momentum b with the batch's biased variance b. The spec's v takes n / (n - 1) b
instead, n being the values a channel has in a batch: so v = n / (n - 1) v', if it is so at the start.
(The gradients that it hands on are exact to 2e-7 to 5e-7, with oneDNN and without, where PyTorch's are
to 6e-8: batch norm behind batch norm shows it.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import mxnet as mx
import numpy as np
from mxnet import gluon
from numpy.typing import NDArray

from workloads import layers as spec
from workloads.layers import BatchNorm
from workloads.spec import Placed, Workload

_BIASED, _UNBIASED = 0, 1


class Variances:
    """Puts v' in place for training, and v for inference; both by copies, so that none drifts.

    Handing out v rounds v' to what loading that v would make of it, by 6e-8 of it at most: so a
    training that goes on, and one that is taken up with that v, are the same to the bit.
    """

    def __init__(self, workload: Workload, parameters: Mapping[str, gluon.Parameter]) -> None:
        self._parameters, self._pixels = {}, {}
        for place in workload.leaves:
            if isinstance(place.layer, BatchNorm):
                name = f"{place.name}.variance"
                self._parameters[name] = parameters[name]
                self._pixels[name] = math.prod(place.input[1:])
        self._batch = workload.data.batch
        self._in_place = _BIASED
        # (v', v) by name, float32; none where training has moved v' since.
        self._pairs: dict[str, tuple[NDArray, NDArray]] = {}

    def load(self, weights: Mapping[str, NDArray]) -> None:
        """Start from the variances in `weights`."""
        for name in self._parameters:
            v = np.array(weights[name], np.float32)
            self._pairs[name] = ((v / self._ratio(name)).astype(np.float32), v)
        self._put(_BIASED)

    def _ratio(self, name: str) -> float:
        """Return n / (n - 1)."""
        values = self._batch * self._pixels[name]
        return values / max(values - 1, 1)

    def _put(self, which: int) -> None:
        for name, parameter in self._parameters.items():
            parameter.set_data(mx.nd.array(self._pairs[name][which]))
        self._in_place = which

    def for_training(self, batch: int) -> None:
        """Put v' in place, for a batch of so many examples: of another size, it is another."""
        if batch != self._batch and self._parameters:
            # A hybridised graph moves v' in its backward pass, and the engine does not know that.
            mx.nd.waitall()
            v = self.unbiased()
            self._batch = batch
            self.load(v)
        elif self._in_place != _BIASED:
            self._put(_BIASED)

    def moved(self) -> None:
        """Forget v, for training has moved v'."""
        self._pairs = {}

    def for_inference(self) -> None:
        """Put v in place."""
        if self._in_place != _UNBIASED:
            self.unbiased()
            self._put(_UNBIASED)

    def unbiased(self) -> dict[str, NDArray[np.float32]]:
        """Return a copy of each v, (channels,), by its name in the spec."""
        if not self._pairs:
            parameters = self._parameters.items()
            biased = {k: p.data().asnumpy().astype(np.float64) for k, p in parameters}
            self.load({name: array * self._ratio(name) for name, array in biased.items()})
        return {name: v.copy() for name, (_, v) in self._pairs.items()}


class GroupNorm(gluon.HybridBlock):
    """Group norm with a weight and a bias a channel, where Gluon's has them a group."""

    def __init__(self, layer: spec.GroupNorm, place: Placed) -> None:
        super().__init__()
        channels, self._flat = place.input[0], len(place.input) == 1
        self._options = {"num_groups": layer.groups, "eps": layer.epsilon}
        self._wide = (1, -1, 1) if self._flat else (1, -1, 1, 1)
        with self.name_scope():
            self.weight = self.params.get("weight", shape=(channels,))
            self.bias = self.params.get("bias", shape=(channels,))
            self.unit = self.params.get_constant("unit", np.ones(layer.groups, np.float32))
            self.zero = self.params.get_constant("zero", np.zeros(layer.groups, np.float32))

    def hybrid_forward(
        self,
        F: Any,  # noqa: N803
        x: Any,
        weight: Any,
        bias: Any,
        unit: Any,
        zero: Any,
    ) -> Any:
        """Return the norm of x; the operator wants an axis behind the channels."""
        images = F.expand_dims(x, axis=2) if self._flat else x
        h = F.GroupNorm(images, unit, zero, **self._options)
        scaled = F.broadcast_mul(h, F.reshape(weight, self._wide))
        y = F.broadcast_add(scaled, F.reshape(bias, self._wide))
        return F.reshape(y, (0, -1)) if self._flat else y
