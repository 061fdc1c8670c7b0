"""Text as tokens: what each character becomes, and that labels are what comes next."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workloads import datasets
from workloads.datasets import DatasetCorrupt, DatasetMissing, array_cache, text


def test_every_character_of_the_vocabulary_has_a_token_of_its_own() -> None:
    numbers = text.tokens(text.CHARACTERS)
    assert numbers.tolist() == list(range(1, text.DATASET.tokens))
    assert len(text.DATASET.classes) == text.DATASET.tokens == 64
    assert text.DATASET.classes[numbers[0]] == "newline"


def test_case_is_folded_and_what_is_rare_is_one_token() -> None:
    assert text.tokens("aA").tolist() == text.tokens("aa").tolist()
    assert text.tokens("é§").tolist() == [0, 0]


@given(st.text(alphabet=text.CHARACTERS, min_size=1, max_size=20))
@settings(max_examples=3, deadline=None)
def test_a_label_is_the_character_that_comes_next(piece: str) -> None:
    size = (text.TRAIN + text.TEST) * text.STEPS + 1
    whole = (piece * (size // len(piece) + 1))[:size]
    splits = text.windows(whole)
    inputs = np.concatenate([splits.train_inputs, splits.test_inputs]).ravel()
    labels = np.concatenate([splits.train_labels, splits.test_labels]).ravel()
    assert np.array_equal(inputs, text.tokens(whole)[:-1])
    assert np.array_equal(labels, text.tokens(whole)[1:])


def test_a_short_text_is_refused() -> None:
    with pytest.raises(DatasetMissing, match="has 3 characters, 368,641 are needed"):
        text.windows("abc")


def test_it_is_prepared_of_this_python(tmp_path: Path) -> None:
    arrays = datasets.prepare("text", tmp_path, seed=0)
    inputs, labels = arrays.open("test_inputs"), arrays.open("test_labels")
    assert inputs.shape == labels.shape == (text.TEST, text.STEPS)
    assert np.array_equal(inputs[:, 1:], labels[:, :-1])


def test_stand_ins_are_tokens_with_a_label_a_step(tmp_path: Path) -> None:
    arrays = datasets.prepare("text", tmp_path, seed=0, synthetic=True)
    assert arrays.open("train_labels").shape == (text.TRAIN, text.STEPS)
    assert set(np.unique(arrays.open("train_inputs"))) == set(range(text.DATASET.tokens))


def test_a_label_a_step_may_be_missing_and_a_token_may_not(tmp_path: Path) -> None:
    splits = datasets.describe("text").origin.load()  # type: ignore[union-attr]
    splits.test_labels[0, 0] = -1
    label = array_cache.Label("made up")
    assert array_cache.put(tmp_path / "padded", text.DATASET, label, splits)
    splits.test_labels[0, 0] = -2
    with pytest.raises(DatasetCorrupt, match=r"test_labels leaves -1\.\.63"):
        array_cache.put(tmp_path / "labels", text.DATASET, label, splits)
    splits.test_labels[0, 0], splits.train_inputs[0, 0] = 0, 64
    with pytest.raises(DatasetCorrupt, match=r"train_inputs leaves 0\.\.63"):
        array_cache.put(tmp_path / "tokens", text.DATASET, label, splits)
