"""Which of a run's many samples are drawn: evenly spaced ones, so that a page stays light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.results import tables

MOST = 30_000
"""Samples drawn in a whole report; 8 bytes or so each."""

LEAST, USUAL = 24, 400
"""Samples drawn of a cell and kind: at least, where it has them; and at most."""


@dataclass(frozen=True)
class Points:
    """The slices to draw of one cell and kind, in the order in which they were timed.

    `place` is a slice's place in that order, `deviation` how far it is from the median, as a part of it.
    """

    place: NDArray[np.int64]
    deviation: NDArray[np.float64]
    noisy: NDArray[np.bool_]
    warm_up: NDArray[np.bool_]


@dataclass(frozen=True)
class Downsampled:
    """The slices to draw, and how many there were, by run, cell and kind."""

    points: dict[tuple[int, str, str], Points]
    sizes: dict[tuple[int, str, str], int]


def downsample(samples: pd.DataFrame) -> Downsampled:
    """Choose evenly spaced slices; no Python object is made for each."""
    samples = samples[samples["samples_per_s"].notna()]
    keys = ["run", "cell", "kind"]
    groups = samples.groupby(keys, sort=False, observed=True)
    number, place = groups.ngroup(), groups.cumcount().to_numpy()
    size = np.bincount(number, minlength=1)[number]
    most = int(np.clip(MOST // max(1, groups.ngroups), LEAST, USUAL))
    step = np.minimum(1.0, most / size)
    keep = np.floor((place + 1) * step + 1e-9) > np.floor(place * step + 1e-9)
    warm_up = (samples["round"] == tables.WARM_UP).to_numpy()
    rate = samples["samples_per_s"]
    median = rate.where(~warm_up).groupby(number).median().reindex(number).to_numpy()
    columns = (
        place[keep],
        rate.to_numpy()[keep] / median[keep] - 1,
        samples["noise"].to_numpy()[keep] != "",
        warm_up[keep],
    )
    rows = samples.loc[keep, keys].groupby(keys, sort=False, observed=True).indices
    points = {
        key: Points(*(column[positions] for column in columns)) for key, positions in rows.items()
    }
    return Downsampled(points, dict(groups.size().items()))  # type: ignore[arg-type]
