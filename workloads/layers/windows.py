"""Windows that move along axes: where they begin, how many there are, what lies beyond an edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workloads.reading import LARGEST, SpecError, nearest

Padding = int | str | tuple[int, ...]
"""Elements on every side; or on each, an axis after the other: (top, bottom, left, right) of an image,
(before, after) of a sequence; or a word."""

SAME, CAUSAL = "same", "causal"
"""The words. SAME: there are ceil(side / stride) windows, so an axis is padded by
max((ceil(side / stride) - 1) stride + extent - side, 0) in all, half of it before, and an odd element
after. CAUSAL, of sequences: extent - 1 steps before and none after, so that no step sees a later one."""


@dataclass(frozen=True)
class Window:
    """The windows along one axis of `side` elements, each of `kernel` elements that are `dilation` apart.

    Window i begins at element i stride - before, where elements below 0 and from `side` on are padding,
    `before` and `after` of them. The last of the `count` windows may reach further still, see `beyond`.
    """

    side: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    count: int

    @property
    def extent(self) -> int:
        """How many elements there are from a window's first to its last."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def beyond(self) -> int:
        """How many elements the last window reaches beyond the padding, by `ceil`."""
        end = (self.count - 1) * self.stride + self.extent
        return max(0, end - self.before - self.side - self.after)

    @property
    def pads(self) -> tuple[int, int]:
        """How many elements before and after the axis make every window a whole one."""
        return self.before, self.after + self.beyond

    def counts(self, count_padding: bool) -> list[int]:
        """Return how many elements each window has, `beyond` left out; `kernel` has no dilation."""
        low, high = (-self.before, self.side + self.after) if count_padding else (0, self.side)
        starts = [i * self.stride - self.before for i in range(self.count)]
        return [min(start + self.kernel, high) - max(start, low) for start in starts]


def along(
    sides: Sequence[int],
    kernel: int,
    stride: int,
    padding: Padding,
    dilation: int = 1,
    ceil: bool = False,
) -> tuple[Window, ...]:
    """Return the windows of a kernel along each axis. A `count` below 1 says that none fits.

    A window that is not whole is left out. With `ceil` it is kept if it begins at an element or in the
    padding before it: where it reaches beyond the padding after, there is nothing.
    """
    windows = []
    for axis, side in enumerate(sides):
        extent = (kernel - 1) * dilation + 1
        before, after = _pads(padding, axis, side, extent, stride)
        slack = side + before + after - extent
        count = (-(-slack // stride) if ceil else slack // stride) + 1
        if ceil and (count - 1) * stride >= side + before:
            count -= 1
        windows.append(Window(side, kernel, stride, dilation, before, after, count))
    return tuple(windows)


def _pads(padding: Padding, axis: int, side: int, extent: int, stride: int) -> tuple[int, int]:
    if padding == SAME:
        total = max((-(-side // stride) - 1) * stride + extent - side, 0)
        return total // 2, total - total // 2
    if padding == CAUSAL:
        return extent - 1, 0
    if isinstance(padding, tuple):
        return padding[2 * axis], padding[2 * axis + 1]
    return int(padding), int(padding)


def fitting(kind: str, what: str, windows: tuple[Window, ...], padding: Padding) -> tuple[int, ...]:
    """Return how many windows there are along each axis; raise SpecError where there are none.

    `kind` is the layer's word, `what` that of its input.
    """
    if min(window.count for window in windows) < 1:
        first = windows[0]
        dilated = f" ({first.extent} with its dilation)" if first.dilation > 1 else ""
        sides = "x".join(str(window.side) for window in windows)
        raise SpecError(
            f"{kind} of size {first.kernel}{dilated} does not fit {what} of {sides}"
            f" with padding {padding}: take a smaller size"
        )
    return tuple(window.count for window in windows)


def paddings(*names: str, words: tuple[str, ...] = (SAME,)) -> Any:
    """Metadata for a field that holds a Padding; `names` are those of the sides, in their order."""
    meant = f"a number, {len(names)} numbers ({', '.join(names)})"
    meant += "".join(f' or "{word}"' for word in words)

    def read(value: Any, where: str) -> Padding:
        if isinstance(value, str):
            if value not in words:
                guess = nearest(value, words)
                raise SpecError(f"{where} = {value!r}: not known{guess}; allowed: {meant}")
            return value
        several = isinstance(value, list | tuple)
        numbers = tuple(value) if several else (value,)
        right_count = len(names) if several else 1
        if len(numbers) != right_count or any(type(n) is not int for n in numbers):
            raise SpecError(f"{where} = {value!r}: expected {meant}")
        if min(numbers) < 0 or max(numbers) > LARGEST:
            raise SpecError(f"{where} = {value!r}: has to be at least 0, and at most {LARGEST}")
        return numbers if several else value

    return {"reader": read}
