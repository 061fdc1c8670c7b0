"""Files of a user's own, and workloads that name them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workloads import datasets, spec
from workloads.reading import SpecError
from workloads.spec import Workload

NET = """
title = "A net on data of one's own"
loss = "cross-entropy"
layers = [{{ kind = "flatten" }}, {{ kind = "dense", units = {units} }}]
[data]
{data}
batch = {batch}
epochs = 1
[init]
kind = "he-uniform"
[optimiser]
kind = "sgd"
lr = 0.1
"""


class Files:
    """A folder to put files into, and workloads that read them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache"

    def load(self, data: str, units: int = 2, batch: int = 2) -> Workload:
        """Read a workload whose [data] is `data`; its other keys are as plain as can be."""
        path = self.folder / "net.toml"
        path.write_text(NET.format(data=data, units=units, batch=batch), encoding="utf-8")
        return spec.load(str(path))

    def arrays(self, data: str, units: int = 2, batch: int = 2) -> dict[str, np.ndarray]:
        """Return the prepared arrays of such a workload."""
        workload = self.load(data, units, batch)
        prepared = datasets.prepare(workload.dataset, self.cache, seed=0)
        return {part: np.asarray(prepared.open(part)) for part in datasets.PARTS}

    def refusal(self, data: str, units: int = 2, batch: int = 2) -> str:
        """Return how such a workload is refused: one line, whenever that is found out."""
        try:
            workload = self.load(data, units, batch)
        except SpecError as error:
            text = str(error)
            assert text.startswith(f"{self.folder / 'net.toml'}: "), text
            text = text.removeprefix(f"{self.folder / 'net.toml'}: ")
        else:
            with pytest.raises(datasets.DatasetError) as caught:
                datasets.prepare(workload.dataset, self.cache, seed=0)
            text = str(caught.value)
        assert "\n" not in text and text.isprintable()
        assert str(self.folder) not in text  # it may come to stand in a report
        return text

    def npz(self, name: str = "my.npz", **arrays: Any) -> Path:
        np.savez(self.folder / name, **arrays)
        return self.folder / name


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., Path]:
    """Write an image below the test's folder: of one colour, in any mode of Pillow's."""
    from PIL import Image

    def write(
        name: str, colour: Any = 0, size: tuple[int, int] = (4, 3), mode: str = "RGB"
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, (size[1], size[0]), colour).save(path)
        return path

    return write
