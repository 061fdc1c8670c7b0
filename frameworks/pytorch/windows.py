"""Convolutions and pools as PyTorch's modules. Its own take as much padding on both sides of an axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from workloads import layers as spec
from workloads.layers import Shape
from workloads.layers.windows import Window

Windows = tuple[Window, ...]


def is_symmetric(windows: Windows) -> bool:
    """Return whether every axis has as much padding before as after."""
    return all(window.before == window.after for window in windows)


def pads_of(windows: Windows) -> tuple[int, ...]:
    """Return what `functional.pad` takes: before and after of the last axis, then of the one before."""
    return tuple(pad for window in reversed(windows) for pad in window.pads)


class PaddedConv2d(nn.Conv2d):
    """A convolution with other padding on each side."""

    def __init__(self, pads: tuple[int, ...], *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.pads = pads

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, filters, rows, columns)."""
        return super().forward(functional.pad(x, self.pads))


class Conv1d(nn.Conv1d):
    """A convolution along the steps, the second axis and not the last."""

    def __init__(self, pads: tuple[int, ...], *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.pads = pads

    def forward(self, x: Tensor) -> Tensor:
        """(batch, steps, features) to (batch, steps left, filters)."""
        channels = x.transpose(1, 2)
        if self.pads:
            channels = functional.pad(channels, self.pads)
        return super().forward(channels).transpose(1, 2)


def _conv2d(layer: spec.Conv2d, shape: Shape) -> nn.Module:
    windows, arguments = layer.windows(shape), (shape[0], layer.filters, layer.kernel, layer.stride)
    options: dict[str, Any] = {
        "dilation": layer.dilation,
        "groups": layer.groups,
        "bias": layer.bias,
    }
    if is_symmetric(windows):
        return nn.Conv2d(*arguments, padding=tuple(w.before for w in windows), **options)
    return PaddedConv2d(pads_of(windows), *arguments, **options)


def _conv1d(layer: spec.Conv1d, shape: Shape) -> nn.Module:
    windows = layer.windows(shape)
    symmetric = is_symmetric(windows)
    return Conv1d(
        () if symmetric else pads_of(windows),
        shape[1],
        layer.filters,
        layer.kernel,
        layer.stride,
        padding=windows[0].before if symmetric else 0,
        dilation=layer.dilation,
        groups=layer.groups,
        bias=layer.bias,
    )


class Subsample(nn.Module):
    """An average pool of size 1: every `stride`th row and column, as a view, without arithmetic."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to the same with fewer rows and columns."""
        return x[:, :, :: self.stride, :: self.stride]


class PaddedAvgPool(nn.Module):
    """An average pool of an image that is padded by zeros, each mean by how many elements count."""

    def __init__(self, layer: spec.AvgPool, shape: Shape) -> None:
        super().__init__()
        self.size, self.step, self.pads = layer.size, layer.step, pads_of(layer.windows(shape))
        factors = torch.from_numpy(layer.size**2 / layer.divisors(shape)).float()
        self.register_buffer("factors", factors, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, channels, rows, columns)."""
        means = functional.avg_pool2d(functional.pad(x, self.pads), self.size, self.step)
        return means * self.factors


def _is_native(layer: spec.Pool, windows: Windows) -> bool:
    """Return whether PyTorch's pools take the padding: at most half the size, alike on both sides.

    Its rule for windows that are not whole is that of the spec.
    """
    return is_symmetric(windows) and all(2 * window.before <= layer.size for window in windows)


def _max_pool(layer: spec.MaxPool, shape: Shape) -> nn.Module:
    windows = layer.windows(shape)
    if _is_native(layer, windows):
        pads = tuple(window.before for window in windows)
        return nn.MaxPool2d(layer.size, layer.step, pads, ceil_mode=layer.ceil)
    padded = nn.ConstantPad2d(pads_of(windows), -math.inf)
    return nn.Sequential(padded, nn.MaxPool2d(layer.size, layer.step))


def _avg_pool(layer: spec.AvgPool, shape: Shape) -> nn.Module:
    windows = layer.windows(shape)
    if layer.size == 1:
        return Subsample(layer.step)
    # The compiler divides by the full size where a window hangs over and padding counts: its gradients
    # are wrong there (pytorch/pytorch, issue 198119; in 2.13 and 2.14).
    miscompiled = layer.ceil and layer.count_padding
    if _is_native(layer, windows) and not miscompiled:
        pads = tuple(window.before for window in windows)
        counts = layer.count_padding
        return nn.AvgPool2d(layer.size, layer.step, pads, layer.ceil, count_include_pad=counts)
    return PaddedAvgPool(layer, shape)


WINDOWED: dict[type[spec.Layer], Callable[[Any, Shape], nn.Module]] = {
    spec.Conv1d: _conv1d,
    spec.Conv2d: _conv2d,
    spec.MaxPool: _max_pool,
    spec.AvgPool: _avg_pool,
}
