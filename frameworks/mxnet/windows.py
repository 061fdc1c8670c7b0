"""Convolutions and pools as Gluon blocks. MXNet's operators pad both sides of an axis alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from mxnet import gluon
from mxnet.gluon import nn

from workloads import layers as spec
from workloads.layers.windows import Window
from workloads.spec import Placed

Windows = tuple[Window, ...]


def _is_symmetric(windows: Windows) -> bool:
    return all(window.before == window.after for window in windows)


def _pad(F: Any, x: Any, windows: Windows, value: float = 0.0) -> Any:  # noqa: N803
    """Pad an image, (batch, channels, height, width)."""
    width = (0, 0, 0, 0, *(pad for window in windows for pad in window.pads))
    return F.pad(x, mode="constant", constant_value=value, pad_width=width)


class PaddedConv2D(nn.Conv2D):
    """A convolution with other padding on each side."""

    def __init__(self, windows: Windows, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._windows = windows

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any = None) -> Any:  # noqa: N803
        return super().hybrid_forward(F, _pad(F, x, self._windows), weight, bias)


class Conv1D(nn.Conv1D):
    """A convolution along the steps, the second axis and not the last; `windows` pad, where given."""

    def __init__(self, windows: Windows, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._windows = windows

    def hybrid_forward(self, F: Any, x: Any, weight: Any, bias: Any = None) -> Any:  # noqa: N803
        """Return (batch, steps left, filters) of (batch, steps, features)."""
        channels = F.swapaxes(x, 1, 2)
        if self._windows:
            image = F.expand_dims(channels, axis=2)
            width = (0, 0, 0, 0, 0, 0, *self._windows[0].pads)
            image = F.pad(image, mode="constant", constant_value=0, pad_width=width)
            channels = F.squeeze(image, axis=2)
        return F.swapaxes(super().hybrid_forward(F, channels, weight, bias), 1, 2)


def _convolution(layer: Any, place: Placed) -> gluon.HybridBlock:
    windows = layer.windows(place.input)
    symmetric = _is_symmetric(windows)
    options = {
        "channels": layer.filters,
        "kernel_size": layer.kernel,
        "strides": layer.stride,
        "padding": tuple(window.before for window in windows) if symmetric else 0,
        "dilation": layer.dilation,
        "groups": layer.groups,
        "use_bias": layer.bias,
    }
    if type(layer) is spec.Conv1d:
        return Conv1D(() if symmetric else windows, in_channels=place.input[1], **options)
    if symmetric:
        return nn.Conv2D(in_channels=place.input[0], **options)
    return PaddedConv2D(windows, in_channels=place.input[0], **options)


class PaddedPool(gluon.HybridBlock):
    """A pool of an image that is padded by `value` first; `factors` are those of its outputs."""

    def __init__(
        self, pool: gluon.HybridBlock, windows: Windows, value: float, factors: Any
    ) -> None:
        super().__init__()
        self.pool, self._windows, self._value = pool, windows, value
        if factors is not None:
            with self.name_scope():
                self.factors = self.params.get_constant("factors", factors)

    def hybrid_forward(self, F: Any, x: Any, factors: Any = None) -> Any:  # noqa: N803
        """Return (batch, channels, rows, columns)."""
        y = self.pool(_pad(F, x, self._windows, self._value))
        return y if factors is None else F.broadcast_mul(y, factors)


def _native(layer: spec.Pool, windows: Windows) -> dict[str, Any] | None:
    """Return how MXNet's pools take the padding; None where they do not.

    They have no rule for a last window that begins beyond the image.
    """
    pads = tuple(window.before for window in windows)
    slacks = [w.side + 2 * w.before - layer.size for w in windows]
    full = [-(-slack // layer.step) + 1 for slack in slacks]
    same_count = not layer.ceil or full == [window.count for window in windows]
    if not _is_symmetric(windows) or not same_count or min(slacks) < 0:
        return None
    return {"padding": pads, "ceil_mode": layer.ceil}


def _max_pool(layer: spec.MaxPool, place: Placed) -> gluon.HybridBlock:
    windows = layer.windows(place.input)
    if (options := _native(layer, windows)) is not None:
        return nn.MaxPool2D(layer.size, layer.step, **options)
    return PaddedPool(nn.MaxPool2D(layer.size, layer.step), windows, -math.inf, None)


def _avg_pool(layer: spec.AvgPool, place: Placed) -> gluon.HybridBlock:
    """Return average pooling: MXNet's own, but for what its gradient gets wrong.

    That is of windows that are not whole where padding counts: of 3x3 pixels, with a size of 2, the
    gradient of the last window is divided by 4 and not by 1.
    """
    windows = layer.windows(place.input)
    counts = layer.count_padding and any(window.before for window in windows)
    options = _native(layer, windows)
    if options is not None and not (counts and any(window.beyond for window in windows)):
        return nn.AvgPool2D(layer.size, layer.step, count_include_pad=counts, **options)
    factors = (layer.size**2 / layer.divisors(place.input))[None, None]
    return PaddedPool(nn.AvgPool2D(layer.size, layer.step), windows, 0.0, factors.astype("float32"))


WINDOWED: dict[type[spec.Layer], Callable[[Any, Placed], gluon.HybridBlock]] = {
    spec.Conv1d: _convolution,
    spec.Conv2d: _convolution,
    spec.MaxPool: _max_pool,
    spec.AvgPool: _avg_pool,
}
