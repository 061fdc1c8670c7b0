"""The [data] of a workload: which examples, in what portions, and how they are changed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workloads import datasets
from workloads.augmentations import AUGMENTATIONS, Augmentation
from workloads.datasets import user_data
from workloads.datasets.user_data import UserData
from workloads.reading import SpecError, later, nearest, number, one_of, read, read_kind

LAST = ("drop", "keep", "wrap")


@dataclass(frozen=True)
class Data:
    """Which examples, in what portions. `mean` and `std` hold one number, or one a channel.

    `last` is what becomes of an epoch's last batch where it is short: it is left out (drop), a step on
    fewer examples (keep), or filled up with the first examples of its epoch (wrap). Of data of the
    user's own `dataset` is the file's name, and `user_data` what is in it.
    """

    dataset: str
    batch: int = field(metadata=number(low=1))
    epochs: int = field(metadata=number(low=1))
    seed: int = field(default=0, metadata=number(low=0))
    scale: float = field(default=1.0, metadata=number(above=0))
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = field(default=(1.0,), metadata=number(above=0))
    augment: tuple[Augmentation, ...] = later(())
    """What is changed in training images, in order."""
    user_data: UserData | None = field(default=None, metadata={"later": True})
    last: str = later("drop", one_of(*LAST))

    def rest(self, examples: int) -> int:
        """Return of how many examples an epoch's last batch is where it is short, else 0."""
        return examples % self.batch

    def steps(self, examples: int) -> int:
        """Return how many batches an epoch has."""
        return examples // self.batch + (self.last != "drop" and self.rest(examples) > 0)


_KEYS = tuple(key.name for key in dataclasses.fields(Data))


def read_data(
    table: dict[str, Any], where: str, folder: Path
) -> tuple[Data, user_data.Source | None]:
    """Read [data]; with it, where the user's own files are, if it names some that are here."""
    if unknown := [key for key in table if key not in (*_KEYS, *user_data.KEYS)]:
        allowed = sorted({*_KEYS, *user_data.KEYS} - {"user_data"})
        raise SpecError(
            f'{where}: unknown key "{unknown[0]}"{nearest(str(unknown[0]), allowed)}; allowed:'
            f" {', '.join(allowed)}"
        )
    if not {"dataset", "file"} & {*table}:
        raise SpecError(f'{where}: say which data: dataset = "digits", or file = "..."')
    if (augment := table.get("augment")) is not None:
        if not isinstance(augment, list | tuple):
            raise SpecError(f'{where}: augment: expected a list, as [{{ kind = "flip" }}]')
        records = [
            read_kind(AUGMENTATIONS, entry, f"{where}: augment[{i}]")
            for i, entry in enumerate(augment)
        ]
        table = {**table, "augment": records}
    try:
        table, files = user_data.resolved(table, where, folder)
    except datasets.DatasetError as error:
        raise SpecError(f"{where}: {error}") from error
    data = read(Data, table, where)
    if data.user_data is None and data.dataset not in datasets.names():
        raise SpecError(
            f'{where}: dataset = "{data.dataset}": not known'
            f"{nearest(data.dataset, datasets.names())}; allowed: {', '.join(datasets.names())}"
        )
    return data, files
