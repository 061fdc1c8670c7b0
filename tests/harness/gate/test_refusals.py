"""Baselines: which names, runs and files are refused, and that each refusal is a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.gate import baseline
from harness.gate.evaluate import verdict
from harness.results import serialise, store
from tests.harness.gate.made import HEAD, OTHER, Table, made

lawful = settings(deadline=None, derandomize=True)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../up", "a/b", "/etc/x", "a b", ".hidden", "-o", "a\n", "ä", "a\x00"]
)
def test_a_name_that_is_no_file_s_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(store.StoreError, match=r"cannot be named .*letters, digits"):
        baseline.named(name)
    with pytest.raises(store.StoreError, match="cannot be named"):
        baseline.of(made(tmp_path, {HEAD: {}}), name)
    with pytest.raises(store.StoreError, match=r"no baseline .*there are: none"):
        baseline.path(tmp_path, name)


def test_a_baseline_lies_where_its_name_says(tmp_path: Path, table: Table) -> None:
    (tmp_path / "secret.json").write_text("{}")
    path = baseline.save(tmp_path / baseline.FOLDER, {**table, "name": "Nightly_2.13-a"})
    assert path == baseline.path(tmp_path, "Nightly_2.13-a")
    assert baseline.names(path.parent) == ["Nightly_2.13-a"]
    with pytest.raises(store.StoreError, match=r"there are: Nightly_2\.13-a"):
        baseline.path(tmp_path, "../secret")


def test_a_run_of_too_few_launches_is_no_baseline(tmp_path: Path) -> None:
    with pytest.raises(
        store.StoreError, match=f"{HEAD} has 2 clean launches, at least 3 are needed; run it"
    ):
        baseline.of(made(tmp_path, {HEAD: {}}, launches=2), "old")
    with pytest.raises(store.StoreError, match=r"has 2 clean launches, .*on a quiet machine"):
        baseline.of(made(tmp_path, {HEAD: {}}, load=range(3, 20)), "old")
    with pytest.raises(store.StoreError, match="no cell succeeded"):
        baseline.of(made(tmp_path, {HEAD: {"failed": True}}), "old")
    assert baseline.of(made(tmp_path, {HEAD: {}}, launches=3))["name"].startswith("20")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(store.StoreError, match=r"none\.json: cannot be read \(No such file"):
        baseline.read(tmp_path / "none.json")
    with pytest.raises(store.StoreError, match="cannot be read"):
        baseline.read(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        '"text"',
        "{}",
        '{"schema": 1}',
        "[" * 100_000,
        "\ud800",
        '{"schema": 1, "cells": []}',
        '{"schema": 1e999}',
        '{"schema": 1, "cells": {}, "cells": 1}',
    ],
)
def test_what_is_no_baseline_is_said_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(
        store.StoreError, match=r"broken\.json: (schema|not a valid|line 1 is not in UTF-8) "
    ) as caught:
        baseline.read(path)
    assert len(str(caught.value)) < 200 + len(str(path))
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(("save a new one", "save it as UTF-8"))


@pytest.mark.parametrize("schema", [0, 1, 4, "2", None, [1], "\x1b[31m" * 99])
def test_another_schema_is_refused_with_what_to_do(
    tmp_path: Path, table: Table, schema: object
) -> None:
    path = baseline.save(tmp_path, table)
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": schema}))
    with pytest.raises(store.StoreError, match=r"schema .*reads 3: save a new one") as caught:
        baseline.read(path)
    assert "\x1b" not in str(caught.value)


def spoilt(table: Table, place: str, value: object) -> Table:
    """The table with something else at a place of it, "/" between keys; _ stands for the first one."""
    whole = json.loads(json.dumps(serialise.strict(table)))
    *way, last = place.split("/")
    inner = whole
    for key in way:
        inner = inner[next(iter(inner)) if key == "_" else int(key) if key.isdigit() else key]
    inner[int(last) if isinstance(inner, list) else last] = value
    return dict(whole)


HUGE = 10**400


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("cells", []),
        ("cells", {}),
        ("cells", {"a": {}}),
        ("cells/x", {}),
        ("cells/_", None),
        ("cells/_/logs", []),
        ("cells/_/logs/throughput", 3),
        ("cells/_/logs/throughput", ["a"]),
        ("cells/_/logs/throughput", [[1]]),
        ("cells/_/logs/throughput/0", HUGE),
        ("cells/_/logs/memory/0", {}),
        ("cells/_/values/memory", "much"),
        ("cells/_/values/memory", HUGE),
        ("cells/_/values", 1),
        ("cells/_/right", [1]),
        ("cells/_/right/one", [8, "/w=="]),
        ("cells/_/right/0", [8, "not base64!"]),
        ("cells/_/right/0", [9, "/w=="]),
        ("cells/_/right/0", [HUGE, "/w=="]),
        ("cells/_/right/0", ["8", "/w=="]),
        ("cells/_/right/0", [8, 5]),
        ("cells/_/right/0", [8]),
        ("cells/_/right/0", [-1, ""]),
        ("cells/_/right/0", None),
        ("machine", []),
        ("machine", None),
        ("machine/cores_usable", "two"),
        ("machine/memory_total", -1),
        ("machine/memory_total", HUGE),
        ("machine/gpus", [1]),
        ("machine/memory_total", "much"),
        ("threads", None),
        ("threads", 0),
        ("threads", -1),
        ("threads", 1.5),
        ("threads", "2"),
        ("asked", None),
        ("asked/steps", "10"),
        ("asked/epochs", -3),
        ("asked/seed", 0.5),
        ("asked/data", "other"),
        ("floors", []),
        ("floors/throughput", "0"),
        ("floors/throughput", HUGE),
        ("floors/throughput", 710),
        ("cells/_/logs/latency/0", -9e9),
        ("workloads", []),
        ("workloads/mlp-digits", {}),
        ("workloads/mlp-digits", None),
        ("versions", 3),
    ],
)
def test_a_file_that_a_check_could_not_use_is_refused(
    tmp_path: Path, table: Table, place: str, value: object
) -> None:
    path = tmp_path / "spoilt.json"
    path.write_text(json.dumps(spoilt(table, place, value)))
    with pytest.raises(store.StoreError, match=r"not a valid baseline \(.+\): save a new one"):
        baseline.read(path)


@pytest.mark.parametrize(
    "key",
    [
        "name",
        "run",
        "started",
        "threads",
        "asked",
        "machine",
        "workloads",
        "versions",
        "floors",
        "cells",
    ],
)
def test_a_file_that_lacks_something_says_what(tmp_path: Path, table: Table, key: str) -> None:
    path = tmp_path / "short.json"
    path.write_text(json.dumps({k: v for k, v in serialise.strict(table).items() if k != key}))
    with pytest.raises(store.StoreError, match=f"not a valid baseline .it lacks '{key}'."):
        baseline.read(path)


def test_numbers_that_are_none_are_refused(tmp_path: Path, table: Table) -> None:
    for word in ("NaN", "Infinity", "-Infinity", "1e999"):
        path = baseline.save(tmp_path, table)
        place = json.dumps(spoilt(table, "cells/_/logs/throughput/0", "HERE"))
        path.write_text(place.replace('"HERE"', word))
        with pytest.raises(store.StoreError, match="is out of range"):
            baseline.read(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(lawful, max_examples=60)
@given(st.data())
def test_whatever_a_file_holds_a_check_is_refused_or_comes_to_a_verdict(
    table: Table, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole: Any = json.loads(json.dumps(serialise.strict(table)))
    inner = whole
    while True:
        key = data.draw(
            st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner)))
        )
        if not (isinstance(inner[key], dict | list) and inner[key] and data.draw(st.booleans())):
            break
        inner = inner[key]
    inner[key] = data.draw(json_values)
    folder = tmp_path_factory.mktemp("any")
    path = folder / "any.json"
    path.write_text(json.dumps(whole))
    try:
        read = baseline.read(path)
    except store.StoreError as error:
        assert "\n" not in str(error)
        return
    record = _again(folder)
    (record.folder / baseline.COPY).write_text(path.read_text())
    assert verdict(record).status in (0, 1, 2, 3)
    assert read.unlike(record) is not None


_KEPT: dict[str, store.Record] = {}


def _again(folder: Path) -> store.Record:
    """A run that was held against some baseline: made once, for each example is quick then."""
    if "run" not in _KEPT:
        table = baseline.of(made(folder, {HEAD: {}, OTHER: {}}, seed=7, launches=3), "old")
        _KEPT["run"] = made(folder, {HEAD: {}, OTHER: {}}, baseline=table, launches=3)
    return _KEPT["run"]
