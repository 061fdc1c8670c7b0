"""Scores of predictions."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.results.classification import perplexity, score

PAIRS = st.integers(2, 5).flatmap(
    lambda classes: st.tuples(
        st.just(classes),
        st.lists(st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1)), min_size=1),
    )
)


def test_a_case_by_hand() -> None:
    told = score([0, 0, 1, 1], [0, 1, 1, 1], 2)
    assert told["accuracy"] == 0.75
    assert told["precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert told["recall"] == pytest.approx((1 / 2 + 1) / 2)
    assert told["f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert told["confusion"] == [[1, 1], [0, 2]]
    assert [one["support"] for one in told["per_class"]] == [2, 2]


def test_a_class_that_nobody_predicts_counts_as_zero() -> None:
    told = score([0, 1, 2], [0, 0, 0], 3)
    assert told["precision"] == pytest.approx(1 / 9)
    assert told["per_class"][2] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}


@given(PAIRS)
def test_the_confusion_matrix_tells_the_rest(case: tuple[int, list[tuple[int, int]]]) -> None:
    classes, pairs = case
    labels, predictions = np.array(pairs).T
    told = score(labels, predictions, classes)
    confusion = np.array(told["confusion"])
    assert confusion.shape == (classes, classes) and confusion.sum() == len(pairs)
    assert told["accuracy"] == pytest.approx(np.trace(confusion) / len(pairs))
    right = np.diag(confusion)
    assert told["recall"] == pytest.approx(np.mean(right / np.maximum(confusion.sum(1), 1)))
    assert told["precision"] == pytest.approx(np.mean(right / np.maximum(confusion.sum(0), 1)))
    assert len(told["per_class"]) == classes
    json.dumps(told, allow_nan=False)


@pytest.mark.parametrize(
    ("labels", "predictions", "said"),
    [
        ([], [], "labels"),
        ([0, 1], [0], "1 predictions for 2 labels"),
        ([0, 3], [0, 1], "labels: from 0 to 3, not in 0 to 2"),
        ([0, 1], [0, -1], "predictions: from -1 to 0"),
        ([0, 1], [[0.1, 0.9], [0.2, 0.8]], "predictions: float64"),
    ],
)
def test_what_cannot_be_scored_is_refused(labels: list, predictions: list, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        score(labels, predictions, 3)


def test_perplexity_is_the_number_of_classes_that_one_is_as_unsure_among() -> None:
    assert perplexity(math.log(7)) == pytest.approx(7)
    assert perplexity(0.0) == 1
    assert perplexity(1e6) == math.inf
