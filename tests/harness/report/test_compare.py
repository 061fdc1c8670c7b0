"""What is said of the changes between two runs: on a terminal, as Markdown, as JSON."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from harness.report import compare
from harness.results import store
from tests.harness.report.made_up import ReportRun

CELLS = ("pytorch/eager", "pytorch/compile", "jax/jit")


def run(
    folder: Path, fake: ModuleType, faster: float = 1.0, launches: int = 3, **more: Any
) -> Path:
    """A run of three cells, of which one is `faster`."""
    cells = [f"cnn-digits/{cell}/cpu/float32" for cell in CELLS]
    made = ReportRun(folder, {**fake.manifest(cells, parity_steps=20), **more})
    made.begin()
    for cell in cells:
        made.open_cell(cell)
        made.train(cell)
        speed = fake.SPEEDS[cell.split("/", 1)[1].removesuffix("/cpu/float32")]
        made.time_slices(
            cell, launches=launches, speed=speed * (faster if "/compile/" in cell else 1)
        )
        made.done(cell)
    made.end()
    return made.folder


def shown(a: Path, b: Path, width: int = 80) -> str:
    out = io.StringIO()
    compare.show(store.read(a), store.read(b), Console(file=out, width=width))
    return out.getvalue()


def words(text: str) -> str:
    return " ".join(text.split())


def test_a_change_is_told_with_its_interval_and_a_verdict(tmp_path: Path, fake: ModuleType) -> None:
    text = shown(run(tmp_path, fake), run(tmp_path, fake, faster=1.4), 120)
    (row, relative, *_) = (line for line in text.splitlines() if "pytorch compile" in line)
    assert re.search(r"1\.400\s+1\.3\d\d to 1\.4\d\d\s+faster", row)
    assert re.search(r"1\.400\s+1\.3\d\d to 1\.4\d\d\s+faster", relative)
    assert "training samples/s: 2 cells equivalent and 1 cell faster" in text
    assert "cnn-digits: training samples/s over jax jit's\n" in text
    assert "accuracy: 3 cells inconclusive" in text


def test_absolute_speeds_come_with_what_is_not_in_them(tmp_path: Path, fake: ModuleType) -> None:
    text = words(shown(run(tmp_path, fake), run(tmp_path, fake)))
    assert "advisory" in text and "drifted between them is in no interval" in text
    kernel = {"machine": {**fake.manifest([])["machine"], "kernel": "5.4"}}
    other = words(shown(run(tmp_path, fake), run(tmp_path, fake, **kernel)))
    assert "advisory" not in other and "another machine" in other
    assert "not the same machine: kernel: 6.8.0-45-generic, then 5.4" in other


def test_single_values_are_shown_only_where_they_moved(tmp_path: Path, fake: ModuleType) -> None:
    text = words(shown(run(tmp_path, fake), run(tmp_path, fake), 120))
    assert "are not judged: 0 of 6 moved by more than 5%" in text
    a, b = run(tmp_path, fake), run(tmp_path, fake)
    journal = b / "events.jsonl"
    journal.write_text(journal.read_text().replace(str(498 * 2**20), str(996 * 2**20)))
    assert re.search(r"pytorch eager\s+peak memory, MiB\s+498\s+996\s+2\.000", shown(a, b, 120))
    c, d = fake.rich_run(tmp_path), fake.rich_run(tmp_path)
    journal = d / "events.jsonl"
    journal.write_text(journal.read_text().replace('"p99": 0.0004', '"p99": 0.0005'))
    row = r"pytorch eager\s+latency of one example, ms, p99\s+0\.4\s+0\.5\s+1\.250"
    assert re.search(row, shown(c, d, 120))


def test_nothing_to_compare_is_said(tmp_path: Path, fake: ModuleType) -> None:
    a = run(tmp_path, fake)
    other = {"workloads": {"cnn-digits": fake.spec(dataset="other")}}
    text = words(shown(a, run(tmp_path, fake, **other)))
    assert "nothing can be compared" in text
    assert "another spec: data.dataset digits in A, other in B" in text
    single = words(shown(a, run(tmp_path, fake, launches=1)))
    both = "training samples/s and inference samples/s: at least 2 launches a run are needed"
    assert both in single and single.count("at least 2 launches") == 1


def test_a_run_that_was_not_checked_or_not_ended_is_said(tmp_path: Path, fake: ModuleType) -> None:
    a = run(tmp_path, fake)
    unchecked = {"options": {**fake.manifest([])["options"], "parity_steps": 0}}
    b = run(tmp_path, fake, **unchecked)
    journal = b / "events.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:-1]))
    text = words(shown(a, b))
    assert (
        "B: numerical equivalence was not checked" in text and "B did not come to its end" in text
    )


def test_versions_and_settings_that_differ_are_listed(tmp_path: Path, fake: ModuleType) -> None:
    a, b = run(tmp_path, fake), run(tmp_path, fake)
    journal = b / "events.jsonl"
    told = journal.read_text().replace("2.13.0+cpu", "2.14.0").replace('"NCHW"', '"NH|WC"')
    journal.write_text(told)
    text = words(shown(a, b))
    assert "torch pytorch 2.13.0+cpu 2.14.0" in text and "NCHW NH|WC" in text
    assert "jax/jit/cpu/float32 were taken within each run's rounds" in text
    markdown = compare.render(store.read(a), store.read(b))
    assert "## not the same: versions" in markdown and "NH\\|WC" in markdown
    journal.write_text(told.replace("0.10.2", "0.11.0"))
    assert "did not stay as it was" in words(shown(a, b))


@pytest.mark.parametrize("width", [20, 40, 80, 160])
def test_nothing_is_wider_than_the_terminal(tmp_path: Path, fake: ModuleType, width: int) -> None:
    text = shown(fake.mixed_run(tmp_path), fake.good_run(tmp_path, "cnn-digits", threads=1), width)
    assert max(map(cell_len, text.splitlines())) <= width


def test_markdown_has_every_table_whole(tmp_path: Path, fake: ModuleType) -> None:
    text = compare.render(store.read(fake.mixed_run(tmp_path)), store.read(fake.good_run(tmp_path)))
    assert text.startswith("# samestep: from A, ")
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert tables
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1


def test_json_has_every_figure(tmp_path: Path, fake: ModuleType) -> None:
    a, b = run(tmp_path, fake), run(tmp_path, fake, faster=1.4)
    told = json.loads(compare.document(store.read(a), store.read(b)))
    assert (told["schema"], told["a"], told["b"]) == (compare.SCHEMA, a.name, b.name)
    (one,) = (
        one
        for one in told["changes"]
        if one["figure"] == "train_samples_per_s" and "compile" in one["cell"] and not one["anchor"]
    )
    assert one["verdict"] == "faster" and one["low"] < 1.4 < one["high"]
