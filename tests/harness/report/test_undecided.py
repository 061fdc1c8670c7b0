"""An undecided cell is shown, not ranked, and named in every output; a refused workload is said once."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

from harness.analysis import compare_runs as compared
from harness.report import compare, content, document, formats, headlines, markdown, terminal
from harness.report.groups import groups, load
from harness.report.history import content as history
from harness.report.history import html_page, terminal_table
from harness.report.html import plots, renderer, run_page, style
from harness.results import history_db as database
from harness.results import store

CELL = "cnn-digits/pytorch/eager/cpu/float32"
NAMED = "parity undecided: update of conv1.bias after step 20, gradient of dense1.bias at step 1"


@pytest.fixture
def folder(tmp_path: Path, fake: ModuleType) -> Path:
    return fake.undecided_run(tmp_path)


def printed(show: Callable[[Console], None]) -> str:
    out = io.StringIO()
    show(Console(file=out, width=400))
    return " ".join(out.getvalue().split())


def visible(page: str) -> str:
    """The text of a page that a reader sees: without its scripts."""
    bare = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    texts: list[str] = []

    class Seen(HTMLParser):
        def handle_data(self, data: str) -> None:
            texts.append(data)

    Seen().feed(bare)
    return " ".join(" ".join(texts).split())


def test_it_keeps_its_figures_and_has_no_rank_and_no_pair(folder: Path) -> None:
    record = store.read(folder)
    table = store.summary(record).set_index("cell")
    row = table.loc[CELL]
    assert (row["status"], row["parity"], row["reason"]) == ("undecided", "undecided", NAMED)
    assert row["train_samples_per_s"] == table["train_samples_per_s"].max()
    assert row["accuracy"] == 0.99
    assert sorted(table["rank"].dropna()) == list(range(1, 9)) and table["rank"].isna()[CELL]
    pairs = record.pairs
    assert len(pairs) == 2 * 8 * 7 / 2 and CELL not in {*pairs["a"], *pairs["b"]}


def test_it_leads_in_no_claim_no_plot_and_no_count(folder: Path) -> None:
    loaded = load([store.read(folder)])
    (group,) = groups(loaded)
    told = headlines.claims(group)
    assert [claim.text.partition(":")[0] for claim in told] == [
        "pytorch compile is fastest on cnn-digits",
        "pytorch compile is fastest on cnn-digits in inference",
    ]
    looks = style.styles(loaded.cells)
    (cell,) = loaded.cells.loc[loaded.cells["cell"] == CELL, "id"]
    for figure in (plots.ranking(group, looks, "train"), plots.pareto(group, looks)):
        assert figure and all(cell not in trace["meta"] for trace in figure.traces)
    (section,) = content.build(store.read(folder)).sections
    assert ("good", "9 cells reached the target accuracy of 0.95") in section.notes


def test_the_run_is_neither_good_nor_bad(folder: Path, tmp_path: Path, fake: ModuleType) -> None:
    report = content.build(store.read(folder))
    assert (report.tone, report.verdict) == ("warn", "9 of 10 cells ok: 1 undecided")
    (row,) = (row for row in report.sections[0].rows if row.status == "undecided")
    assert (row.label, row.tone) == ("pytorch eager", "warn")


def test_every_output_of_a_run_names_its_tensors(folder: Path) -> None:
    record = store.read(folder)
    assert f"pytorch eager: {NAMED}" in printed(lambda console: terminal.show(record, console))
    parity = printed(lambda console: terminal.parity(record, console))
    assert "pytorch eager undecided gradient of dense1.bias at step 1 0.2 3" in parity
    assert f"{CELL}: {NAMED}" in parity
    assert f"pytorch eager: {NAMED}" in markdown.render(record)
    shown = visible(renderer.render([record]))
    assert f"pytorch eager undecided {NAMED}" in shown  # in the list of what is not ranked
    line = "parity check: 9 cells equivalent to the reference, 1 undecided;"
    for text in (shown, markdown.render(record)):
        assert line in text
    rows = {row["cell"]: row for row in csv.DictReader(io.StringIO(formats.text([record], "csv")))}
    assert (rows[CELL]["status"], rows[CELL]["reason"]) == ("undecided", NAMED)
    (run,) = json.loads(document.render([record]))["runs"]
    told = {cell["cell"]: cell for cell in run["cells"]}[CELL]
    assert (told["parity"], told["reason"], told["rank"]) == ("undecided", NAMED, None)


def test_a_comparison_of_runs_names_it_and_does_not_compare_it(
    folder: Path, tmp_path: Path, fake: ModuleType
) -> None:
    before, after = store.read(fake.good_run(tmp_path)), store.read(folder)
    for text in (
        printed(lambda console: compare.show(before, after, console)),
        compare.render(before, after),
        compare.document(before, after),
    ):
        assert f"in B: {NAMED}" in text
    found = compared.compare(before, after)
    assert CELL not in {change.cell for change in found.changes}
    assert CELL not in {change.anchor for change in found.changes}


def test_the_history_shows_it_without_a_value(tmp_path: Path, fake: ModuleType) -> None:
    fake.good_run(tmp_path, parity_steps=20)
    fake.undecided_run(tmp_path)
    assert database.update(tmp_path) == []
    series = history.build(database.table(tmp_path), "throughput", "pytorch/eager")
    assert NAMED in printed(lambda console: terminal_table.show(series, console))
    assert NAMED in visible(html_page.render(series))
    (told,) = json.loads(history.document(series))["series"]
    points = {point["status"]: point for point in told["points"]}
    assert points["ok"]["value"] > 0 and points["undecided"]["value"] is None
    rows = {row["status"]: row for row in csv.DictReader(io.StringIO(history.csv(series)))}
    for shown in (points, rows):
        assert {status: row["reason"] for status, row in shown.items()} == {
            "ok": "",
            "undecided": NAMED,
        }


def test_its_details_have_each_verdict_and_the_replayed_slices_together(folder: Path) -> None:
    cells = run_page.build([store.read(folder)]).data["cells"]
    (undecided,) = (cell for cell in cells.values() if cell["status"] == "undecided")
    assert [check["words"] for check in undecided["parity"]] == [
        "before timing: parity undecided: update of conv1.bias after step 20",
        "replayed (2 checks): equivalent",
        "replayed: parity undecided: gradient of dense1.bias at step 1",
    ]
    assert undecided["parity"][1]["rows"] == []
    # What is undecided, as parts of the effect: a bound of half of it or more.
    assert undecided["parity"][2]["rows"] == [
        ("gradient of dense1.bias", "at step 1", "0.12", "0.6", "0.12", "0.6")
    ]


def test_a_refused_workload_is_said_once_in_every_output(tmp_path: Path, fake: ModuleType) -> None:
    record, good = store.read(fake.refused_run(tmp_path)), store.read(fake.good_run(tmp_path))
    outputs = {
        "terminal": printed(lambda console: terminal.show(record, console)),
        "parity": printed(lambda console: terminal.parity(record, console)),
        "markdown": markdown.render(record),
        "page": visible(renderer.render([record])),
        "comparison": printed(lambda console: compare.show(record, good, console)),
        "comparison's markdown": compare.render(good, record),
        "comparison's JSON": compare.document(record, good),
    }
    assert {name: text.count(fake.REFUSED) for name, text in outputs.items()} == dict.fromkeys(
        outputs, 1
    )
    assert "mlp-digits was refused" in outputs["terminal"]
    table = store.summary(record).set_index("workload").loc["mlp-digits"]
    assert set(table["status"]) == {"not run"} and set(table["reason"]) == {fake.REFUSED}
    assert content.build(record).tone == "bad"
    assert [section.workload for section in content.build(record).sections] == ["cnn-digits"]
    assert [group.workload for group in groups(load([record]))] == ["cnn-digits"]
