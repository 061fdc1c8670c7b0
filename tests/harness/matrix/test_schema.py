"""The files of a matrix are what docs/reference/schema/ says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from harness.matrix import block
from harness.matrix import plan as planning
from tests.conftest import ROOT
from tests.harness.matrix.stand_in import made_up


def validator(name: str) -> Draft202012Validator:
    folder = ROOT / "docs" / "reference" / "schema"
    schema = json.loads((folder / f"matrix-{name}.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def done(tmp_path: Path) -> dict[str, Any]:
    figures = json.loads(json.dumps(block.of(made_up(tmp_path).end().read())))
    return {"state": "done", "attempt": "a", "node": "n1", "neighbours": [], "block": figures}


def test_a_plan_is_what_its_schema_says(tmp_path: Path) -> None:
    file = tmp_path / "matrix.toml"
    file.write_text('[over]\nworkload = ["mlp-digits"]\nseed = [1, 2]\n')
    plan = planning.make(file, tmp_path, lambda words: None)
    table = json.loads((plan.folder / "plan.json").read_text())
    validator("plan").validate(table)
    del table["units"][0]["replicate"]
    with pytest.raises(ValidationError):
        validator("plan").validate(table)


def test_a_result_is_what_its_schema_says(tmp_path: Path) -> None:
    result = done(tmp_path)
    validator("done").validate(result)
    described = validator("done").schema["properties"]["block"]["properties"]
    assert set(described) == set(result["block"])  # a field without a word on it fails
    result["block"]["pairs"]["train"][0].pop()
    with pytest.raises(ValidationError):
        validator("done").validate(result)
