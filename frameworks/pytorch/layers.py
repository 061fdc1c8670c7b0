"""A spec's layers and losses as PyTorch's modules, images NCHW (in channels-last memory on the CPU)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from frameworks.contract import unsupported
from frameworks.pytorch.activations import ACTIVATIONS
from frameworks.pytorch.sequences import SEQUENCES
from frameworks.pytorch.transformer import TRANSFORMER, masked_cross_entropy
from frameworks.pytorch.windows import WINDOWED
from workloads import layers as spec
from workloads.layers import Shape
from workloads.layers.base import channel_axis
from workloads.layers.blocks import CONCAT
from workloads.spec import Placed, Workload

# How nn.BatchNorm calls the state that the spec calls mean and variance.
STATE = {"running_mean": "mean", "running_var": "variance"}


class PadChannels(nn.Module):
    """Zeros appended as further channels."""

    def __init__(self, extra: int) -> None:
        super().__init__()
        self.extra = extra

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, channels + extra, height, width)."""
        return functional.pad(x, (0, 0, 0, 0, 0, self.extra))


class GlobalAvgPool(nn.Module):
    """The mean of each channel."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, channels)."""
        return x.mean((2, 3))


class Dropout(nn.Module):
    """nn.Dropout, but for where the mask comes from: uint8, of x's shape, put here by the mode."""

    mask: Tensor

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.scale = 1 / (1 - rate)
        self.register_buffer("mask", torch.empty(0, dtype=torch.uint8), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Keep x's shape. The mask is scaled first: then backward is a single product."""
        return x * (self.mask * self.scale) if self.training else x


class Residual(nn.Module):
    """body(x) + shortcut(x). The branches' layers are direct children, named as in the spec."""

    def __init__(self, body: Sequence[Placed], shortcut: Sequence[Placed]) -> None:
        super().__init__()
        self._body, self._shortcut = _named_chains(self, (body, shortcut))
        self._in_place = bool(body) and type(body[-1].layer) in OVERWRITABLE

    def forward(self, x: Tensor) -> Tensor:
        """Give the sum of what both branches make of x."""
        y, skip = _through(self._body, x), _through(self._shortcut, x)
        return y.add_(skip) if self._in_place else y + skip


class Branches(nn.Module):
    """The sum of all branches' outputs, or these side by side along `axis`; children as above."""

    def __init__(self, branches: Sequence[Sequence[Placed]], join: str, axis: int) -> None:
        super().__init__()
        self._branches, self._join, self._axis = _named_chains(self, branches), join, axis

    def forward(self, x: Tensor) -> Tensor:
        """Give what is joined of what all branches make of x."""
        ends = [_through(branch, x) for branch in self._branches]
        return torch.cat(ends, self._axis) if self._join == CONCAT else reduce(torch.add, ends)


Modules = tuple[nn.Module, ...]


def _named_chains(block: nn.Module, chains: Sequence[Sequence[Placed]]) -> tuple[Modules, ...]:
    """Make each chain's modules, children of `block` under the spec's names."""
    named = [dict(_modules(chain)) for chain in chains]
    for modules in named:
        for name, module in modules.items():
            block.add_module(name, module)
    return tuple(tuple(modules.values()) for modules in named)


def _through(chain: Modules, x: Tensor) -> Tensor:
    for module in chain:
        x = module(x)
    return x


class GroupNorm(nn.GroupNorm):
    """nn.GroupNorm, with pixels on one axis, which knows no channels last.

    Of these, PyTorch's CPU kernel takes E[x^2] - E[x]^2 for the variance, which cancels digits away: of
    inputs with mean 100 and deviation 0.3 outputs are off by 3e-2 there, and by 5e-5 here. And its
    backward ends the process where x needs no gradient.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Keep x's shape."""
        return super().forward(x.reshape(*x.shape[:2], -1)).reshape(x.shape)


class LayerNorm(nn.LayerNorm):
    """nn.LayerNorm in float32, as autocast has it on cards.

    On CPUs it takes bfloat16, and sums the gradients of weight and bias in it: off by 16% of them after
    1024 terms.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Keep x's shape."""
        return super().forward(x.float())


def _batch_norm(layer: spec.BatchNorm, shape: Shape) -> nn.Module:
    norm = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    module = norm(shape[0], layer.epsilon, layer.momentum)
    module.num_batches_tracked = None  # for averages over all batches only: an addition less a step
    return module


MODULES: dict[type[spec.Layer], Callable[[Any, Shape], nn.Module]] = {
    spec.Dense: lambda x, shape: nn.Linear(shape[-1], x.units),
    **WINDOWED,
    spec.GlobalAvgPool: lambda x, shape: GlobalAvgPool(),
    spec.PadChannels: lambda x, shape: PadChannels(x.channels - shape[0]),
    spec.Flatten: lambda x, shape: nn.Flatten(),
    spec.BatchNorm: _batch_norm,
    spec.GroupNorm: lambda x, shape: GroupNorm(x.groups, shape[0], x.epsilon),
    spec.LayerNorm: lambda x, shape: LayerNorm(shape[-1:], x.epsilon),
    spec.RmsNorm: lambda x, shape: nn.RMSNorm(shape[-1:], x.epsilon),
    spec.Dropout: lambda x, shape: Dropout(x.rate),
    **ACTIVATIONS,
    **SEQUENCES,
    **TRANSFORMER,
}


# Layers whose output is their own and not needed for their gradient: what follows may overwrite it,
# as torchvision's nets do: 1.03 to 1.05 of ResNet-20's throughput in eager mode.
OVERWRITABLE = (
    *(spec.Conv2d, spec.Dense, spec.BatchNorm, spec.GroupNorm, spec.LayerNorm),
    *(spec.Residual, spec.Branches),
    spec.Attention,
)


def _modules(places: Sequence[Placed]) -> Iterator[tuple[str, nn.Module]]:
    """Yield a chain's modules, by the last part of their names: conv1 of residual1.conv1."""
    before: type[spec.Layer] | None = None
    for place in places:
        yield place.name.rpartition(".")[2], _module(place, before)
        before = type(place.layer)


def _module(place: Placed, before: type[spec.Layer] | None) -> nn.Module:
    """Return a layer's module; `before` is the layer that its input comes from."""
    layer: Any = place.layer
    kind = type(layer)
    if kind is spec.Residual:
        return Residual(*place.chains)
    if kind is spec.Branches:
        return Branches(place.chains, layer.join, 1 + channel_axis(place.output))
    if kind is spec.Relu:
        return nn.ReLU(inplace=before in OVERWRITABLE)
    make = MODULES.get(kind) or unsupported("pytorch", layer)
    return make(layer, place.input)


def build(workload: Workload) -> nn.Sequential:
    """Return the model, with the spec's names; its weights are yet to be loaded."""
    return nn.Sequential(OrderedDict(_modules(workload.model)))


def named_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the running statistics by PyTorch's names: what a step changes beside the weights."""
    buffers = model.named_buffers()
    return {name: buffer for name, buffer in buffers if name.rpartition(".")[2] in STATE}


def named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return all parameters, then all state, by the spec's names."""
    tensors: dict[str, Tensor] = dict(model.named_parameters())
    for name, buffer in named_state(model).items():
        layer, _, short = name.rpartition(".")
        tensors[f"{layer}.{STATE[short]}"] = buffer
    return tensors


def mean_squared_error(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the batch of 1/2 sum_k (z_k - t_k)^2, t the one-hot label."""
    one_hot = torch.zeros_like(logits).scatter(1, labels[:, None], 1.0)
    return 0.5 * (logits - one_hot).square().sum(1).mean()


Loss = Callable[[Tensor, Tensor], Tensor]


def loss_of(workload: Workload) -> Loss:
    """Return the loss as a function of logits (batch, ..., classes) and labels (batch, ...)."""
    if workload.loss == "mean-squared-error":
        return mean_squared_error
    cross_entropy = masked_cross_entropy if workload.label_shape else functional.cross_entropy
    if not workload.label_smoothing:
        return cross_entropy
    return partial(cross_entropy, label_smoothing=workload.label_smoothing)
