"""A check's findings as words: units, signs, order, tones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.gate import findings
from harness.gate.findings import Finding, Verdict
from harness.report.gate import wording
from harness.results import metrics
from harness.results.metric import Metric

CELL = "mlp-digits/pytorch/eager/cpu/float32"


def told(
    metric: Metric = metrics.THROUGHPUT,
    verdict: str = findings.SAME,
    *numbers: float | None,
    cell: str = CELL,
    note: str = "",
) -> Finding:
    return Finding(cell, cell, metric, verdict, *numbers, note=note)


@pytest.mark.parametrize(
    ("metric", "before", "after", "words"),
    [
        (metrics.THROUGHPUT, 9120.4, 8655.0, "9,120 → 8,655 samples/s"),
        (metrics.INFERENCE, 4.5678, 5.0, "4.57 → 5 samples/s"),
        (metrics.LATENCY, 0.00123, 0.0456, "1.23 → 45.6 ms"),
        (metrics.FIRST_STEP, 0.9, 1.234, "0.900 → 1.23 s"),
        (metrics.MEMORY, 498 * 2**20, 1498 * 2**20, "498 → 1,498 MiB"),
        (metrics.ACCURACY, 0.97222, 0.9611, "0.9722 → 0.9611"),
        (metrics.THROUGHPUT, 9120.0, None, "9,120 samples/s → -"),
        (metrics.ACCURACY, None, 0.5, "- → 0.5000"),
        (metrics.MEMORY, None, None, "-"),
    ],
)
def test_values_have_the_unit_that_people_read(
    metric: Metric, before: float | None, after: float | None, words: str
) -> None:
    assert wording.values(told(metric, findings.SAME, before, after)) == words


def test_a_change_has_its_sign_its_interval_and_of_accuracy_points() -> None:
    speed = told(metrics.THROUGHPUT, findings.REGRESSED, 1, 1, -0.051, -0.06, -0.042, 0.03)
    assert wording.change(speed) == "-5.1% (-6.0 to -4.2)"
    assert wording.within(speed) == "±3%"
    score = told(metrics.ACCURACY, findings.SAME, 1, 1, -0.004, -0.009, 0.001, 0.015)
    assert wording.change(score) == "-0.4 pt (-0.9 to +0.1)"
    assert wording.within(score) == "±1.5 pt"
    assert wording.change(told(metrics.MEMORY, findings.SAME, 1, 1, -0.0004)) == "+0.0%"
    assert wording.change(told()) == wording.within(told()) == "-"


def test_the_order_is_by_urgency_and_of_regressions_by_how_bad_they_are() -> None:
    kinds = [told(verdict=kind) for kind in reversed(wording.ORDER[1:])]
    slight = told(metrics.THROUGHPUT, findings.REGRESSED, 1, 1, -0.04, None, None, 0.03)
    grave = told(metrics.LATENCY, findings.REGRESSED, 1, 1, 0.4, None, None, 0.06)
    unknown = told(metrics.PARITY, findings.REGRESSED)
    ordered = wording.ordered(Verdict([*kinds, slight, grave, unknown], "x"))
    assert ordered[:3] == [unknown, grave, slight]
    assert [one.verdict for one in ordered[3:]] == list(wording.ORDER[1:])


@pytest.mark.parametrize(
    ("kinds", "advisory", "tone"),
    [
        ([findings.SAME], "", "good"),
        ([findings.SAME, findings.INCONCLUSIVE], "", "good"),
        ([findings.INCONCLUSIVE], "", "warn"),
        ([findings.SAME, findings.REGRESSED], "", "bad"),
        ([findings.SAME, findings.REGRESSED], "old", "warn"),
        ([findings.SAME, findings.MISSING], "old", "bad"),
        ([findings.SAME, findings.NOT_MEASURABLE], "", "warn"),
        ([], "", "warn"),
    ],
)
def test_the_whole_is_good_only_where_something_was_decided(
    kinds: list[str], advisory: str, tone: str
) -> None:
    made = [told(verdict=kind) for kind in kinds]
    assert wording.overall(Verdict(made, "x", advisory)) == tone


def test_parity_alone_decides_nothing() -> None:
    made = [told(metrics.PARITY), told(verdict=findings.INCONCLUSIVE)]
    assert wording.overall(Verdict(made, "x")) == "warn"


def test_what_cells_share_is_said_once() -> None:
    cells = [f"mlp/{name}/cpu/float32" for name in ("pytorch/eager", "jax/jit")]
    shared, parts = wording.common(cells)
    assert shared == "mlp, cpu, float32"
    assert [wording.label(cell, parts) for cell in cells] == ["pytorch eager", "jax jit"]
    _, parts = wording.common([*cells, "/a/cnn.toml/jax/jit/cuda:1/float32"])
    assert (
        wording.label("/a/cnn.toml/jax/jit/cuda:1/float32", parts) == "/a/cnn.toml jax jit cuda:1"
    )


@given(st.lists(st.text(max_size=30), min_size=1, unique=True))
def test_any_cell_has_a_label_in_one_line(cells: list[str]) -> None:
    shared, parts = wording.common(cells)
    for text in (shared, *(wording.label(cell, parts) for cell in cells)):
        assert "\n" not in text and "\x1b" not in text


def test_a_note_is_told_once_with_all_that_it_is_true_of() -> None:
    def missing(metric: Metric, framework: str) -> Finding:
        cell = f"mlp/{framework}/eager/cpu/float32"
        return told(metric, findings.MISSING, cell=cell, note="killed")

    own = [missing(metrics.THROUGHPUT, "a"), missing(metrics.MEMORY, "a")]
    parts = ("framework", "mode")
    assert wording.noted(own, parts) == [("missing", "a eager throughput and memory: killed")]
    many = [missing(metrics.MEMORY, name) for name in "abcde"]
    assert wording.noted(many, parts) == [("missing", "a eager memory, and 4 more cells: killed")]


def test_a_sentence_has_all_that_is_known() -> None:
    known = Finding(
        CELL,
        CELL,
        metrics.THROUGHPUT,
        findings.REGRESSED,
        100.0,
        95.0,
        -0.05,
        -0.06,
        -0.04,
        0.03,
        5,
        "why\nnot",
    )
    assert wording.sentence(known) == (
        "regressed; -5.0% (-6.0 to -4.0); threshold ±3%; 100 → 95 samples/s; 5 launches; why not"
    )
    assert wording.sentence(told(metrics.PARITY)) == "same"


def test_what_makes_it_less_sure_is_said_in_words() -> None:
    said = wording.caveats(Verdict([], "x", "another kernel", ("the processor", "the governor")))
    assert said == [
        "advisory, a regression does not block: another kernel",
        "not the baseline's machine: the processor and the governor",
    ]
    assert wording.caveats(Verdict([], "x")) == []
