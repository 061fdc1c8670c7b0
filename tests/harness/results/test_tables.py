"""From a run's journal to its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.results import store, tables
from harness.verdicts import (
    EQUIVALENT,
    NOT_EQUIVALENT,
    REPLAYED,
    UNDECIDED,
    parity_verdict,
    undecided_reason,
)
from tests.parity_event import TENSOR, parity_event
from tests.runs import MadeUpRun

CELL = "toy/left/fast/cpu/float32"


def manifest(*cells: str, **more: Any) -> dict[str, Any]:
    return {"cells": list(cells), "options": {"data": "real"}, **more}


def timed(run: MadeUpRun, cell: str, rates: list[float], launch: int = 1, **more: Any) -> None:
    """One slice of each kind a rate."""
    for number, rate in enumerate(rates, start=1):
        for kind, factor in (("train", 1), ("predict", 2)):
            seconds = 100 / (rate * factor)
            told = {
                "launch": launch,
                "round": number,
                "kind": kind,
                "steps": 4,
                "samples": 100,
                "seconds": seconds,
                "cpu_seconds": 1.5 * seconds,
            }
            run("slice", cell, **(told | more))


def test_a_cell_is_summed_up_by_its_medians(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, manifest(CELL, workloads={"toy": {"target_accuracy": 0.9}}))
    run("framework-ready", framework="left", reference=True)
    run("opened", CELL, import_seconds=1.5)
    run("first-step", CELL, seconds=0.5, loss=2.0)
    run("trained", CELL, steps=40, seconds=3.0, losses=[2.0], final_loss=0.5)
    run("evaluated", CELL, accuracy=0.95, precision=0.94, recall=0.93, f1=0.92, examples=10)
    run("memory", CELL, peak_rss=2**20, import_rss=2**19, device_peak=None)
    run("warmed", CELL, launch=1, steady_from=3, seconds_a_step=[0.1])
    for batch, p99 in ((32, 0.008), (1, 0.004)):
        run("latency", CELL, batch=batch, calls=20, p50=0.001, p90=0.002, p99=p99)
    run("limits", CELL, rates={"float32 product": 1e9, "copy": 2e9})
    for launch in (1, 2, 3):
        timed(run, CELL, [29, 30, 31, 3000], launch, joules=50.0)
    run.done(CELL)
    record = run.read()
    (row,) = store.summary(record).to_dict("records")
    assert row["status"] == "ok" and row["reference"] and row["reached_target"]
    assert (row["framework"], row["dtype"], row["precision"]) == ("left", "float32", 0.94)
    got = [row[f"train_{word}"] for word in ("low", "samples_per_s", "high")]
    assert got == pytest.approx([30.5] * 3, rel=0.02)  # the wild slice moves it little
    assert row["predict_samples_per_s"] == pytest.approx(61, rel=0.02)
    assert (row["launches"], row["train_slices"], row["contaminated"]) == (3, 12, 0)
    assert (row["cores_used"], row["joules_per_sample"]) == pytest.approx((1.5, 0.5))
    assert row["steady"] and np.isnan(row["limit_share"])  # the workload's cost is not known here
    assert (row["latency1_p99_ms"], row["latency_p99_ms"]) == (4, 8)
    assert (row["first_loss"], row["final_loss"], row["steps"]) == (2.0, 0.5, 40)
    assert (row["import_s"], row["first_step_s"], row["train_s"]) == (1.5, 0.5, 3.0)
    assert (row["peak_memory_bytes"], row["import_memory_bytes"]) == (2**20, 2**19)
    table = store.samples(record)
    assert len(table) == 24 and set(table["kind"]) == {"train", "predict"}
    assert table["samples_per_s"].iloc[2] == pytest.approx(30)


def test_pairs_are_compared_within_rounds_and_ranked(tmp_path: Path) -> None:
    cells = [f"toy/{name}/fast/cpu/float32" for name in ("left", "right", "twice", "judge", "lost")]
    run = MadeUpRun(tmp_path, manifest(*cells))
    run("framework-ready", framework="judge", reference=True)
    for launch, drift in enumerate((1.0, 3.0, 0.5), start=1):  # the machine's, the same for all
        for cell, speed in zip(cells, (100, 101, 200, 50, 50), strict=True):
            wobble = 1 + 0.005 * ((launch * speed) % 3)
            timed(run, cell, [drift * speed * wobble] * 3, launch)
        run(
            "twin-slice",
            cells[0],
            launch=launch,
            round=1,
            kind="train",
            steps=4,
            samples=100,
            seconds=1 / drift,
            cpu_seconds=1.0,
        )
    run("cell-failed", cells[4], status="crashed", reason="no")
    for cell in cells[:4]:
        run.done(cell)
    record = run.read()
    pairs = record.pairs
    assert {*pairs["a"], *pairs["b"]} == set(cells[:3])  # neither the reference nor what failed
    (row,) = pairs[
        (pairs["kind"] == "train") & (pairs["b"] == cells[2]) & (pairs["a"] == cells[0])
    ].to_dict("records")
    assert row["ratio"] == pytest.approx(0.5, rel=0.02) and row["verdict"] == "slower"
    assert row["low"] < 0.5 < row["high"] and row["floor"] > 0
    ranks = store.summary(record).set_index("cell")[["rank", "rank_worst"]]
    assert ranks.loc[cells[:3]].to_numpy().tolist() == [[2, 3], [2, 3], [1, 1]]
    assert ranks.loc[cells[3:]].isna().all(axis=None)


def test_a_disturbed_slice_of_an_earlier_version_gives_way_to_its_repetition(
    tmp_path: Path,
) -> None:
    run = MadeUpRun(tmp_path, manifest(CELL))
    timed(run, CELL, [1.0, 50.0], noise=["load of others: 0.9 cores"])
    timed(run, CELL, [50.0])
    run.done(CELL)
    (row,) = store.summary(run.read()).to_dict("records")
    assert row["train_samples_per_s"] == pytest.approx(50) and row["contaminated"] == 4


def test_every_fate_of_a_cell_is_told(tmp_path: Path) -> None:
    fates = {
        "a": "ok",
        "b": "crashed",
        "c": "interrupted",
        "d": "unavailable",
        "e": "skipped",
        "f": "not run",
        "g": "not run",
    }
    cells = {name: f"{name}/{name}/m/cpu/float32" for name in fates}
    run = MadeUpRun(tmp_path, manifest(*cells.values()))
    run("cell-done", cells["a"])
    run("cell-failed", cells["b"], phase="train", status="crashed", reason="two\nlines")
    run("cell-started", cells["c"])
    run("framework-unavailable", framework="d", device="cuda", reason="on another device")
    run("framework-unavailable", framework="d", device="cpu", reason="no wheel")
    run("workload-skipped", workload="e", reason="no data")
    run("workload-refused", workload="f", reason="the reference is not finite")
    run("cell-started", "z/stray/m/cpu/float32")
    table = store.summary(run.read()).set_index("workload")
    assert list(table.index) == [*fates, "z"]
    assert table["status"].to_dict() == {**fates, "z": "interrupted"}
    assert table["reason"]["b"] == "in train: two lines"
    assert (table["reason"]["d"], table["reason"]["e"]) == ("no wheel", "no data")
    assert table["reason"]["f"] == "the reference is not finite"
    assert table["reason"]["g"] == "the run ended before the cell began"


def test_synthetic_data_has_no_accuracy(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, manifest(CELL, options={"data": "synthetic"}))
    run("evaluated", CELL, accuracy=0.99, precision=0.9, recall=0.9, f1=0.9)
    run.done(CELL)
    table = store.summary(run.read())
    assert table[["accuracy", "precision", "recall", "f1", "reached_target"]].isna().all(axis=None)


def test_a_slice_without_a_sound_time_counts_for_nothing(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, manifest(CELL))
    for seconds in (0, None, -1.0, "soon", float("nan"), 2.0):
        run("slice", CELL, round=1, kind="train", samples=10, seconds=seconds)
    record = run.read()
    (row,) = store.summary(record).to_dict("records")
    assert (row["train_samples_per_s"], row["train_slices"]) == (pytest.approx(5), 1)
    assert store.samples(record)["samples_per_s"].count() == 1


def test_an_odd_name_of_a_cell_is_no_accident() -> None:
    assert tables.split("a/b/c/cpu/float32")["workload"] == "a"
    assert tables.split("x/y/a/b/c/cpu/float32")["workload"] == "x/y/a"
    assert tables.split("lone") == {
        "workload": "lone",
        "framework": "",
        "mode": "",
        "device": "",
        "dtype": "",
    }


def test_slices_that_took_no_time_are_no_speed(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, manifest(CELL))
    for seconds in (0.0, None, "soon"):
        run("slice", CELL, launch=1, round=1, kind="train", samples=9, seconds=seconds)
    run.done(CELL)
    (row,) = store.summary(run.read()).to_dict("records")
    assert (row["status"], row["launches"], row["train_slices"]) == ("ok", 1, 0)
    assert np.isnan(row["train_samples_per_s"])


@pytest.mark.parametrize(
    ("verdicts", "parity", "status"),
    [
        ([], "not checked", "ok"),
        ([EQUIVALENT, EQUIVALENT], "equivalent", "ok"),
        ([EQUIVALENT, UNDECIDED, EQUIVALENT], "undecided", "undecided"),
        ([UNDECIDED, NOT_EQUIVALENT], "not equivalent", "not equivalent"),
        ([EQUIVALENT, "of the future"], "not equivalent", "not equivalent"),
        ([None], "not equivalent", "not equivalent"),
    ],
)
def test_of_several_verdicts_of_a_cell_the_worst_holds(
    tmp_path: Path, verdicts: list[str | None], parity: str, status: str
) -> None:
    run = MadeUpRun(tmp_path, manifest(CELL))
    for place, verdict in enumerate(verdicts):
        when = {"when": REPLAYED, "kind": f"kind {place}"} if place else {}
        run("parity", CELL, **{**parity_event(), "verdict": verdict, **when})
    run.done(CELL)
    (row,) = store.summary(run.read()).to_dict("records")
    assert (row["parity"], row["status"]) == (parity, status)


def test_a_replayed_slice_that_is_decided_decides_for_its_kind() -> None:
    before, rest = parity_event(), parity_event(UNDECIDED, when=REPLAYED, kind="train")
    decided = parity_event(when=REPLAYED, kind="train")
    other = parity_event(when=REPLAYED, kind="predict")
    assert parity_verdict([before, rest]) == UNDECIDED
    assert parity_verdict([before, rest, other]) == UNDECIDED
    assert parity_verdict([before, rest, decided]) == EQUIVALENT


def test_what_is_nearest_its_bound_is_over_all_checks_of_a_cell(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, manifest(CELL))
    for share, tensor in ((0.1, "logits"), (0.4, "update of w after step 20"), (0.2, "loss")):
        run("parity", CELL, **parity_event(worst_share=share, worst_tensor=tensor))
    run.done(CELL)
    (row,) = store.summary(run.read()).to_dict("records")
    assert (row["parity_share"], row["parity_worst"]) == (0.4, "update of w after step 20")


def test_undecided_tensors_are_named_once_and_the_rest_counted() -> None:
    events = [parity_event(UNDECIDED), parity_event(UNDECIDED, undecided=[TENSOR, *"abcdef"])]
    reason = f"parity undecided: {TENSOR}, a, b, c, d and 2 more"
    assert undecided_reason(events) == reason


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("verdict", [UNDECIDED, NOT_EQUIVALENT])
def test_a_cell_that_is_not_equivalent_is_in_no_pair_and_not_ranked(
    tmp_path: Path, verdict: str, ended: bool
) -> None:
    cells = [f"toy/{name}/fast/cpu/float32" for name in ("left", "right", "third")]
    run = MadeUpRun(tmp_path, manifest(*cells))
    for cell, speed in zip(cells, (100, 200, 400), strict=True):
        for launch in (1, 2, 3):
            timed(run, cell, [speed * (1 + 0.01 * launch)] * 3, launch)
    run("parity", cells[2], **parity_event())
    run("parity", cells[2], **parity_event(verdict, when=REPLAYED))
    for cell in cells if ended else ():
        run.done(cell)
    record = run.read()
    pairs = record.pairs
    assert {*pairs["a"], *pairs["b"]} == set(cells[:2])
    table = store.summary(record).set_index("cell")
    assert np.isnan(table["rank"].astype(float)[cells[2]])
    assert (table["train_samples_per_s"][cells[2]] > 300) == (verdict == UNDECIDED or not ended)


def test_a_cell_whose_replays_are_decided_in_the_end_is_compared(tmp_path: Path) -> None:
    cells = [f"toy/{name}/fast/cpu/float32" for name in ("left", "right")]
    run = MadeUpRun(tmp_path, manifest(*cells))
    for cell in cells:
        timed(run, cell, [100.0, 101.0, 102.0], 1)
        for verdict in (UNDECIDED, EQUIVALENT):
            run("parity", cell, **parity_event(verdict, when=REPLAYED, kind="train"))
    pairs = run.read().pairs
    assert {*pairs["a"], *pairs["b"]} == set(cells)
