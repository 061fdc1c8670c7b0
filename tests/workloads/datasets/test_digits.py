from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

from workloads import datasets
from workloads.datasets import DatasetMissing, digits

sklearn_datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")

PINNED = ["ec8fcdd1377b9846", "4f5a2a9077ddf7ef", "71eaefe309d5f2ec", "7628bffc0f9113c9"]


def test_every_digit_is_there_once() -> None:
    loaded = digits.load()
    images = np.concatenate([loaded.train_inputs, loaded.test_inputs]).reshape(-1, 64)
    assert images.dtype == np.uint8 and images.min() == 0 and images.max() == 16
    original = sklearn_datasets.load_digits().data
    assert sorted(map(tuple, images.tolist())) == sorted(map(tuple, original.tolist()))


def test_the_split_is_even_over_the_classes() -> None:
    loaded = digits.load()
    train, test = np.bincount(loaded.train_labels), np.bincount(loaded.test_labels)
    assert (train.sum(), test.sum()) == (1437, 360)
    assert np.all(np.abs(test - (train + test) / 5) < 1)


def test_the_split_is_the_same_everywhere() -> None:
    """The bytes themselves, without numpy's file header, whatever numpy and scikit-learn."""
    hashes = [hashlib.sha256(array.tobytes()).hexdigest()[:16] for array in digits.load()]
    assert hashes == PINNED


def test_no_seed_matters(tmp_path: Path) -> None:
    first = datasets.prepare("digits", tmp_path, seed=0)
    assert first == datasets.prepare("digits", tmp_path, seed=1)
    assert first.source == "embedded" and first.shape == (1, 8, 8)


def test_scikit_learn_is_asked_once_and_missed_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets.prepare("digits", tmp_path / "here", seed=0)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    datasets.prepare("digits", tmp_path / "here", seed=0)
    with pytest.raises(DatasetMissing, match="pip install scikit-learn"):
        datasets.prepare("digits", tmp_path / "elsewhere", seed=0)
