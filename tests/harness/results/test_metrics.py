"""The registry of metrics: every row is whole, and names nothing that another one names."""

from __future__ import annotations

import pytest

from harness.results.metric import EventField, Gate, Metric, Speed
from harness.results.metrics import BY_NAME, METRICS, RENAMED
from harness.results.tables import COLUMNS, LABELS


@pytest.mark.parametrize("field", ["name", "column", "title", "short"])
def test_no_two_rows_have_the_same(field: str) -> None:
    values = [getattr(metric, field) for metric in METRICS]
    assert len(set(values)) == len(values) and all(values)


def test_a_name_is_one_word() -> None:
    assert not [metric.name for metric in METRICS if set(metric.name) & set(" _/")]


def test_every_row_is_a_column_of_the_summary() -> None:
    assert (*LABELS, *(metric.column for metric in METRICS)) == COLUMNS


def test_what_a_row_refers_to_is_there() -> None:
    for metric in METRICS:
        assert metric.elsewhere is None or metric.elsewhere in BY_NAME
        assert set(metric.interval or ()) <= set(COLUMNS)
    assert set(RENAMED.values()) <= set(BY_NAME) and not set(RENAMED) & set(BY_NAME)


def test_a_metric_that_is_compared_says_what_is_better() -> None:
    compared = [one for one in METRICS if one.gate or one.history or one.bisect or one.compare]
    assert not [metric.name for metric in compared if metric.better is None]


def test_a_number_of_an_event_may_be_less_another() -> None:
    field = EventField("memory", "peak_rss", less="import_rss")
    assert field.read({"peak_rss": 30, "import_rss": 10}) == 20
    assert field.read({"peak_rss": 30}) is None and field.read({"import_rss": 10}) is None
    assert EventField("memory", "peak_rss").read({"peak_rss": 0}) == 0


@pytest.mark.parametrize(
    ("unit", "better", "words", "shown", "scale"),
    [
        ("samples/s", "higher", ("faster", "slower"), "samples/s", 1),
        ("ms", "lower", ("slower", "faster"), "ms", 1),
        ("bytes", "lower", ("more", "less"), "MiB", 2**20),
        ("", "higher", ("higher", "lower"), "a", 1),
    ],
)
def test_words_and_scale_follow_from_the_unit(
    unit: str, better: str, words: tuple[str, str], shown: str, scale: int
) -> None:
    metric = Metric("a", "a", "a", "a", "", unit=unit, better=better)  # type: ignore[arg-type]
    assert (metric.words, metric.shown_unit, metric.scale) == (words, shown, scale)


def test_the_unit_in_a_check_is_the_columns_unless_the_rule_has_one() -> None:
    plain = Metric("a", "a", "a", "a", "", unit="ms", gate=Gate())
    other = Metric("a", "a", "a", "a", "", unit="ms", gate=Gate(kind="single", unit="s"))
    assert (plain.gate_unit, other.gate_unit) == ("ms", "s")


def test_only_a_speed_has_an_interval() -> None:
    speed = Metric("a", "train_samples_per_s", "a", "a", "", source=Speed("train"))
    bound = Metric("a", "train_low", "a", "a", "", source=Speed("train", "low"))
    assert speed.interval == ("train_low", "train_high") and bound.interval is None
