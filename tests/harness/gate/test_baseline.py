"""Baselines: what is kept, and what a check by one comes to."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.gate import baseline
from harness.gate.evaluate import verdict
from harness.gate.findings import (
    INCONCLUSIVE,
    NOT_COMPARED,
    NOT_MEASURABLE,
    PASSED,
    REGRESSED,
    SAME,
    Verdict,
)
from harness.results import identity, serialise
from harness.results.launches import Measures
from harness.results.metrics import DEVICE_MEMORY, FIRST_STEP, IN_GATE, THROUGHPUT
from tests.harness.gate.made import HEAD, OTHER, Table, cell, made

lawful = settings(deadline=None, derandomize=True, max_examples=25)

THIRD = cell("aa")


def saved(folder: Path, table: Mapping[str, Any]) -> baseline.Baseline:
    return baseline.read(baseline.save(folder, table))


def told(found: Verdict) -> dict[tuple[str, str], str]:
    return {(one.cell, one.metric.name): one.verdict for one in found.findings}


# What is kept.


def test_what_is_read_back_is_what_was_kept(tmp_path: Path, table: Table) -> None:
    found = saved(tmp_path, table)
    assert found.table == json.loads(json.dumps(serialise.strict(table)))
    assert (found.name, list(found.cells)) == ("old", [HEAD, OTHER])
    again = baseline.of(made(tmp_path, {HEAD: {}, OTHER: {}}, seed=7), "old")
    stamps = {key: table[key] for key in ("run", "started")}
    assert {**again, **stamps} == table  # nothing in it but what was measured


def test_a_check_comes_to_the_same_by_the_record_and_by_the_file(tmp_path: Path) -> None:
    old = made(tmp_path, {HEAD: {}, OTHER: {}}, seed=7)
    by_file = dict(saved(tmp_path, baseline.of(old, "old")).table)
    runs = {"train": 0.9, "memory": 1.1, "wrong": 4}, {"single": 0.9}, {}
    for seed, head in enumerate(runs):
        found = [
            verdict(made(tmp_path, {HEAD: head, OTHER: {}}, baseline=one, seed=seed, launches=12))
            for one in (baseline.of(old, "old"), by_file)
        ]
        assert told(found[0]) == told(found[1])
        assert found[0].status == found[1].status == int(bool(head))


def test_one_of_the_last_schema_is_read_under_today_s_names(tmp_path: Path, table: Table) -> None:
    old = json.dumps({**table, "schema": 2}).replace('"first-step"', '"first step"')
    assert '"first step": ' in old
    path = tmp_path / "old.json"
    path.write_text(old)
    assert baseline.read(path).table == json.loads(json.dumps({**table, "schema": 2}))
    assert baseline.read(path).value(FIRST_STEP, HEAD) is not None


def test_the_file_can_be_reviewed(tmp_path: Path) -> None:
    cells: dict[str, dict[str, Any]] = {cell(name): {} for name in "abcdefgh"}
    path = baseline.save(tmp_path, baseline.of(made(tmp_path, cells, launches=12), "old"))
    text = path.read_text()
    assert len(text) < 4000 * len(cells)
    lines = text.splitlines()
    assert len(lines) < 40 * len(cells)
    (first, *_) = (line for line in lines if '"throughput": [' in line)
    logs = json.loads(first.partition(":")[2].rstrip(","))
    assert len(logs) == 12
    assert all(round(one, baseline.DIGITS) == one for one in logs)
    other = path.with_name("other.json")
    assert baseline.save(tmp_path, {**json.loads(text), "name": "other"}) == other
    assert other.read_text() == text.replace('"name": "old"', '"name": "other"')


def test_texts_are_kept_as_they_are(tmp_path: Path, table: Table) -> None:
    command = ["python", "--out", "a  b\n[c]", "{d}\t"]
    assert saved(tmp_path, {**table, "command": command}).table["command"] == command


def test_a_launch_that_is_not_known_is_kept_as_such(tmp_path: Path) -> None:
    record = made(tmp_path, {HEAD: {}, OTHER: {}}, load=(2,))
    table = baseline.of(record, "old")
    found = saved(tmp_path, table)
    logs = found.table["cells"][HEAD]["logs"]["throughput"]
    assert logs[1] is None and None not in logs[:1] + logs[2:]
    assert "NaN" not in (tmp_path / "old.json").read_text()
    now = verdict(made(tmp_path, {HEAD: {"train": 0.9}, OTHER: {}}, baseline=table, launches=12))
    assert told(now)[HEAD, "throughput"] == REGRESSED


def test_values_are_kept_for_people(tmp_path: Path, table: Table) -> None:
    found, now = saved(tmp_path, table), Measures(made(tmp_path, {HEAD: {}, OTHER: {}}, seed=7))
    for metric in IN_GATE:
        value = now.value(metric, HEAD)
        assert found.value(metric, HEAD) == (value and pytest.approx(value, rel=1e-5))
    assert found.value(DEVICE_MEMORY, HEAD) is None
    assert found.cells[HEAD].accuracy == pytest.approx(353 / 360)


def test_only_cells_that_are_well_are_kept(tmp_path: Path) -> None:
    cells: dict[str, dict[str, Any]] = {
        HEAD: {},
        OTHER: {"failed": True},
        THIRD: {"wrong_step": True},
    }
    assert list(baseline.of(made(tmp_path, cells), "old")["cells"]) == [HEAD]


# A check by it.


@settings(lawful, max_examples=8)
@given(st.floats(0.05, 20))
def test_how_fast_the_machine_is_changes_nothing(
    table: Table, tmp_path_factory: pytest.TempPathFactory, speed: float
) -> None:
    folder = tmp_path_factory.mktemp("speed")
    cells = {HEAD: {"train": 0.93}, OTHER: {}}
    one, other = (
        verdict(made(folder, cells, baseline=table, speed=each, launches=12, rounds=2))
        for each in (1.0, speed)
    )
    assert told(one) == told(other)
    changes = [[finding.change or 0 for finding in each.findings] for each in (one, other)]
    assert changes[0] == pytest.approx(changes[1], abs=1e-6)


def test_who_got_faster_is_no_one_else_s_regression(tmp_path: Path) -> None:
    table = baseline.of(made(tmp_path, {HEAD: {}, OTHER: {}}, seed=7, launches=12), "old")
    cells = {HEAD: {}, OTHER: {"train": 1.3, "predict": 1.3}}
    found = verdict(made(tmp_path, cells, baseline=table, launches=12))
    assert not [one for one in found.having(REGRESSED) if one.cell == HEAD]
    assert told(found)[HEAD, "throughput"] == SAME
    assert found.status == PASSED


def test_a_machine_too_busy_to_measure_is_no_pass(tmp_path: Path, table: Table) -> None:
    record = made(tmp_path, {HEAD: {"train": 0.5}, OTHER: {}}, baseline=table, load=range(20))
    found = verdict(record)
    assert told(found)[HEAD, "throughput"] == NOT_MEASURABLE
    notes = {one.note for one in found.having(NOT_MEASURABLE)}
    assert notes == {"every launch was contaminated; quiet the machine, or give it more --budget"}
    assert found.status == 3


def test_what_a_plain_run_measured_once_is_not_compared(tmp_path: Path, table: Table) -> None:
    whole = copy.deepcopy(table)
    for one in whole["cells"].values():
        one["logs"]["memory"] = one["logs"]["memory"][:1]
    found = verdict(made(tmp_path, {HEAD: {}, OTHER: {}}, baseline=whole))
    assert (HEAD, "memory") not in told(found)
    assert found.status == PASSED


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("spec", "0" * 16, "another spec: 0000000000000000 then "),
        ("data", "0" * 16, "other data: 0000"),
        ("steps", 10, "other --steps: 10 then none"),
        ("deterministic", True, "other --deterministic: True then none"),
        ("flop", 3, "other operation counts: 3 then "),
    ],
)
def test_another_computation_is_not_compared_and_says_why(
    tmp_path: Path, table: Table, key: str, value: object, says: str
) -> None:
    whole = copy.deepcopy(table)
    whole["workloads"]["mlp-digits"][key] = value
    found = verdict(made(tmp_path, {HEAD: {}, OTHER: {}}, baseline=whole))
    assert {one.verdict for one in found.findings} == {NOT_COMPARED}
    notes = [one.note for one in found.findings]
    assert len(notes) == 2 and all(note.startswith(says) for note in notes)
    assert all(note.endswith("or save a new baseline") for note in notes)
    assert found.status == 3


def test_a_baseline_stored_by_an_earlier_version_is_still_compared(tmp_path: Path) -> None:
    stored = Path(__file__).with_name("stored_baseline.json")
    record = made(tmp_path, {HEAD: {}, OTHER: {}}, baseline=json.loads(stored.read_text("utf-8")))
    read = baseline.read(stored)
    assert read.unlike(record) == []
    assert read.table["fingerprint"] == identity.fingerprint(record.manifest["machine"])
    assert read.incomparable(HEAD, record) is None
    assert told(verdict(record))[HEAD, "throughput"] == SAME


def test_a_title_is_no_part_of_a_spec(tmp_path: Path, table: Table) -> None:
    record = made(tmp_path, {HEAD: {}, OTHER: {}}, baseline=table)
    record.manifest["workloads"]["mlp-digits"]["title"] = "Called otherwise"
    assert baseline.read(record.folder / baseline.COPY).incomparable(HEAD, record) is None
    record.manifest["workloads"]["mlp-digits"]["data"]["seed"] = 5
    reason = baseline.read(record.folder / baseline.COPY).incomparable(HEAD, record)
    assert reason is not None and reason.startswith("another spec")


def test_a_workload_that_was_not_run_is_not_compared(tmp_path: Path, table: Table) -> None:
    record = made(tmp_path, {HEAD: {}, OTHER: {}}, baseline=table)
    record.manifest["workloads"].clear()
    found = baseline.read(record.folder / baseline.COPY)
    assert found.incomparable(HEAD, record) == "its workload is not in both"


def test_other_test_examples_are_no_accuracy(tmp_path: Path, table: Table) -> None:
    whole = copy.deepcopy(table)
    for one in whole["cells"].values():
        one["right"] = {seed: [8, "/w=="] for seed in one["right"]}
    found = verdict(made(tmp_path, {HEAD: {}, OTHER: {}}, baseline=whole))
    assert (HEAD, "accuracy") not in told(found)


def test_seeds_that_both_have_trained_are_compared(tmp_path: Path, table: Table) -> None:
    found = verdict(made(tmp_path, {HEAD: {}, OTHER: {}}, baseline=table, launches=5))
    (one,) = (one for one in found.findings if (one.cell, one.metric.name) == (HEAD, "accuracy"))
    assert (one.launches, one.verdict) == (5, SAME)


@pytest.mark.parametrize(
    ("machine", "threads", "says"),
    [
        ({}, 2, []),
        ({"cpu": "Another CPU"}, 2, ["processor: A CPU, then Another CPU"]),
        ({}, 1, ["threads: 2, then 1"]),
        ({"cpu": None}, 2, ["processor: A CPU, then unknown"]),
    ],
)
def test_what_of_the_machine_is_not_the_baseline_s_is_told(
    tmp_path: Path, table: Table, machine: dict[str, Any], threads: int, says: list[str]
) -> None:
    record = made(tmp_path, {HEAD: {}, OTHER: {}}, baseline=table, machine=machine, threads=threads)
    assert saved(tmp_path, table).unlike(record) == says


def test_two_machines_of_no_name_are_not_alike(tmp_path: Path) -> None:
    nameless = {"machine": {"cpu": None}}
    table = baseline.of(made(tmp_path, {HEAD: {}, OTHER: {}}, **nameless), "old")  # type: ignore[arg-type]
    assert table["fingerprint"] == ""
    record = made(tmp_path, {HEAD: {}, OTHER: {}}, baseline=table, **nameless)  # type: ignore[arg-type]
    assert saved(tmp_path, table).unlike(record) == ["processor: of no known name"]


def test_every_metric_has_a_floor(table: Table) -> None:
    assert set(table["floors"]) == {metric.name for metric in IN_GATE}


def test_the_larger_floor_of_both_holds(tmp_path: Path, table: Table) -> None:
    whole = copy.deepcopy(table)
    whole["floors"]["throughput"] = 0.2
    found = verdict(made(tmp_path, {HEAD: {"train": 0.9}, OTHER: {}}, baseline=whole, launches=12))
    (one,) = (one for one in found.findings if (one.cell, one.metric) == (HEAD, THROUGHPUT))
    assert one.verdict in (SAME, INCONCLUSIVE)
    assert one.threshold == pytest.approx(math.expm1(0.2))


Asked = Callable[..., Table]


def asked_of(tmp_path: Path, **options: Any) -> Table:
    record = made(tmp_path, {HEAD: {}, OTHER: {}}, launches=3)
    record.manifest["options"] |= options
    return dict(baseline.of(record, "old")["asked"])


def test_what_a_check_has_to_repeat_is_kept(tmp_path: Path) -> None:
    plain = {"data": "real", "steps": None, "epochs": 20, "seed": 0, "deterministic": False}
    assert asked_of(tmp_path) == plain
    assert asked_of(tmp_path, steps=7) == {**plain, "steps": 7, "epochs": None}
    assert asked_of(tmp_path, deterministic=True) == {**plain, "deterministic": True}


def test_what_differs_from_workload_to_workload_is_their_own(tmp_path: Path) -> None:
    record = made(tmp_path, {HEAD: {}, OTHER: {}}, launches=3)
    specs = record.manifest["workloads"]
    specs["cnn-digits"] = copy.deepcopy(specs["mlp-digits"])
    specs["cnn-digits"]["data"]["epochs"] += 1
    asked = baseline.of(record, "old")["asked"]
    assert (asked["epochs"], asked["seed"]) == (None, 0)
