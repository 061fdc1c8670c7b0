"""Notes on trainings to the target with several seeds: what means are over, and who missed it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from harness.report.timing_notes import Note
from harness.text import count


def notes(cells: pd.DataFrame, spec: Mapping[str, Any]) -> Iterator[Note]:
    """Yield what is to be said of one workload's `cells` (with `label`) that have seeds."""
    trained = cells.dropna(subset=["seeds"])
    if not len(trained):
        return
    most = int(trained["seeds"].max())
    yield (
        "note",
        f"steps and seconds to the target accuracy of {spec.get('target_accuracy')}: means over"
        f" {count(most, 'seed')}, each up to the first evaluation at the target; seconds are of training"
        " alone, in one launch, with compiling and scoring left out",
    )
    for cell in trained[trained["seeds_missed"] > 0].to_dict("records"):
        seeds, missed = int(cell["seeds"]), int(cell["seeds_missed"])
        sentence = f"{cell['label']}: {missed} of {count(seeds, 'seed')} missed the target"
        if missed < seeds:
            sentence += f"; its means are over the {seeds - missed} that reached it, and so too low"
        yield "warn", sentence
