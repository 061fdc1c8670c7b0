"""What a report claims in words."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

from harness.report import headlines
from harness.report.groups import Group, groups, load
from harness.results import store
from tests.harness.report.made_up import ReportRun

PLACE = "cpu/float32"


def group(**more: Any) -> Group:
    """Three made-up cells, the first the fastest by its median."""
    cells = pd.DataFrame(
        {
            "id": range(3),
            "run": 0,
            "cell": [f"w/{name}/m/{PLACE}" for name in "abc"],
            "framework": ["a", "b", "c"],
            "name": ["a m", "b m", "c m"],
            "label": ["a m", "b m", "c m"],
            "status": "ok",
            "reference": False,
            "parity": "equivalent",
            "train_samples_per_s": [300.0, 200.0, 100.0],
            "predict_samples_per_s": [30.0, 20.0, float("nan")],
            "accuracy": [0.972, 0.972, 0.9],
            "examples": 1000.0,
            "peak_memory_bytes": [1.4e9, 1.0e9, 1.0e9],
        }
    )
    for key, value in more.items():
        cells[key] = value
    rows = {row["id"]: row for row in cells.to_dict("records")}
    return Group("g", "w", "x", "w", "cpu", "float32", {}, False, cells, pairs(), rows, frozenset())


def pairs(ab: str = "faster") -> pd.DataFrame:
    told = [
        ("a", "b", 1.9, 1.8, 2.0, ab),
        ("a", "c", 3.0, 2.9, 3.1, "faster"),
        ("c", "b", 0.5, 0.4, 0.6, "slower"),
    ]
    rows = [
        {
            "run": 0,
            "kind": "train",
            "a": f"w/{a}/m/{PLACE}",
            "b": f"w/{b}/m/{PLACE}",
            "ratio": ratio,
            "low": low,
            "high": high,
            "verdict": verdict,
            "launches": 5,
        }
        for a, b, ratio, low, high, verdict in told
    ]
    return pd.DataFrame(rows)


def said(one: Group) -> str:
    return headlines.claims(one)[0].text


def with_pairs(one: Group, told: pd.DataFrame) -> Group:
    return Group(**{**vars(one), "pairs": told})


def test_the_fastest_is_told_with_its_interval_and_its_price() -> None:
    (claim,) = headlines.claims(group())  # inference was not compared: nothing is said of it
    assert claim.text == (
        "a m is fastest on w: 1.90x (1.80 to 2.00) b m's throughput, same accuracy, 1.40x the memory"
    )
    assert claim.tone == "good"


def test_a_tie_is_said_as_a_tie() -> None:
    (claim,) = headlines.claims(with_pairs(group(), pairs("inconclusive")))
    assert claim.text.startswith(
        "a m and b m are fastest on w (order inconclusive); a m has 3.00x (2.90 to 3.10) c m"
    )
    assert claim.tone == "note"


def test_without_comparisons_nothing_is_claimed() -> None:
    words = "On w nothing is claimed or ranked: at least 2 launches are needed"
    assert said(with_pairs(group(), pairs().head(0))) == words
    one_launch = pairs().assign(low=float("nan"), high=float("nan"), verdict="inconclusive")
    assert said(with_pairs(group(), one_launch)) == words
    some = said(with_pairs(group(), pairs().head(1)))
    assert some == "On w nothing is claimed: some cells were not compared in several launches"


def test_a_lone_cell_and_none() -> None:
    assert said(group(status=["ok", "failed", "failed"])) == "Only a m can be ranked on w"
    assert said(group(status="failed")) == "On w no cell can be ranked"
    assert said(group(train_samples_per_s=float("nan"))) == "On w no cell was timed"


def test_who_leads_is_the_pairs_to_say() -> None:
    one = group(train_samples_per_s=[300.0, 400.0, 100.0])  # b met a better hour
    assert headlines.leader(one, one.cells, "train")["framework"] == "a"  # type: ignore[index]
    assert headlines.leader(one, one.cells, "predict")["framework"] == "a"  # type: ignore[index]
    none = with_pairs(group(train_samples_per_s=[300.0, 400.0, 100.0]), pairs().head(0))
    assert headlines.leader(none, none.cells, "train")["framework"] == "b"  # type: ignore[index]


def test_speed_without_the_parity_check_is_no_clean_win() -> None:
    words = "Numerical equivalence was not checked, but a m is fastest"
    assert said(group(parity="not checked")).startswith(words)


@pytest.mark.parametrize(
    ("mine", "words"),
    [
        (0.980, "accuracy alike within chance (0.980 and 0.972)"),
        (0.5, "accuracy 0.500 against 0.972"),
    ],
)
def test_accuracies_are_alike_only_within_chance(mine: float, words: str) -> None:
    assert words in said(group(accuracy=[mine, 0.972, 0.9]))


def test_a_ratio_turns_round() -> None:
    told = group().ratios
    one = told[0, "train", f"w/b/m/{PLACE}", f"w/c/m/{PLACE}"]
    assert (one.ratio, one.verdict) == (2.0, "faster")
    assert (one.low, one.high) == (pytest.approx(1 / 0.6), 2.5)


def test_runs_share_a_ranking_only_with_the_same_spec_data_and_arithmetic(
    tmp_path: Path, fake: ModuleType
) -> None:
    one, two = fake.good_run(tmp_path), fake.good_run(tmp_path)
    made_up = fake.good_run(tmp_path, data="synthetic")
    other = ReportRun(tmp_path, fake.manifest(fake.plan("cnn-digits")))
    other.begin()
    other.run.update_manifest(workloads={"cnn-digits": fake.spec(target=0.5)})
    for cell in fake.plan("cnn-digits"):
        other.whole_cell(cell)
    other.end()
    records = [store.read(folder) for folder in (one, two, made_up, other.folder)]
    found = groups(load(records))
    assert [set(group.cells["run"]) for group in found] == [{0, 1}, {2}, {3}]
    place = "cnn-digits cpu float32"
    assert [group.title for group in found] == [
        f"{place} (computation {found[0].ground})",
        f"{place} synthetic data",
        f"{place} (computation {found[2].ground})",
    ]


def test_claims_stay_within_a_run(tmp_path: Path, fake: ModuleType) -> None:
    records = [store.read(fake.good_run(tmp_path)) for _ in range(2)]
    (both,) = groups(load(records))
    train = [claim for claim in headlines.claims(both) if claim.kind == "train"]
    assert [claim.run for claim in train] == [0, 1]
    assert all("pytorch eager is fastest" in claim.text for claim in train)
