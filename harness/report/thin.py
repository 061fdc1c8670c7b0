"""Which of a run's many samples are drawn: evenly spaced ones, so that a page stays light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness import summaries

MOST = 40_000
"""Samples drawn in a whole report; 8 bytes or so each."""

LEAST, USUAL = 24, 400
"""Samples drawn of a cell and kind: at least, where it has them; and at most."""


@dataclass(frozen=True)
class Strips:
    """The samples to draw, and how many there were, by run, cell and kind.

    A lane has a row a sample: `place` (its turn within the lane), `deviation` (from the median of the
    counted, as a part of it), `noisy` and `warm_up`.
    """

    lanes: dict[tuple[int, str, str], pd.DataFrame]
    sizes: dict[tuple[int, str, str], int]


def strips(samples: pd.DataFrame) -> Strips:
    """Choose what is drawn; no Python object is made a sample."""
    samples = samples[samples["samples_per_s"].notna()]
    keys = ["run", "cell", "kind"]
    lane = samples.groupby(keys, sort=False)
    number, place = lane.ngroup(), lane.cumcount().to_numpy()
    size = np.bincount(number, minlength=1)[number]
    most = int(np.clip(MOST // max(1, lane.ngroups), LEAST, USUAL))
    step = np.minimum(1.0, most / size)
    keep = np.floor((place + 1) * step + 1e-9) > np.floor(place * step + 1e-9)
    warm_up = (samples["round"] == summaries.WARM_UP).to_numpy()
    rate = samples["samples_per_s"]
    median = rate.where(~warm_up).groupby(number).median().reindex(number).to_numpy()
    table = samples.loc[keep, ["run", "cell", "kind"]].assign(
        place=place[keep],
        deviation=(rate.to_numpy()[keep] / median[keep] - 1),
        noisy=(samples["noise"].to_numpy()[keep] != ""),
        warm_up=warm_up[keep],
    )
    return Strips(dict(list(table.groupby(keys, sort=False))), dict(lane.size().items()))  # type: ignore[arg-type]
