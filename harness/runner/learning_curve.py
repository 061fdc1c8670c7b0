"""How a training went, in few numbers: the learning curve that the journal keeps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CURVE = 200
"""The points of a learning curve in the journal."""


def learning_curve(losses: NDArray, moments: Sequence[tuple[int, float]]) -> dict[str, list[float]]:
    """Return a training's mean losses over CURVE stretches of steps at most: how it went.

    `moments` are pairs of a step and the training seconds until then. `steps` and `seconds` are those
    of the ends of the stretches.
    """
    stretches = np.array_split(losses, min(CURVE, len(losses)))
    ends = np.cumsum([len(stretch) for stretch in stretches])
    at, seconds = zip(*moments, strict=True)
    return {
        "steps": ends.tolist(),
        "seconds": np.interp(ends, at, seconds).round(4).tolist(),
        "losses": [float(stretch.mean()) for stretch in stretches],
    }
