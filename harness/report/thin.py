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
    """The samples to draw; `sizes` has how many there were of a run, cell and kind.

    `table` has a row a sample: run, cell, kind, `place` (its turn within cell and kind), `deviation`
    (from the median of the counted, as a part of it), `noisy` and `warm_up`.
    """

    table: pd.DataFrame
    sizes: pd.Series

    def of(self, cells: pd.DataFrame, kind: str) -> tuple[pd.DataFrame, int]:
        """Those of some cells and a kind, and how many samples these have in all."""
        wanted = pd.MultiIndex.from_frame(cells[["run", "cell"]].assign(kind=kind))
        mine = pd.MultiIndex.from_frame(self.table[["run", "cell", "kind"]]).isin(wanted)
        return self.table[mine], int(self.sizes[self.sizes.index.isin(wanted)].sum())


def strips(samples: pd.DataFrame) -> Strips:
    """Choose what is drawn; no Python object is made a sample."""
    samples = samples[samples["samples_per_s"].notna()]
    keys = [samples["run"], samples["cell"], samples["kind"]]
    lane = samples.groupby(keys, sort=False, observed=True)
    number, place = lane.ngroup(), lane.cumcount().to_numpy()
    size = np.bincount(number, minlength=1)[number]
    most = int(np.clip(MOST // max(1, lane.ngroups), LEAST, USUAL))
    step = np.minimum(1.0, most / size)
    keep = np.floor((place + 1) * step + 1e-9) > np.floor(place * step + 1e-9)
    warm_up = (samples["round"] == summaries.WARM_UP).to_numpy()
    rate = samples["samples_per_s"]
    median = rate.where(~warm_up).groupby(number).median().reindex(number).to_numpy()
    table = samples.loc[keep, ["run", "cell", "kind", "round", "launch"]].assign(
        place=place[keep],
        deviation=(rate.to_numpy()[keep] / median[keep] - 1),
        noisy=(samples["noise"].to_numpy()[keep] != ""),
        warm_up=warm_up[keep],
    )
    return Strips(table, lane.size())
