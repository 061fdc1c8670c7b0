"""The HTML report, without a browser: what is in it, and that nothing foreign is markup."""

from __future__ import annotations

import dataclasses
import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from harness.report import formats
from harness.report.groups import groups, load
from harness.report.html import curves, downsample, plots, renderer, run_page, style
from harness.results import store
from harness.results.metrics import METRICS
from tests.harness.report.made_up import ReportRun

LARGEST = 6_000_000


class Seen(HTMLParser):
    """The tags, the attributes and the text that a browser would find."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def render(*folders: Path) -> str:
    return renderer.render([store.read(folder) for folder in folders])


def data(text: str) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_it_says_what_a_reader_needs(tmp_path: Path, fake: ModuleType) -> None:
    text = render(fake.rich_run(tmp_path))
    seen = Seen(text)
    assert len(text.encode()) < LARGEST
    for words in (
        "pytorch eager is fastest on cnn-digits: 1.80x (1.79 to 1.80)",
        "parity check: 19 cells equivalent to the reference, 1 not equivalent",
        "gradient of dense1.bias is off by 3e-2",
        "AMD EPYC 9354",
        "python cli.py run --framework all --out 'my results'",
        "torch 2.13.0+cpu",
        "95 of 100",
        "framework's own synchronisation",
    ):
        assert words in seen.text, words
    titles = re.findall(r"<figcaption><strong>(.*?)</strong>", text)
    assert titles[:11] == [
        "Training throughput",
        "Inference throughput",
        "Modes of one framework",
        "Latency of one example",
        "Accuracy, time and memory",
        "Memory",
        "Learning by step",
        "Learning by time",
        "Time to the first step",
        "Every slice of training",
        "Every slice of inference",
    ]


def test_nothing_foreign_is_markup(tmp_path: Path, fake: ModuleType) -> None:
    clean, odd = (Seen(render(fake.rich_run(tmp_path, odd))) for odd in ("", fake.HOSTILE))
    assert {tag for tag, _ in odd.tags} == {tag for tag, _ in clean.tags}
    assert sum(tag == "script" for tag, _ in odd.tags) == 3
    assert not [name for _, attrs in odd.tags for name in attrs if name.startswith("on")]
    assert fake.HOSTILE in odd.text and "{{7*7}}" in odd.text


def test_texts_in_plots_are_no_markup_to_the_plot_library() -> None:
    assert style.text("<b>&amp;</b>") == "&lt;b&gt;&amp;amp;&lt;/b&gt;"


def test_nothing_is_loaded(tmp_path: Path, fake: ModuleType) -> None:
    seen = Seen(render(fake.rich_run(tmp_path)))
    links = [attrs.get("src") or attrs.get("href") for _, attrs in seen.tags]
    inside = ("#", "data:image/png;base64,")
    assert all(link.startswith(inside) for link in links if link)
    policy = next(attrs["content"] for _, attrs in seen.tags if "http-equiv" in attrs)
    assert policy and policy.startswith("default-src 'none'") and "unsafe-eval" not in policy


@pytest.mark.parametrize("end", [True, False])
def test_empty_and_half_done_runs_have_a_report(
    tmp_path: Path, fake: ModuleType, end: bool
) -> None:
    empty = ReportRun(tmp_path, fake.manifest([]))
    half = ReportRun(tmp_path, fake.manifest(fake.plan("cnn-digits")))
    half.open_cell(fake.plan("cnn-digits")[0])
    if end:
        empty.end()
        half.end("interrupted")
    for run, words in ((empty, "there is nothing to compare"), (half, "no cell can be ranked")):
        assert words in render(run.folder)
    assert "partial" in render(half.folder)


def test_a_run_that_failed_altogether_has_a_report(tmp_path: Path, fake: ModuleType) -> None:
    cells = fake.plan("cnn-digits")
    run = ReportRun(tmp_path, fake.manifest(cells))
    for cell in cells:
        run.open_cell(cell)
        run.fail(cell)
    run.end("failed", 1)
    text = render(run.folder)
    assert "no cell can be ranked" in text and "short of memory" in text
    assert data(text)["cells"]["0"]["log"][-1] == "Killed"


def test_a_cell_has_the_end_of_its_log_and_its_parity_checks(
    tmp_path: Path, fake: ModuleType
) -> None:
    told = data(render(fake.rich_run(tmp_path)))["cells"]["0"]
    assert told["log"] == ["first line", "the last line of cnn-digits/pytorch/eager/cpu/float32"]
    assert told["parity"][0]["rows"][0][0] == "gradient of dense1.bias"


def test_every_metric_that_a_cell_has_is_shown(tmp_path: Path, fake: ModuleType) -> None:
    folder = fake.rich_run(tmp_path)
    text, row = render(folder), store.summary(store.read(folder)).iloc[0]
    heads = set(map(unescape, re.findall(r'class="sort">(.*?)</button>', text)))
    clicked = dict(data(text)["cells"]["0"]["more"])
    for metric in METRICS:
        if pd.notna(row[metric.column]):
            assert (metric.title in heads) != (metric.title in clicked), metric.name
    assert clicked["scoring, s"] == "0.050" and clicked["inference samples/s, slices"] == "15"
    assert clicked["training steps"] == "675"


def test_a_log_outside_the_run_is_not_read(tmp_path: Path, fake: ModuleType) -> None:
    (tmp_path / "secret").write_text("secret words")
    run = ReportRun(tmp_path, fake.manifest(fake.plan("cnn-digits")))
    for cell, log in zip(fake.plan("cnn-digits"), ("../secret", str(tmp_path / "secret"), "logs")):  # noqa: B905
        run.open_cell(cell, log=log)
    assert "secret words" not in render(run.folder)


def test_several_runs_are_one_report(tmp_path: Path, fake: ModuleType) -> None:
    one, two = fake.good_run(tmp_path), fake.good_run(tmp_path, data="synthetic")
    text = Seen(render(one, two)).text
    assert one.name in text and two.name in text
    assert "cnn-digits cpu float32 synthetic data" in text
    assert "A: the first losses of 9 cells agree" in text
    assert "B: the first losses of 9 cells agree" in text
    assert "A: the first losses" not in Seen(render(one)).text


def test_a_report_of_one_run_lies_with_it_and_of_several_apart(
    tmp_path: Path, fake: ModuleType
) -> None:
    records = [store.read(fake.good_run(tmp_path)) for _ in range(2)]
    assert renderer.place(records[:1], tmp_path) == records[0].folder / "report.html"
    several = renderer.place(records, tmp_path)
    assert several.parent == tmp_path / "reports" and several.name.startswith("2-runs-")
    assert renderer.place(records[::-1], tmp_path) == several
    formats.write(records[0])
    assert (records[0].folder / "report.html").read_text().startswith("<!doctype html>")


def test_samples_are_thinned_evenly_and_it_is_told(
    tmp_path: Path, fake: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downsample, "MOST", 10)
    monkeypatch.setattr(downsample, "LEAST", 4)
    text = render(fake.good_run(tmp_path))
    assert "Samples shown: 40 of 150, evenly spaced" in text
    table = pd.DataFrame(
        {
            "run": 0,
            "cell": "c",
            "kind": "train",
            "round": range(1, 101),
            "samples_per_s": 1.0,
            "noise": "",
        }
    )
    (points,) = downsample.downsample(table).points.values()
    assert points.place.tolist() == [9, 19, 29, 39, 49, 59, 69, 79, 89, 99]


def test_memory_has_its_floor_and_speed_its_limit(tmp_path: Path, fake: ModuleType) -> None:
    loaded = load([store.read(fake.good_run(tmp_path))])
    (group,) = groups(loaded)
    assert plots.utilisation(group, style.styles(loaded.cells)) is None  # it was not measured
    told = group.cells.assign(limit_share=0.25, memory_floor_bytes=2.0**20)
    group = dataclasses.replace(group, cells=told)
    memory = plots.memory(group, style.styles(loaded.cells))
    limit = plots.utilisation(group, style.styles(loaded.cells))
    assert memory and "1 MiB of weights" in memory.note and len(memory.traces) == 3
    assert memory.traces[2]["x"] == [211.0] * 9
    assert limit and limit.traces[0]["x"] == [25.0] * 9


def test_a_row_is_as_high_as_what_counts_or_all_where_nothing_does() -> None:
    deviation = np.array([0.9, 0.01, 0.04, 0.4])
    noisy, warm_up = np.array([[0, 0, 0, 1], [1, 0, 0, 0]], bool)
    for contaminated, span in ((noisy, 0.05), (~warm_up, 0.5), (~noisy, 0.5)):
        points = downsample.Points(np.arange(4), deviation, contaminated, warm_up)
        assert curves.fitting([points]) == span
    assert curves.fitting([]) == curves.SPANS[0]


def test_the_front_is_what_nothing_beats() -> None:
    cells = pd.DataFrame(
        {
            "train_s": [1.0, 2.0, 3.0, 3.0],
            "peak_memory_bytes": [3.0, 2.0, 2.0, 1.0],
            "accuracy": [0.9, 0.9, 0.9, 0.8],
        }
    )
    assert plots.front(cells) == [True, True, False, True]


def test_a_curve_has_first_losses_and_progress() -> None:
    events = [
        {"event": "parity", "time": 10.0},
        {"event": "progress", "time": 11.0, "step": 2, "loss": 1.5},
        {"event": "progress", "time": 12.0, "step": 8, "loss": 0.5},
        {"event": "trained", "time": 12.1, "losses": [2.0, 1.5, 1.2]},
    ]
    assert curves.curve(events, 99) == ([1, 2, 3, 8], [None, 1.0, None, 2.0], [2.0, 1.5, 1.2, 0.5])
    assert curves.curve(events, 2) == ([1, 8], [None, 2.0], [2.0, 0.5])


def test_a_curve_is_what_the_training_told_of_it() -> None:
    told = {"steps": [5, 10, 15], "seconds": [1.0, 2.0, 3.0], "losses": [2.0, 1.0, 0.5]}
    assert curves.curve([{"event": "trained", "curve": told}], 99) == tuple(told.values())


def test_a_framework_keeps_its_colour(tmp_path: Path, fake: ModuleType) -> None:
    cells = run_page.load([store.read(fake.good_run(tmp_path))]).cells
    looks = style.styles(cells)
    alone = style.styles(cells[cells["framework"] == "tensorflow"])
    assert all(looks[cell].colour == alone[cell].colour for cell in alone)
    told = zip(cells["framework"], cells["id"], cells["reference"], strict=True)
    colours = {(name, looks[cell].colour) for name, cell, reference in told if not reference}
    assert len(colours) == 4 == len({colour for _, colour in colours})


def test_equal_confusions_are_told_once(tmp_path: Path, fake: ModuleType) -> None:
    (first, *_) = run_page.build([store.read(fake.rich_run(tmp_path))]).parts
    assert [score.name for score in first.scores] == [
        "pytorch eager and 3 with the same",
        "pytorch compile and 5 with the same",
    ]
