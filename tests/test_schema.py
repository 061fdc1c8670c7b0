"""What a run leaves and prints is what docs/reference/schema/ and docs/reference/run-folder.md say."""

from __future__ import annotations

import json
import re
import runpy
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from harness.analysis import history_series
from harness.gate import baseline, findings, request
from harness.gate.evaluate import verdict as verdict_of
from harness.report import compare, document
from harness.report.gate import outputs as check_report
from harness.report.gate import wording
from harness.report.history import content
from harness.report.html import renderer
from harness.results import history_db as database
from harness.results import metrics, pairwise, store, tables
from harness.results.metrics import IN_HISTORY
from harness.results.store import Run
from harness.runner import run
from harness.runner.context import Measuring
from tests.harness.gate.made import HEAD, OTHER, made
from tests.parity_event import parity_event
from tests.toy_request import BRIEF, brief_request

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
SCHEMAS = ROOT / "docs" / "reference" / "schema"
RESULTS = (ROOT / "docs" / "reference" / "run-folder.md").read_text(encoding="utf-8")

Validate = Callable[[Any], None]


def schema_text(name: str) -> str:
    return (SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8")


def schema(name: str) -> dict[str, Any]:
    return dict(json.loads(schema_text(name)))


def valid(name: str) -> Validate:
    whole = schema(name)
    Draft202012Validator.check_schema(whole)
    return Draft202012Validator(whole).validate


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / store.JOURNAL).read_text().splitlines()]


def check(folder: Path) -> None:
    """Hold the run's manifest, every line of its journal and its report against the schemas."""
    valid("manifest")(json.loads((folder / store.MANIFEST).read_text()))
    line = valid("event")
    for event in events(folder):
        line(event)
    valid("report")(json.loads(document.render([store.read(folder)])))


@pytest.fixture
def own_run(
    toy_root: Path, toy_interpreters: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """Makes a real run of the toys."""
    monkeypatch.setenv("SAMESTEP_CACHE", str(toy_root / "cache"))

    def make(*modes: str, measuring: Measuring = BRIEF, **more: Any) -> Path:
        usual = {"modes": modes, "quick": True, "interpreters": toy_interpreters}
        request = brief_request(toy_root, measuring, **(usual | more))
        return run.execute(request, lambda _: None, toy_root)[0].folder

    return make


def test_a_real_run_is_as_the_schemas_say(toy_run: Path) -> None:
    check(toy_run)
    described(toy_run)


def test_two_real_runs_and_their_history_are_as_the_schemas_say(
    toy_run: Path, own_run: Callable[..., Path]
) -> None:
    synthetic = own_run("well", data="synthetic")
    folder = Path(shutil.copytree(toy_run, synthetic.with_name(toy_run.name)))
    both = store.read(folder), store.read(synthetic)
    valid("changes")(json.loads(compare.document(*both)))
    assert database.update(folder.parent) == []
    table = database.table(folder.parent)
    assert set(table["run"]) == {record.folder.name for record in both}
    for metric in ("throughput", "memory", "accuracy", "first-step"):
        valid("history")(json.loads(content.document(content.build(table, metric, None))))


def test_a_run_on_images_is_as_the_schemas_say(own_run: Callable[..., Path]) -> None:
    folder = own_run("well", workloads=["mlp-digits"])
    check(folder)
    described(folder)
    record = store.read(folder)
    told = record.every("dataset")[0]
    assert told["images"]["shape"] == [24, 1, 8, 8] and told["classes"] == list("0123456789")
    assert [len(one["predicted"]) for one in record.every("evaluated")] == [24, 24]
    assert "Images of the test set" in renderer.render([record])


def described(folder: Path) -> None:
    """Every field that the run told has a place in the schemas: none is undocumented."""
    told, known = json.loads((folder / store.MANIFEST).read_text()), schema("manifest")
    assert set(told) <= set(known["properties"])
    for part in ("machine", "options"):
        assert set(told[part]) <= set(known["$defs"][part]["properties"])
    known = schema("event")
    for event in events(folder):
        place = "slice" if event["event"] == "twin-slice" else event["event"]
        assert place in known["$defs"], f"no schema for {place}"
        assert set(event) <= {*known["properties"], *known["$defs"][place]["properties"]}, place


def test_a_run_that_looks_and_stops_is_as_the_schemas_say(
    own_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.runner.schedule.room_for_one_more", lambda alive: False)
    measuring = replace(BRIEF, precision=9.0)
    folder = own_run("well", "slow", measuring=measuring, workloads=["mlp-2-3-2", "cifar-cnn"])
    kinds = {event["event"] for event in events(folder)}
    assert {"in-turn", "stopped", "workload-skipped", "launched"} <= kinds
    check(folder)
    described(folder)


def test_a_sweep_with_seeds_is_as_the_schemas_say(own_run: Callable[..., Path]) -> None:
    usual = {"frameworks": ["faulty"], "seeds": 2, "epochs": 2}
    folder = own_run("well", "slow", values={"batch": (10, 20)}, **usual)
    check(folder)
    described(folder)
    manifest = store.read(folder).manifest
    assert manifest["sweep"]["over"] == "batch" and manifest["options"]["seeds"] == 2


def test_a_check_s_run_is_as_the_schemas_say(
    toy_root: Path, toy_interpreters: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMESTEP_CACHE", str(toy_root / "cache"))
    asked = request.against(
        "faulty/well",
        frameworks=["faulty"],
        workloads=["mlp-2-3-2"],
        modes=["slow"],
        device="cpu",
        threads=1,
        seed=None,
        epochs=1,
        data="real",
        data_dir=None,
        interpreters=toy_interpreters,
        out=toy_root / "results",
        root=toy_root,
        threshold=0.03,
        margin=0.005,
        budget=None,
    )
    short = replace(BRIEF, launches=2, rounds=1, checking=True)
    folder = run.execute(replace(asked, measuring=short), lambda _: None, toy_root)[0].folder
    check(folder)
    described(folder)
    assert {"retrained", "calibration"} <= {event["event"] for event in events(folder)}
    assert "single" in {event.get("kind") for event in events(folder)}
    record = store.read(folder)
    told, known = record.manifest["check"], schema("manifest")["$defs"]["check"]
    assert set(told) == set(known["properties"]) == set(known["required"])
    valid("check")(json.loads(check_report.document(verdict_of(record))))


def test_a_baseline_is_as_the_schema_says(tmp_path: Path) -> None:
    record = made(tmp_path, {HEAD: {}, OTHER: {}}, load=(2,))
    record.manifest.update(samestep="1.0", git_commit="ab", command=["python", "cli.py"])
    path = baseline.save(tmp_path, baseline.of(record, "old"))
    told, whole = json.loads(path.read_text()), schema("baseline")
    valid("baseline")(told)
    assert set(whole["required"]) <= set(told) == set(whole["properties"])
    assert set(told["asked"]) == set(whole["properties"]["asked"]["properties"])
    for part, value in (
        ("workload", told["workloads"]["mlp-digits"]),
        ("cell", told["cells"][HEAD]),
    ):
        assert set(value) == set(whole["$defs"][part]["properties"]), part
    assert None in told["cells"][HEAD]["logs"]["throughput"]
    for key in whole["required"]:  # what the schema demands is what a check demands
        path.write_text(json.dumps({name: one for name, one in told.items() if name != key}))
        with pytest.raises(store.StoreError, match=f"lacks '{key}'"):
            baseline.read(path)


def test_what_is_not_an_event_is_refused() -> None:
    line = valid("event")
    line({"time": 0, "event": "of the future", "anything": 1})
    asleep = {"round": 1, "kind": "sleep", "samples": 1, "seconds": 1}
    for wrong in (
        {"event": "cell-done", "cell": "a"},
        {"time": 0, "event": "cell-done"},
        {"time": 0, "event": "slice", "cell": "a", **asleep},
        {"time": 0, "event": "twin-slice", "cell": "a"},
    ):
        with pytest.raises(Exception, match="Failed validating"):
            line(wrong)


@pytest.mark.parametrize("verdict", ["equivalent", "not equivalent", "undecided"])
def test_verdicts_and_replayed_slices_are_as_the_schema_says(verdict: str) -> None:
    line, known = valid("event"), schema("event")["$defs"]
    replayed = {"when": "replayed", "kind": "latency", "launch": 2, "round": 3}
    for event in (parity_event(verdict), parity_event(verdict, **replayed)):
        line({"time": 0, "event": "parity", "cell": HEAD, **event})
        assert set(event) <= set(known["parity"]["properties"])
        fields = known["parity"]["properties"]["checks"]["items"]["properties"]
        assert all(set(check) == set(fields) for check in event["checks"])
    for wrong in ({"verdict": "proved"}, {"when": "later"}, {"undecided": None}):
        with pytest.raises(Exception, match="Failed validating"):
            line({"time": 0, "event": "parity", "cell": HEAD, **parity_event(verdict), **wrong})


def test_a_refused_workload_and_a_run_s_end_are_as_the_schema_says() -> None:
    line = valid("event")
    line({"time": 0, "event": "workload-refused", "workload": "a", "reason": "not finite"})
    line({"time": 0, "event": "reference-run", "workload": "a", "steps": 20, "seconds": 1.0})
    line({"time": 0, "event": "run-ended", "status": "undecided", "exit_code": 3})
    with pytest.raises(Exception, match="Failed validating"):
        line({"time": 0, "event": "workload-refused", "workload": "a"})


def test_an_event_cannot_be_described_and_unknown() -> None:
    whole = schema("event")
    named = {rule["if"]["properties"]["event"]["const"] for rule in whole["allOf"]}
    assert named - {"twin-slice"} == set(whole["$defs"])


def test_the_versions_are_those_of_the_code() -> None:
    told = {
        name: schema(name)["properties"]["schema"]["const"]
        for name in ("manifest", "report", "changes", "check", "history", "baseline")
    }
    expected = {
        "manifest": store.SCHEMA,
        "report": document.SCHEMA,
        "changes": compare.SCHEMA,
        "check": check_report.SCHEMA,
        "history": content.SCHEMA,
        "baseline": baseline.SCHEMA,
    }
    assert told == expected


def test_a_check_is_as_the_schema_says() -> None:
    cell, other = (
        "mlp-digits/pytorch@2.9/eager/cpu/float32",
        "mlp-digits/pytorch@2.8/eager/cpu/float32",
    )
    unknown = findings.Finding(cell, other, metrics.PARITY, findings.MISSING, note="crashed")
    numbers = np.float64(1.0), float("nan"), -0.1, -0.2, 0.0, 0.03
    known = findings.Finding(cell, other, metrics.THROUGHPUT, findings.REGRESSED, *numbers, 5)
    verdict = findings.Verdict([known, unknown], "pytorch@2.8", "old", ("the kernel",))
    told = json.loads(check_report.document(verdict))
    valid("check")(told)
    assert told["status"] == verdict.status and told["findings"][0]["after"] is None
    whole = schema("check")
    assert set(told) == set(whole["properties"]) == set(whole["required"])
    one = whole["$defs"]["finding"]
    assert set(told["findings"][0]) == set(one["properties"]) == set(one["required"])
    assert sorted(one["properties"]["verdict"]["enum"]) == sorted(wording.ORDER)


def test_the_reports_columns_are_the_summarys() -> None:
    cell = schema("report")["$defs"]["cell"]
    assert list(cell["properties"]) == list(tables.COLUMNS) == cell["required"]


def test_the_documentation_of_columns_is_what_the_registry_makes_of_it() -> None:
    columns, text = runpy.run_path(str(ROOT / "docs" / "columns.py")), schema_text("report")
    assert columns["results"](RESULTS) == RESULTS, "run `python docs/columns.py`"
    assert columns["schema"](text) == text, "run `python docs/columns.py`"


def test_the_historys_fields_are_the_codes() -> None:
    parts = schema("history")["$defs"]
    assert (
        set(parts["point"]["properties"]) == set(content.POINT) == set(parts["point"]["required"])
    )
    assert set(history_series.KEY) < set(parts["series"]["properties"])
    assert schema("history")["properties"]["metric"]["enum"] == [*IN_HISTORY]
    words = {word for metric in IN_HISTORY.values() for word in metric.words}
    assert set(parts["change"]["properties"]["word"]["enum"]) == words


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("summary.csv", tables.COLUMNS),
        ("samples.csv", tables.SAMPLE_COLUMNS),
        ("pairs", pairwise.COLUMNS),
        ("history --format csv", content.COLUMNS),
    ],
)
def test_every_column_is_documented_and_nothing_else(table: str, columns: tuple[str, ...]) -> None:
    section = re.split(rf"^## Columns of `{re.escape(table)}`$", RESULTS, flags=re.MULTILINE)[1]
    rows = re.findall(r"^\|([^|]+)\|", section.split("\n## ")[0], flags=re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(columns)


def test_every_field_has_a_place_in_the_documentation() -> None:
    for path in SCHEMAS.glob("*.json"):
        assert f"schema/{path.name}" in RESULTS


@pytest.mark.parametrize(
    ("version", "todo"), [(0, "read it with the samestep that wrote it"), (99, "update samestep")]
)
def test_another_schema_is_refused_with_what_to_do(tmp_path: Path, version: int, todo: str) -> None:
    made = Run.create(tmp_path, {})
    made.close()
    manifest = made.folder / store.MANIFEST
    manifest.write_text(json.dumps({"schema": version}))
    with pytest.raises(store.StoreError, match=todo):
        store.read(made.folder)
