"""What is said of a figure over many runs: on a terminal, as JSON and CSV, as a page."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from rich.cells import cell_len
from rich.console import Console

from harness.report.history import content, html_page, terminal_table
from harness.report.history.content import History
from harness.results import history_db as database
from harness.results.metrics import IN_HISTORY
from harness.results.store import StoreError


@pytest.fixture(scope="module")
def fakes(request: pytest.FixtureRequest) -> ModuleType:
    import sys

    return sys.modules["tests.harness.report.conftest"]


def told(results: Path, metric: str = "throughput", pattern: str | None = None) -> History:
    database.update(results)
    return content.build(database.table(results), metric, pattern)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, fakes: ModuleType) -> Path:
    return fakes.dated_runs(tmp_path_factory.mktemp("dated"))


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory, fakes: ModuleType) -> Path:
    return fakes.dated_runs(tmp_path_factory.mktemp("odd"), fakes.HOSTILE.replace("/", ""))


def shown(found: History, width: int = 80, encoding: str = "utf-8") -> str:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    terminal_table.show(found, Console(file=out, width=width))
    out.seek(0)
    return out.read()


def test_a_change_is_marked_between_its_runs(results: Path) -> None:
    lines = shown(told(results, pattern="compile")).splitlines()
    (rule,) = (place for place, line in enumerate(lines) if line.startswith("──"))
    assert re.match(
        r"── slower by (9\.\d|10\.\d|10|11)% since 2\.13\.0 \(run \S+\) ─+$", lines[rule]
    )
    assert lines[rule - 1].startswith("2026-11-13  2.12.0")
    assert lines[rule + 1].startswith("2026-11-14  2.13.0")
    assert "1 change in 2 series (and 1 of fewer than 4 runs)" in "\n".join(lines)
    assert max(map(cell_len, lines)) <= 80


def test_a_run_has_its_value_its_net_and_its_dot_where_it_belongs(results: Path) -> None:
    text = shown(told(results, pattern="eager"))
    rows = re.findall(
        r"^2026-11-\d\d  2\.1\d\.0   ?3f1c9a7 +([\d,]+) +([+-]\d\.\d%|-)  (.*)$", text, re.M
    )
    assert len(rows) == 22  # the quick one has no others to be held against
    first = [(float(value.replace(",", "")), plot.index("●")) for value, _, plot in rows[:18]]
    assert [place for _, place in sorted(first)] == sorted(place for _, place in first)
    assert all(abs(float(net.rstrip("%"))) < 3 for _, net, _ in rows)


def test_machines_and_quick_runs_stand_apart(results: Path) -> None:
    text = shown(told(results, pattern="pytorch/eager"), 200)
    heads = [line for line in text.splitlines() if line.startswith("· ")]
    assert len(heads) == 3
    assert "AMD EPYC 9354" in heads[0] and "Xeon" in heads[1] and "quick runs" in heads[2]


def test_a_failed_run_is_shown(results: Path) -> None:
    (row,) = re.findall(r"^2026-11-10 .*$", shown(told(results, pattern="jax")), re.M)
    assert row.rstrip().endswith("crashed")


@pytest.mark.parametrize("width", [20, 40, 80, 160])
@pytest.mark.parametrize("metric", IN_HISTORY)
def test_nothing_is_wider_than_the_terminal(results: Path, width: int, metric: str) -> None:
    if metric == "latency":
        with pytest.raises(StoreError, match="no stored run has latency"):
            told(results, metric)
        return
    text = shown(told(results, metric), width)
    assert max(map(cell_len, text.splitlines())) <= width


def test_a_poor_terminal_gets_plain_letters(results: Path) -> None:
    text = shown(told(results, pattern="compile"), encoding="ascii")
    assert "-- slower by" in text and re.search(r"\|-*o-*\|", text)


def test_only_the_last_runs_are_drawn_and_all_changes_told(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal_table, "MOST", 3)
    text = shown(told(results, pattern="compile"))
    assert "(15 earlier runs: --format csv has all)" in text
    assert len(re.findall(r"^2026-", text, re.M)) == 3 + 3 + 1 and "── slower by" in text


def test_cells_are_found_by_a_part_of_their_name(results: Path) -> None:
    for pattern, count in ((None, 4), ("pytorch", 2), ("digits/*/jit", 1), ("p?torch/e", 1)):
        assert len({one.cell for one in told(results, pattern=pattern).series}) == count
    with pytest.raises(StoreError, match='no cell has "jat" in its name; there are cnn-digits/'):
        told(results, pattern="jat")


def test_json_and_csv_have_every_run_and_every_change(results: Path) -> None:
    found = told(results)
    document = json.loads(content.document(found))
    assert (document["schema"], document["metric"]) == (content.SCHEMA, "throughput")
    (series,) = (one for one in document["series"] if one["changes"])
    (change,) = series["changes"]
    assert (change["version"], change["word"], change["better"]) == ("2.13.0", "slower", False)
    assert change["change"] == pytest.approx(0.9, abs=0.02)
    assert series["against"] == ["jax", "mxnet"] and len(series["points"]) == 18
    table = pd.read_csv(io.StringIO(content.csv(found)))
    assert tuple(table.columns) == content.COLUMNS and len(table) == 4 * 23
    marked = table[table["change"].notna()]
    assert list(marked["run"]) == [change["run"]]
    assert list(marked["change"]) == pytest.approx([change["change"]])
    failed = table[table["status"] == "crashed"]
    assert len(failed) == 1 and failed["value"].isna().all()


def test_a_change_without_another_framework_may_be_the_machines(
    tmp_path: Path, fakes: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fakes, "TREND", ("pytorch/eager",))
    for day in range(12):
        fakes.dated_run(tmp_path, day)
    text = " ".join(shown(told(tmp_path)).split())
    assert re.search(r"slower by \d+% since run \S+ \(or the machine changed\)", text)
    assert content.ALONE in text and "adjusted" not in text


def test_the_page_has_a_plot_a_cell_and_every_run(results: Path) -> None:
    found = told(results)
    page = html_page.build(found)
    (part,) = page.parts
    assert [figure.title.split("/")[1] for _, figure, _ in part.plots] == ["pytorch"] * 2 + [
        "jax",
        "mxnet",
    ]
    (change,) = page.changes
    assert change[:2] == ("bad", part.plots[1][0]) and "since 2.13.0" in change[2]
    _, figure, sheets = part.plots[1]
    assert [len(sheet.rows) for sheet in sheets] == [18, 4, 1]
    assert figure.layout["shapes"][0]["x0"] == "2026-11-14 06:30:12"
    assert figure.layout["annotations"][0]["text"].startswith("slower by")
    dots = [trace for trace in figure.traces if trace["mode"] == "markers"]
    assert len({trace["marker"]["color"] for trace in dots}) == 2  # two machines
    assert {trace["marker"]["symbol"].endswith("-open") for trace in dots} == {True, False}
    assert "run 2" in dots[0]["hovertext"][0] and "samples/s" in dots[0]["hovertext"][0]
    assert all(bar is None or bar >= 0 for bar in dots[0]["error_y"]["array"])


def test_memory_is_drawn_in_mebibytes(results: Path) -> None:
    figure = html_page.build(told(results, "memory")).parts[0].plots[0][1]
    assert {y for trace in figure.traces for y in trace["y"]} == {498.0}


def test_nothing_foreign_is_markup(results: Path, odd: Path, fakes: ModuleType) -> None:
    clean, strange = (html_page.render(told(one)) for one in (results, odd))
    assert strange.count("<script") == clean.count("<script") == 3
    assert "<img" not in strange and "&lt;img src=x" in strange
    assert "&lt;img" in json.dumps(html_page.build(told(odd)).data).replace("\\u003c", "<")
    assert "<img" not in json.dumps(html_page.build(told(odd)).data)
    assert "\x1b" not in shown(told(odd))


def test_the_page_lies_among_the_reports(results: Path) -> None:
    whole = html_page.write(told(results), results, None)
    some = html_page.write(told(results, pattern="jax"), results, "jax")
    assert whole == results / "reports" / "history-throughput.html"
    assert some.parent == whole.parent and some != whole
    assert whole.read_text().startswith("<!doctype html>")
