"""A spec's layers and losses as Gluon blocks, with every shape given, so that nothing is deferred.

Dropout's masks travel beside the tensor: a block is called with its input and, in training, with
the masks of the dropouts in it, in order. So each block knows how many `masks` it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add
from typing import Any

from mxnet import gluon
from mxnet.gluon import nn

from frameworks.contract import unsupported
from frameworks.mxnet.activations import ACTIVATIONS
from frameworks.mxnet.norms import GroupNorm
from frameworks.mxnet.sequences import SEQUENCES
from frameworks.mxnet.transformer import TRANSFORMER, masked_mean
from frameworks.mxnet.windows import WINDOWED
from workloads import layers as spec
from workloads.layers.base import channel_axis
from workloads.layers.blocks import CONCAT
from workloads.spec import Placed, Workload

# The names of a block's parameters in Gluon, where they are not the spec's.
GLUON = {
    spec.BatchNorm: {
        "weight": "gamma",
        "bias": "beta",
        "mean": "running_mean",
        "variance": "running_var",
    },
    spec.LayerNorm: {"weight": "gamma", "bias": "beta"},
}


def parameters(place: Placed, block: gluon.HybridBlock) -> dict[str, gluon.Parameter]:
    """Return a layer's parameters and state, by their full names in the spec."""
    layer, names = place.layer, GLUON.get(type(place.layer), {})
    shorts = (*layer.parameters(place.input), *layer.state(place.input))
    return {f"{place.name}.{short}": getattr(block, names.get(short, short)) for short in shorts}


class Chain(nn.HybridSequential):
    """Blocks one after the other; each dropout among them takes its masks."""

    def __init__(self, places: Sequence[Placed], collected: dict[str, gluon.Parameter]) -> None:
        super().__init__()
        self._counts = []
        for i, place in enumerate(places):
            kinds = [type(neighbour.layer) for neighbour in places[i : i + 2]]
            if kinds == [spec.Flatten, spec.Dense]:
                continue  # Gluon's dense layer flattens its input itself: one operator less.
            block = _block(place, collected)
            self.add(block)
            self._counts.append(count_masks(place))

    def hybrid_forward(self, F: Any, x: Any, *masks: Any) -> Any:  # noqa: N803
        """Return the last block's output; without `masks`, as in inference."""
        if not masks:
            for block in self._children.values():
                x = block(x)
            return x
        for block, count in zip(self._children.values(), self._counts, strict=True):
            x, masks = block(x, *masks[:count]), masks[count:]
        return x


def count_masks(place: Placed) -> int:
    """Return how many masks of dropout a layer takes."""
    return sum(leaf.layer.mask(leaf.input) is not None for leaf in place.leaves())


class Block(gluon.HybridBlock):
    """What `join` makes of the outputs of some chains; that of an empty one is the input."""

    def __init__(
        self,
        place: Placed,
        collected: dict[str, gluon.Parameter],
        join: Callable[[Any, list], Any],
    ) -> None:
        super().__init__()
        self._chains, self._join = [], join
        for places in place.chains:
            chain = Chain(places, collected) if places else None
            self._chains.append((chain, sum(map(count_masks, places))))
            if chain:
                self.register_child(chain)

    def hybrid_forward(self, F: Any, x: Any, *masks: Any) -> Any:  # noqa: N803
        ends = []
        for chain, count in self._chains:
            ends.append(chain(x, *masks[:count]) if chain else x)
            masks = masks[count:]
        return self._join(F, ends)


def _add(F: Any, ends: list) -> Any:  # noqa: N803
    return reduce(add, ends)


def _joined(place: Placed) -> Callable[[Any, list], Any]:
    """Return how branches are joined.

    oneDNN keeps channels in blocks of up to 16, and cannot hand the gradient of a concatenation on where
    branches have other numbers of them ("could not construct a sub-memory", or the process ends). There
    images are put side by side as vectors.
    """
    layer: Any = place.layer
    if layer.join != CONCAT:
        return _add
    is_image, axis = len(place.output) == 3, 1 + channel_axis(place.output)
    in_blocks = all(channels % 16 == 0 for channels, *_ in layer.ends(place.input))

    def concat(F: Any, ends: list) -> Any:  # noqa: N803
        if in_blocks or not is_image:
            return F.concat(*ends, dim=axis)
        flat = [F.reshape(end, (0, -1)) for end in ends]
        return F.reshape(F.concat(*flat, dim=1), (-1, *place.output))

    return concat


class Dropout(gluon.HybridBlock):
    """x mask / (1 - rate) with a uint8 mask of x's shape; x itself without one."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self._scale = 1 / (1 - rate)

    def hybrid_forward(self, F: Any, x: Any, mask: Any = None) -> Any:  # noqa: N803
        return x if mask is None else x * (F.cast(mask, "float32") * self._scale)


class PadChannels(gluon.HybridBlock):
    """Zeros appended as further channels.

    MXNet pads the last two of four axes only, so channels become the last but one.
    """

    def __init__(self, place: Placed) -> None:
        super().__init__()
        (channels, rows, columns), (wanted, *_) = place.input, place.output
        self._flat = (-1, 1, channels, rows * columns)
        self._pads = (0, 0, 0, 0, 0, wanted - channels, 0, 0)
        self._whole = (-1, wanted, rows, columns)

    def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803
        padded = F.pad(F.reshape(x, self._flat), mode="constant", pad_width=self._pads)
        return F.reshape(padded, self._whole)


class GlobalAvgPool(gluon.HybridBlock):
    """The mean of each channel, (batch, channels)."""

    def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803
        return F.flatten(F.Pooling(x, pool_type="avg", global_pool=True, kernel=(1, 1)))


BLOCKS: dict[type[spec.Layer], Callable[[Any, Placed], gluon.HybridBlock]] = {
    spec.Dense: lambda x, place: nn.Dense(
        x.units, flatten=len(place.input) == 1, in_units=place.input[-1]
    ),
    **WINDOWED,
    spec.BatchNorm: lambda x, place: nn.BatchNorm(
        momentum=1 - x.momentum, epsilon=x.epsilon, in_channels=place.input[0]
    ),
    spec.GroupNorm: GroupNorm,
    spec.LayerNorm: lambda x, place: nn.LayerNorm(epsilon=x.epsilon, in_channels=place.input[-1]),
    spec.GlobalAvgPool: lambda x, place: GlobalAvgPool(),
    spec.PadChannels: lambda x, place: PadChannels(place),
    spec.Dropout: lambda x, place: Dropout(x.rate),
    spec.Flatten: lambda x, place: nn.Flatten(),
    **ACTIVATIONS,
    **SEQUENCES,
    **TRANSFORMER,
}


def _block(place: Placed, collected: dict[str, gluon.Parameter]) -> gluon.HybridBlock:
    """Return a layer's block; add its parameters to `collected`."""
    if type(place.layer) is spec.Residual:
        return Block(place, collected, _add)
    if type(place.layer) is spec.Branches:
        return Block(place, collected, _joined(place))
    make = BLOCKS.get(type(place.layer)) or unsupported("mxnet", place.layer)
    block = make(place.layer, place)
    collected |= parameters(place, block)
    return block


class Logits(gluon.HybridBlock):
    """The net in a block of its own: hybridised, a graph of its own, masks and all."""

    def __init__(self, net: gluon.HybridBlock) -> None:
        super().__init__()
        self.net = net

    def hybrid_forward(self, F: Any, x: Any, *masks: Any) -> Any:  # noqa: N803
        return self.net(x, *masks)


class Training(gluon.HybridBlock):
    """The net and its loss in one block, so that hybridising makes one graph of both."""

    def __init__(self, net: gluon.HybridBlock, workload: Workload) -> None:
        super().__init__()
        self.net, self._loss, self._classes = net, workload.loss, workload.classes
        self._smoothing, self._steps = workload.label_smoothing, bool(workload.label_shape)

    def hybrid_forward(self, F: Any, x: Any, labels: Any, *masks: Any) -> Any:  # noqa: N803
        """Return the loss of each example, (batch,), of inputs, labels (batch,) and masks.

        With labels (batch, steps), return their mean, (1,).
        """
        logits = self.net(x, *masks)
        if self._loss == "cross-entropy":
            # With a temperature MXNet's own log_softmax runs instead of oneDNN's, whose gradients
            # are 30 times less exact (2e-6 to 2e-5); it is as fast.
            scores = F.log_softmax(logits, axis=-1, temperature=1.0)
            nll = -F.pick(scores, labels, axis=-1)
            if self._smoothing:
                nll = (1 - self._smoothing) * nll - self._smoothing * F.mean(scores, axis=-1)
            return masked_mean(F, nll, labels) if self._steps else nll
        difference = logits - F.one_hot(labels, self._classes)
        return 0.5 * F.sum(F.square(difference), axis=1)
