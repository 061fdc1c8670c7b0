"""The first images of a test set: what a journal is told of them."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from harness.results import preview
from workloads.datasets import Arrays


def arrays(folder: Path, inputs: np.ndarray, source: str = "embedded") -> Arrays:
    np.save(folder / "test_inputs.npy", inputs)
    np.save(folder / "test_labels.npy", np.arange(len(inputs)) % 10)
    return Arrays("any", folder, source, ("a", "b"), inputs.shape[1:])


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(("size", "kept"), [(8, 24), (100, 6), (258, 1)])
def test_the_first_are_told_and_of_large_ones_fewer(tmp_path: Path, size: int, kept: int) -> None:
    inputs = drawn(30, 3, size, size)
    told = preview.first(arrays(tmp_path, inputs), 16)
    assert told and (told["shape"], told["top"]) == ([kept, 3, size, size], 16)
    assert base64.b64decode(told["data"]) == inputs[:kept].tobytes()
    assert told["labels"] == [place % 10 for place in range(kept)]


def test_what_is_no_image_is_not_told(tmp_path: Path) -> None:
    odd = [drawn(5, 2), drawn(5, 2, 8, 8), drawn(1, 3, 300, 300), drawn(5, 1, 8, 8).astype(float)]
    assert [preview.first(arrays(tmp_path, one), 255) for one in odd] == [None] * 4
    made_up = arrays(tmp_path, drawn(5, 1, 8, 8), "synthetic, made from seed 0")
    assert preview.first(made_up, 255) is None
