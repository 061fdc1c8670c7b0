"""What reports say of a sweep: tables, sentences on crossings, a plot with error bars."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from harness.analysis.sweep_curves import CurvePair, sweep_curves
from harness.gate import baseline
from harness.report import content, markdown, sweeps, terminal
from harness.report.html import renderer, run_page
from harness.results import store
from harness.stats.crossings import Crossing
from tests.harness.analysis.test_sweep_curves import CROSSING, swept

PAIR = CurvePair("a eager", "b jit", {}, [])


@pytest.mark.parametrize(
    ("over", "change", "sentence"),
    [
        (
            "batch",
            Crossing(47.3, 31.8, 63.2, False),
            "from batch 48 (31 to 64) on, b jit leads a eager",
        ),
        (
            "batch",
            Crossing(47.3, 31.8, 63.2, True),
            "from batch 48 (31 to 64) on, a eager leads b jit",
        ),
        (
            "threads",
            Crossing(1.2, 1.1, 1.9, True),
            "from 2 threads (1 to 2) on, a eager leads b jit",
        ),
        (
            "width",
            Crossing(0.71, 0.6, 0.9, True),
            "from width 0.71 (0.6 to 0.9) on, a eager leads b jit",
        ),
    ],
)
def test_a_crossing_is_a_sentence(over: sweeps.Axis, change: Crossing, sentence: str) -> None:
    assert sweeps.crossing(over, PAIR, change) == sentence


def test_every_format_says_where_lines_cross(tmp_path: Path) -> None:
    record = swept(tmp_path, {**CROSSING, "third": (1e4, 1e4, 1e4)})
    (table,) = content.build(record).sweeps
    assert table.title == "net over batch size: training samples/s, cpu, float32"
    assert table.titles == ("cell", "batch 4", "batch 32", "batch 256")
    assert table.rows[0][0] == "third eager" and re.fullmatch(
        r"[\d,]+ \([\d,]+ to [\d,]+\)", table.rows[0][1]
    )
    notes = [note for _, note in table.notes]
    assert notes[0] == "third eager leads at every batch size of the sweep"
    assert re.fullmatch(r"from batch 5\d \(\d+ to \d+\) on, right eager leads left eager", notes[1])
    assert notes[2] == "2 of 3 pairs: no crossing in the range"
    console = Console(record=True, width=100, file=(tmp_path / "shown").open("w"))
    terminal.show(record, console)
    shown, text = console.export_text(), markdown.render(record)
    for note in notes:
        assert note in shown and note in text
    assert "Where each pair of cells crosses" in text
    assert "no crossing in the range: third eager leads" in text


def test_what_cannot_be_told_is_said_with_the_values(tmp_path: Path) -> None:
    record = swept(tmp_path, {"left": (100, 100, 100), "right": (99, 100, 300)}, noise=0.02)
    (table,) = sweeps.tables(record)
    assert table.notes == (
        (
            "note",
            "1 of 1 pair: whether they cross cannot be told, for their order is inconclusive somewhere",
        ),
    )
    assert table.pairs[0][2] == "cannot be told: inconclusive at batch 4 and batch 32"


def test_the_page_has_the_curves_with_error_bars_and_a_cross(tmp_path: Path) -> None:
    record = swept(tmp_path, CROSSING)
    page = run_page.build([record])
    (part,) = page.sweeps
    *lines, cross = part.figure.traces
    assert [line["x"] for line in lines] == [[4, 32, 256]] * 2
    assert all(len(line["error_y"]["array"]) == 3 for line in lines)
    ids = {line.texts[0] + line.texts[1]: line.id for line in page.lines}
    assert len({cell for line in lines for cell in line["meta"]}) == len(page.lines) == 6 and ids
    assert cross["meta"] == [] and 32 < cross["x"][0] < 256
    assert cross["hovertext"][0].startswith("from batch ")
    text = renderer.render([record])
    assert f'href="#{part.key}-sweep"' in text and part.title in text
    two = run_page.build([record, record])
    assert [part.title[:3] for part in two.sweeps] == ["A: ", "B: "]


def test_a_missed_target_at_a_value_that_is_not_the_files_is_no_failure(tmp_path: Path) -> None:
    record = swept(tmp_path, CROSSING)
    journal = record.folder / store.JOURNAL
    scored = [
        {"time": 0, "event": "evaluated", "cell": cell, "accuracy": 0.5, "examples": 360}
        for cell in record.manifest["cells"]
    ]
    journal.write_text(journal.read_text() + "".join(json.dumps(event) + "\n" for event in scored))
    report = content.build(store.read(record.folder))
    sections = {section.workload: section.notes for section in report.sections}
    tones = {
        name: next(tone for tone, note in notes if "missed the target" in note)
        for name, notes in sections.items()
    }
    assert tones == {"net batch 4": "note", "net batch 32": "bad", "net batch 256": "note"}
    assert any(
        "at batch 4, for which nothing was tuned" in note for _, note in sections["net batch 4"]
    )


def test_a_sweep_is_no_baseline(tmp_path: Path) -> None:
    with pytest.raises(store.StoreError, match="cannot be a baseline: it is a sweep"):
        baseline.of(swept(tmp_path, CROSSING))


def test_what_is_no_sweep_shows_none(tmp_path: Path) -> None:
    record = swept(tmp_path, CROSSING)
    del record.manifest["sweep"]
    assert content.build(record).sweeps == () and run_page.build([record]).sweeps == []
    assert sweep_curves(record) == []
