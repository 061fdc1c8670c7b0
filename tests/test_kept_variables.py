"""A variable that `--keep-env` hands on is in every output, and such a run is compared with its like."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.analysis.compare_runs import compare
from harness.gate import baseline
from harness.gate.evaluate import verdict
from harness.report import document, formats, provenance
from harness.report.gate import outputs
from harness.report.html import renderer
from harness.results import history_db, store
from harness.runner import run
from tests.harness.gate.made import HEAD, OTHER, made
from tests.harness.report import conftest as helpers
from tests.harness.report.made_up import ReportRun
from tests.toy_request import toy_request
from workloads.errors import UserError

CELL = "cnn-digits/pytorch/eager/cpu/float32"


@pytest.fixture
def fake() -> ModuleType:
    return helpers


def written(folder: Path, fake: ModuleType, kept: dict[str, str], **more: Any) -> store.Record:
    """A run of one cell whose workers were given `kept`."""
    new = ReportRun(folder, {**fake.manifest([CELL], kept_variables=kept), **more})
    new.begin()
    new.whole_cell(CELL)
    new.end()
    return store.read(new.folder)


def test_workers_have_a_kept_variable_and_the_run_says_so(
    toy_root: Path,
    toy_interpreters: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TOY_FLAGS", "--fast")
    monkeypatch.setenv("TOY_DEBUG", "1")
    asked = toy_request(
        toy_root,
        modes=["well"],
        frameworks=["faulty"],
        quick=True,
        keep_env=["TOY_FLAGS"],
        interpreters=toy_interpreters,
    )
    seen: list[dict[str, str]] = []
    monkeypatch.setattr("harness.runner.session.WorkerProcess", _Recorder(seen))
    with pytest.raises(_Stop):
        run.execute(asked, lambda _: None, toy_root, finish=formats.write)
    assert [one["TOY_FLAGS"] for one in seen] == ["--fast"]
    assert "TOY_DEBUG" not in seen[0]
    (entry,) = store.runs(toy_root / "results")
    manifest = store.read(entry.folder).manifest
    assert manifest["options"]["kept_variables"] == {"TOY_FLAGS": "--fast"}
    assert "TOY_DEBUG" in manifest["variables_left_out"]
    assert "TOY_FLAGS" not in manifest["variables_left_out"]


class _Stop(Exception):
    """The test has seen what it wanted to."""


class _Recorder:
    """Stands in for a worker: notes its variables, and starts none."""

    def __init__(self, seen: list[dict[str, str]]) -> None:
        self._seen = seen

    def __call__(self, python: Path, root: Path, log: Path, variables: Any, cpus: Any) -> None:
        self._seen.append(dict(variables))
        raise _Stop


def test_what_a_framework_sets_itself_cannot_be_kept(
    toy_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    for name in ("OMP_NUM_THREADS", "MALLOC_TRIM_THRESHOLD_"):
        with pytest.raises(UserError, match=f"{name}: samestep sets it itself"):
            toy_request(toy_root, frameworks=["reference"], keep_env=[name])


def test_every_output_names_it_with_its_value(tmp_path: Path, fake: ModuleType) -> None:
    record = written(tmp_path, fake, {"XLA_FLAGS": "--x"})
    formats.write(record)
    page = renderer.write([record], record.folder / "report.html").read_text()
    files = [(record.folder / name).read_text() for name in ("report.md", "summary.csv")]
    for text in (*provenance.warnings(record), *files, page):
        assert "XLA_FLAGS=--x" in text
    (told,) = json.loads(document.render([record]))["runs"]
    assert told["kept_variables"] == {"XLA_FLAGS": "--x"}


def test_what_was_left_out_is_named_once_and_not_all_of_a_long_list(
    tmp_path: Path, fake: ModuleType
) -> None:
    names = [f"OMP_{number}" for number in range(10, 53)]
    (told,) = provenance.warnings(written(tmp_path, fake, {}, variables_left_out=names))
    assert "not handed to workers: OMP_10, OMP_11" in told
    assert told.count("OMP_") == 40 and "3 more in manifest.json" in told
    assert list(provenance.warnings(written(tmp_path, fake, {}, variables_left_out=[]))) == []


def test_a_run_with_a_kept_variable_is_not_compared_with_one_without(
    tmp_path: Path, fake: ModuleType
) -> None:
    plain, kept, other = (
        written(tmp_path, fake, variables)
        for variables in ({}, {"XLA_FLAGS": "--x"}, {"XLA_FLAGS": "--y"})
    )
    for a, b in ((plain, kept), (kept, plain), (kept, other)):
        found = compare(a, b)
        assert not found.changes
        reasons = [refusal.reason for refusal in found.refused]
        assert any("other --keep-env: " in reason and "XLA_FLAGS" in reason for reason in reasons)
    assert compare(kept, kept).changes
    history_db.update(tmp_path)
    grounds = history_db.table(tmp_path).groupby("run")["ground"].first()
    assert grounds.nunique() == 3


def test_a_baseline_with_a_kept_variable_is_not_held_against_a_run_without(tmp_path: Path) -> None:
    record = made(tmp_path, {HEAD: {}, OTHER: {}}, seed=7)
    plain = baseline.of(record, "old")
    record.manifest["options"]["kept_variables"] = {"XLA_FLAGS": "--x"}
    kept = baseline.read(baseline.save(tmp_path, baseline.of(record, "kept")))
    assert kept.table["workloads"]["mlp-digits"]["kept_variables"] == "XLA_FLAGS=--x"
    assert kept.incomparable(HEAD, record) is None
    found = verdict(made(tmp_path, {HEAD: {}, OTHER: {}}, baseline=kept.table))
    assert {one.verdict for one in found.findings} == {"not compared"}
    assert "other --keep-env: XLA_FLAGS=--x then none" in found.findings[0].note
    for workload in plain["workloads"].values():
        del workload["kept_variables"]  # as a file of before has none
    older = baseline.read(baseline.save(tmp_path, plain))
    assert older.incomparable(HEAD, made(tmp_path, {HEAD: {}, OTHER: {}})) is None
    assert "none then" in str(older.incomparable(HEAD, record))


def test_a_check_says_it_in_every_form(tmp_path: Path) -> None:
    record = made(tmp_path, {HEAD: {}, OTHER: {}}, pairs=[(HEAD, OTHER)])
    record.manifest["options"]["kept_variables"] = {"XLA_FLAGS": "--x"}
    found = verdict(record)
    assert "XLA_FLAGS=--x" in outputs.markdown(found).replace("\\", "")
    assert json.loads(outputs.document(found))["kept_variables"] == {"XLA_FLAGS": "--x"}
