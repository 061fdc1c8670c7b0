"""Changes of training images, drawn from the seed and the step: the same pixels for everyone.

They are made of raw pixels, before normalisation and outside the clock. What comes from beyond an
image's edge, and what is cut out, is 0 in raw pixels: black.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from workloads.reading import SpecError, by_kind, number

_STREAM = 3
"""Of the seed's streams; `workloads.init` has the others."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Augmentation:
    """One change, made of a whole batch. `draws` is how many random words an image takes."""

    kind: ClassVar[str]
    draws: ClassVar[int] = 0

    def check(self, shape: Shape) -> None:
        """Raise SpecError where it does not fit an input of that shape."""
        if len(shape) != 3:
            raise SpecError(f"changes images, and the inputs have shape {shape}: leave it out")

    def apply(self, images: NDArray, words: NDArray[np.uint64]) -> NDArray:
        """Return `images` (batch, channels, height, width) changed; `words` is (draws, batch)."""
        raise NotImplementedError


@dataclass(frozen=True)
class Crop(Augmentation):
    """Zeros of `padding` pixels around the image, then a window of its size at a uniform place."""

    padding: int = field(metadata=number(low=0))
    kind: ClassVar[str] = "crop"
    draws: ClassVar[int] = 2

    def check(self, shape: Shape) -> None:
        super().check(shape)
        if self.padding >= min(shape[1:]):
            raise SpecError(
                f"padding = {self.padding}: less than an image's side, of {min(shape[1:])}"
            )

    def apply(self, images: NDArray, words: NDArray[np.uint64]) -> NDArray:
        edge = (self.padding, self.padding)
        padded = np.pad(images, ((0, 0), (0, 0), edge, edge))
        windows = sliding_window_view(padded, images.shape[2:], axis=(2, 3))
        top, left = below(words, 2 * self.padding + 1)
        return windows[np.arange(len(images)), :, top, left]


@dataclass(frozen=True)
class Flip(Augmentation):
    """The image mirrored, left to right, or as it is: one in two."""

    kind: ClassVar[str] = "flip"
    draws: ClassVar[int] = 1

    def apply(self, images: NDArray, words: NDArray[np.uint64]) -> NDArray:
        mirrored = below(words[0], 2).astype(bool)
        return np.where(mirrored[:, None, None, None], images[..., ::-1], images)


@dataclass(frozen=True)
class Cutout(Augmentation):
    """A square of side `size` set to 0 (DeVries and Taylor 2017).

    Its centre is uniform over the pixels, so part of it may lie beyond the edge. An even square
    begins `size` / 2 above and left of its centre.
    """

    size: int = field(metadata=number(low=1))
    kind: ClassVar[str] = "cutout"
    draws: ClassVar[int] = 2

    def check(self, shape: Shape) -> None:
        super().check(shape)
        if self.size > max(shape[1:]):
            raise SpecError(f"size = {self.size}: at most an image's side, of {max(shape[1:])}")

    def apply(self, images: NDArray, words: NDArray[np.uint64]) -> NDArray:
        cut = np.ones((len(images), 1, 1, 1), bool)
        for axis, side in enumerate(images.shape[2:]):
            start = below(words[axis], side)[:, None] - self.size // 2
            place = np.arange(side)
            within = (place >= start) & (place < start + self.size)
            cut = cut & np.expand_dims(within, (1, 3 - axis))
        return np.where(cut, images.dtype.type(0), images)


AUGMENTATIONS = by_kind(Augmentation)
"""Every augmentation by its kind."""


def below(words: NDArray[np.uint64], end: int) -> NDArray[np.int64]:
    """Return whole numbers from 0 to `end` - 1, uniform but for one part in 2^32 / `end`.

    The upper half of each word scaled: ``(word >> 32) * end >> 32``.
    """
    half = np.uint64(32)
    return ((words >> half) * np.uint64(end) >> half).astype(np.int64)


def augmented(
    images: NDArray, augmentations: Sequence[Augmentation], seed: int, step: int
) -> NDArray:
    """Return a step's raw training images (batch, channels, height, width), changed in order.

    Drawn from raw bits of PCG64, for numpy promises those to stay the same in every version.
    """
    for i, augmentation in enumerate(augmentations):
        bits = np.random.PCG64([seed, _STREAM, step, i])
        words = bits.random_raw(augmentation.draws * len(images))
        images = augmentation.apply(images, words.reshape(augmentation.draws, len(images)))
    return images
