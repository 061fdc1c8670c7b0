"""A run's folder: what is written is read back, and what is broken is said in one line."""

from __future__ import annotations

import json
import math
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.report.formats import write
from harness.results import store
from harness.results.reopen import reopen
from harness.results.store import Run, StoreError

CELL = "toy/left/fast/cpu/float32"
OTHER = "toy/right/slow/cpu/float32"


def manifest(*cells: str, **more: Any) -> dict[str, Any]:
    return {"cells": list(cells), "options": {"data": "real"}, **more}


def test_a_run_is_made_with_everything_in_it(tmp_path: Path) -> None:
    run = Run.create(tmp_path, manifest(CELL))
    run.append("run-started")
    run.close()
    assert {path.name for path in run.folder.iterdir()} == {"manifest.json", "events.jsonl", "logs"}
    record = store.read(run.folder)
    assert record.manifest["run"] == run.folder.name
    assert record.manifest["schema"] == store.SCHEMA
    assert record.manifest["started"].endswith("+00:00")
    assert [event["event"] for event in record.events] == ["run-started"]


def test_runs_made_at_once_never_clash(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Run.create(tmp_path, manifest()), range(60)))
    for run in made:
        run.close()
    assert len({run.folder for run in made}) == 60
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(r.folder.name for r in made)


def test_an_event_is_on_disk_as_soon_as_it_is_told(tmp_path: Path) -> None:
    run = Run.create(tmp_path, manifest())
    run.append("opened", CELL, rss=12)
    (event,) = store.read(run.folder).events
    assert event.pop("time") >= 0
    assert event == {"event": "opened", "cell": CELL, "rss": 12}
    run.close()


def test_events_from_many_threads_do_not_mix(tmp_path: Path) -> None:
    run = Run.create(tmp_path, manifest())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: run.append("progress", CELL, step=n, pad="x" * 500), range(400)))
    run.close()
    events = store.read(run.folder).events
    assert sorted(event["step"] for event in events) == list(range(400))
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)


KEYS = st.text(min_size=1).filter(lambda key: key not in ("time", "event", "cell", "self"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    return [finite(one) for one in value] if isinstance(value, list) else value


def refuse(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


@settings(max_examples=60, deadline=None)
@given(told=st.lists(st.dictionaries(KEYS, VALUES, max_size=4), max_size=5))
def test_the_journal_gives_back_what_it_was_told(told: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder), manifest())
        for fields in told:
            run.append("any", CELL, **fields)
        run.close()
        events = store.read(run.folder).events
        lines = (run.folder / "events.jsonl").read_text().splitlines()
    bare = [{k: v for k, v in e.items() if k not in ("time", "event", "cell")} for e in events]
    assert bare == [finite(fields) for fields in told]
    for line in lines:
        json.loads(line, parse_constant=refuse)


def test_numpy_and_paths_are_told_as_plain_values(tmp_path: Path) -> None:
    run = Run.create(tmp_path, manifest(where=Path("a/b")))
    run.append("trained", CELL, losses=np.array([1.5, np.nan]), n=np.int64(3), x=np.float32("inf"))
    run.close()
    record = store.read(run.folder)
    (event,) = record.events
    assert (event["losses"], event["n"], event["x"]) == ([1.5, None], 3, None)
    assert record.manifest["where"] == "a/b"


def test_the_journal_keeps_its_own_time(tmp_path: Path) -> None:
    run = Run.create(tmp_path, manifest())
    with pytest.raises(ValueError, match="time"):
        run.append("any", None, time=3)
    run.close()


def test_a_manifest_is_replaced_whole(tmp_path: Path) -> None:
    run = Run.create(tmp_path, manifest(CELL))
    run.update_manifest(datasets={"digits": {"train": 3}}, note=math.nan)
    run.close()
    told = store.read(run.folder).manifest
    assert told["datasets"] == {"digits": {"train": 3}}
    assert told["cells"] == [CELL] and told["note"] is None and told["run"] == run.folder.name
    assert not list(run.folder.glob(".*"))


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path: Path, cut: int) -> None:
    run = Run.create(tmp_path, manifest())
    run.append("opened", CELL)
    run.append("built", CELL)
    run.close()
    journal = run.folder / "events.jsonl"
    journal.write_bytes(journal.read_bytes()[:-cut])
    record = store.read(run.folder)
    assert [event["event"] for event in record.events] == ["opened"]
    assert record.torn


def test_zero_bytes_at_the_end_as_a_power_cut_leaves_them_are_left_out(tmp_path: Path) -> None:
    run = Run.create(tmp_path, manifest(CELL))
    run.append("run-started")
    run.append("checkpoint", workload="w", turn=0, launch=0, took=0.0, spent=0.0, left=None)
    run.close()
    with (run.folder / store.JOURNAL).open("ab") as journal:
        journal.write(bytes(4096))
    record = store.read(run.folder)
    assert record.torn and len(record.events) == 2
    reopened, record = reopen(run.folder)
    reopened.append("run-resumed")
    reopened.close()
    assert [event["event"] for event in store.read(run.folder).events][-1] == "run-resumed"
    assert not store.read(run.folder).torn


def test_a_field_that_is_nested_deeper_than_can_be_followed_is_named(tmp_path: Path) -> None:
    deep = "[" * 400 + "]" * 400
    folder = damaged(tmp_path, store.MANIFEST, f'{{"schema": {store.SCHEMA}, "options": {deep}}}')
    with pytest.raises(
        StoreError, match=r"manifest\.json: options is nested too deep; the file is dam"
    ):
        store.read(folder)
    folder = damaged(tmp_path / "b", store.JOURNAL, f'{{"event": "built", "settings": {deep}}}\n')
    with pytest.raises(StoreError, match=r"events\.jsonl:1: built: settings is nested too deep"):
        store.read(folder)


@pytest.mark.parametrize("name", [store.MANIFEST, store.JOURNAL])
def test_a_run_that_is_nested_without_end_is_one_line(tmp_path: Path, name: str) -> None:
    folder = damaged(tmp_path, name, "[" * 100_000 + "]" * 100_000 + "\n")
    with pytest.raises(StoreError) as failure:
        store.read(folder)
    assert str(folder) in str(failure.value) and "\n" not in str(failure.value)


def damaged(tmp_path: Path, name: str, content: str | None) -> Path:
    run = Run.create(tmp_path, manifest())
    run.append("run-started")
    run.close()
    path = run.folder / name
    path.unlink() if content is None else path.write_text(content)
    return run.folder


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("manifest.json", None, "manifest.json: cannot be read"),
        ("manifest.json", "{", "not JSON"),
        ("manifest.json", "[]", "has no `schema`"),
        (
            "manifest.json",
            '{"schema": 99}',
            "has schema 99, this samestep reads 2: update samestep",
        ),
        ("manifest.json", '{"schema": 0}', "read it with the samestep that wrote it"),
        ("events.jsonl", None, "run it again"),
        ("events.jsonl", '{"event": "a"}\n{"event": \n', r"events.jsonl:2: is no event"),
        ("events.jsonl", "7\n", r"events.jsonl:1: is no event"),
        ("events.jsonl", '{"time": 1}\n', r"events.jsonl:1: is no event"),
    ],
)
def test_a_damaged_run_is_told_in_one_line(
    tmp_path: Path, name: str, content: str | None, said: str
) -> None:
    folder = damaged(tmp_path, name, content)
    with pytest.raises(StoreError, match=said) as caught:
        store.read(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)
    (entry,) = store.runs(tmp_path)
    assert entry.status.startswith("cannot be read")


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="--out"):
        Run.create(tmp_path / "file" / "results", manifest())


def test_runs_are_listed_oldest_first(tmp_path: Path) -> None:
    (tmp_path / "baselines").mkdir()
    (tmp_path / "README.md").write_text("no run")
    assert store.runs(tmp_path / "nowhere") == [] == store.runs(tmp_path)
    names = []
    for hour in (11, 9, 10):
        run = Run.create(tmp_path, manifest(CELL, started=f"2026-01-01T{hour:02}:00:00+00:00"))
        run.append("cell-done", CELL)
        if hour != 9:
            run.append("run-ended", status="ok", exit_code=0)
        run.close()
        names.append(run.folder.name)
    entries = store.runs(tmp_path)
    assert [entry.name for entry in entries] == [names[1], names[2], names[0]]
    assert [entry.status for entry in entries] == ["unfinished", "ok", "ok"]
    assert {(entry.ok, entry.cells, entry.data) for entry in entries} == {(1, 1, "real")}
    assert store.resolve(tmp_path, "latest").name == names[0]


def test_a_run_is_found_by_what_names_it(tmp_path: Path) -> None:
    results = tmp_path / "results"
    for name in ("20260101T000000Z-aaaa", "20260101T000000Z-abbb", "20260202T000000Z-aaaa"):
        (results / name).mkdir(parents=True)
    assert store.resolve(results, "20260202").name == "20260202T000000Z-aaaa"
    assert store.resolve(results, "20260101T000000Z-abbb").name == "20260101T000000Z-abbb"
    path = results / "20260101T000000Z-aaaa"
    assert store.resolve(tmp_path / "elsewhere", str(path)) == path
    with pytest.raises(StoreError, match="begins 2 runs"):
        store.resolve(results, "20260101")
    for unknown in ("2025", ""):
        with pytest.raises(StoreError, match="no run"):
            store.resolve(results, unknown)
    with pytest.raises(StoreError, match="no runs there; make one"):
        store.resolve(tmp_path / "elsewhere", "latest")


def test_finish_writes_the_same_from_the_store_each_time(tmp_path: Path) -> None:
    run = Run.create(tmp_path, manifest(CELL, OTHER))
    for number in range(3):
        run.append("slice", CELL, round=number, kind="train", samples=9, seconds=1.0)
    run.append("cell-done", CELL)
    # A worker's log may hold what is no text: it must not cost the report.
    run.append(
        "cell-failed", OTHER, status="crashed", reason="\udcff|\x1b[31m", log_tail=["\ud800"]
    )
    run.close()
    write(store.read(run.folder))
    made = ("samples.csv", "summary.csv", "report.md")
    first = {name: (run.folder / name).read_bytes() for name in made}
    for name in made:
        (run.folder / name).unlink()
    write(store.read(run.folder))
    assert {name: (run.folder / name).read_bytes() for name in made} == first
    assert (
        len(first["summary.csv"].splitlines()) == 3 and len(first["samples.csv"].splitlines()) == 4
    )


def test_an_empty_run_has_empty_tables(tmp_path: Path) -> None:
    run = Run.create(tmp_path, {})
    run.close()
    record = store.read(run.folder)
    write(record)
    assert store.samples(record).empty and store.summary(record).empty
    assert "train_samples_per_s" in store.summary(record)
    assert (run.folder / "report.md").read_text().startswith("# samestep run")
