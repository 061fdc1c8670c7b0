"""The JSON document of runs, and that made-up runs are as the schemas say."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from harness.report import compare, document
from harness.results import store

SCHEMAS = Path(__file__).resolve().parents[3] / "docs" / "reference" / "schema"


def check(name: str, told: Iterable[Any]) -> None:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    validator = Draft202012Validator(schema)
    for one in told:
        validator.validate(one)


@pytest.mark.parametrize("kind", ["good_run", "mixed_run", "rich_run"])
def test_made_up_runs_are_as_the_schemas_say(tmp_path: Path, fake: ModuleType, kind: str) -> None:
    folder = getattr(fake, kind)(tmp_path)
    record = store.read(folder)
    check("manifest", [record.manifest])
    check("event", map(json.loads, (folder / store.JOURNAL).read_text().splitlines()))
    check("report", [json.loads(document.render([record]))])
    other = store.read(fake.good_run(tmp_path, threads=1))
    check("changes", [json.loads(compare.document(record, other))])


def test_every_run_stands_under_its_name(tmp_path: Path, fake: ModuleType) -> None:
    records = [store.read(make(tmp_path)) for make in (fake.good_run, fake.mixed_run)]
    told = json.loads(document.render(records))
    assert told["schema"] == document.SCHEMA
    assert [run["run"] for run in told["runs"]] == [record.folder.name for record in records]
    for run, record in zip(told["runs"], records, strict=True):
        table = store.summary(record)
        assert [cell["cell"] for cell in run["cells"]] == table["cell"].tolist()
        (name,) = {tuple(cell) for cell in run["cells"]}
        assert name == tuple(table.columns)

        assert run["cells"][0]["train_samples_per_s"] == table["train_samples_per_s"].iloc[0]
