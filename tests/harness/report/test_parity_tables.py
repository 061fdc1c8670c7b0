"""The parity check as tables: a row a cell, and the tensors of what is not equivalent or undecided."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.report import parity_tables
from harness.results import store
from harness.verdicts import BEFORE, EQUIVALENT, NOT_EQUIVALENT, REPLAYED, UNDECIDED
from tests.parity_event import TENSOR, parity_event
from tests.runs import MadeUpRun

LEFT, RIGHT = "toy/left/fast/cpu/float32", "toy/right/slow/cuda:1/float32"


def record(folder: Path, *events: tuple[str, dict[str, Any]]) -> store.Record:
    run = MadeUpRun(folder, {"cells": [LEFT, RIGHT]})
    for cell, event in events:
        run("parity", cell, **event)
    return run.read()


def test_a_cell_has_one_row_with_its_replayed_slices_and_the_worst_share_of_all(
    tmp_path: Path,
) -> None:
    replayed = {"when": REPLAYED, "kind": "train", "launch": 1, "round": 1, "seconds": 0.3}
    made = record(
        tmp_path,
        (LEFT, parity_event(when=BEFORE)),
        (RIGHT, parity_event(NOT_EQUIVALENT, worst_share=float("inf"))),
        (LEFT, parity_event(**replayed)),
        (LEFT, parity_event(**replayed, worst_share=0.7, worst_tensor="logits at step 31")),
    )
    assert list(parity_tables.rows(made)) == [
        ("toy", "left fast", "equivalent", "logits at step 31", "0.7", "2", "1.0"),
        ("toy", "right slow cuda:1", "not equivalent", TENSOR, "not finite", "0", "0.4"),
    ]


def test_a_replayed_slice_that_is_not_equivalent_is_told_with_its_hint(tmp_path: Path) -> None:
    wrong = parity_event(NOT_EQUIVALENT, when=REPLAYED, hint="a scaled loss", kind="train")
    made = record(tmp_path, (LEFT, parity_event(UNDECIDED)), (LEFT, wrong), (RIGHT, parity_event()))
    ((tone, words, tensors),) = parity_tables.unsettled(made)
    assert (tone, words) == ("bad", f"{LEFT}: {wrong['sentence']}; a scaled loss")
    assert [row[0] for row in tensors] == ["gradient of dense1.bias", "gradient of conv1.weight"]


@pytest.mark.parametrize(
    ("sizes", "texts"),
    [
        ({}, ("0.012", "0.12", "0.012", "0.12")),
        ({"error": None}, ("not finite", "0.12", "0.012", "0.12")),
        (
            {"effect": 0.0, "largest_effect": None},
            ("0.024 (absolute)", "0.24 (absolute)", "0.024 (absolute)", "0.24 (absolute)"),
        ),
    ],
)
def test_sizes_are_parts_of_the_effect_where_there_is_one(
    sizes: dict[str, Any], texts: tuple[str, ...]
) -> None:
    norms = {"error": 0.024, "bound": 0.24, "effect": 2.0}
    largest = {"largest": 0.024, "largest_bound": 0.24, "largest_effect": 2.0}
    check = {"tensor": "w", "when": "after step 1", "share": 0.1, **norms, **largest}
    event = parity_event(checks=[{**check, **sizes}])
    assert parity_tables.tensors(event) == [("w", "after step 1", *texts)]


@pytest.mark.parametrize(
    ("verdicts", "tone", "words"),
    [
        (
            [EQUIVALENT],
            "good",
            "1 cell equivalent to the reference; the error nearest its bound is 0.50",
        ),
        (
            [EQUIVALENT, UNDECIDED],
            "warn",
            "1 cell equivalent to the reference, 1 undecided; the error",
        ),
        ([UNDECIDED], "warn", "0 cells equivalent to the reference, 1 undecided"),
        (
            [UNDECIDED, NOT_EQUIVALENT, EQUIVALENT, "not checked"],
            "bad",
            "1 cell equivalent to the reference, 1 not equivalent, 1 undecided; the error nearest",
        ),
    ],
)
def test_the_check_of_all_cells_is_one_sentence(verdicts: list[str], tone: str, words: str) -> None:
    cells = pd.DataFrame({"parity": verdicts})
    told = parity_tables.summary(cells.assign(label="left", parity_share=0.5, parity_worst="w"))
    assert told and told[0] == tone and told[1].startswith(f"parity check: {words}")


def test_where_nothing_was_checked_nothing_is_said() -> None:
    assert parity_tables.summary(pd.DataFrame({"parity": ["not checked"]})) is None
