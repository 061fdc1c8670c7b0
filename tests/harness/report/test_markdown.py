"""The report as Markdown."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from harness.report import markdown
from harness.results import store
from harness.text import plain
from tests.harness.report.made_up import ReportRun


def render(folder: Path) -> str:
    return markdown.render(store.read(folder))


def html(text: str) -> str:
    return MarkdownIt("gfm-like", {"linkify": False}).render(text)


def shown(text: str) -> str:
    """What a reader sees of a text that was written as one table cell."""
    page = html(f"| a | b |\n| --- | --- |\n| x{text}x | y |")
    cells = re.findall(r"<td>(.*?)</td>", page)
    assert len(cells) == 2 and cells[1] == "y"
    for code, letter in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        cells[0] = cells[0].replace(code, letter)
    return cells[0]


@example("<_<_<")
@given(st.text(alphabet=st.sampled_from("ab_*`|~#[]()<>&\\ -+1.!@'\"{}$^\n\té")))
def test_foreign_text_is_shown_as_it_is(text: str) -> None:
    text = " ".join(plain(text).split())
    assert shown(markdown.escape(text)) == f"x{text}x"


def test_every_table_is_whole(tmp_path: Path, fake: ModuleType) -> None:
    text = render(fake.mixed_run(tmp_path))
    widths: list[set[int]] = [set()]
    for line in text.splitlines():
        if line.startswith("|"):
            widths[-1].add(len(re.findall(r"(?<!\\)\|", line)))
        elif widths[-1]:
            widths.append(set())
    assert len(widths) > 4
    assert all(len(one) <= 1 for one in widths)


def test_it_says_what_a_reader_needs(tmp_path: Path, fake: ModuleType) -> None:
    text = render(fake.mixed_run(tmp_path))
    assert text.splitlines()[2] == (
        "✗ **13 of 21 cells ok: 6 unavailable, 1 crashed and 1 skipped**"
    )
    assert "| pytorch eager | 1 | 0.9722 | 0.9732 | 0.9712 |" in text
    assert "- **mxnet**: unavailable: libquadmath.so.0 is missing" in text
    assert "python cli.py run --framework all --out 'my results'" in text
    assert html(text).count("<table>") == 6


def test_a_log_cannot_close_its_own_block(tmp_path: Path, fake: ModuleType) -> None:
    page = html(render(fake.mixed_run(tmp_path)))
    assert "allocating 4 GiB |\n```\nKilled" in page


def test_a_name_cannot_break_the_page(tmp_path: Path, fake: ModuleType) -> None:
    cell = "toy|<b>/a|b<img src=x>/m`x/cpu/float32"
    run = ReportRun(tmp_path, fake.manifest([cell]))
    run.fail(cell, reason="<script>alert(1)</script> | [x](http://y)")
    run.end()
    page = html(render(run.folder))
    for bad in ("<script", "<img", "<b>", "<a href"):
        assert bad not in page


def test_synthetic_data_is_named_on_top(tmp_path: Path, fake: ModuleType) -> None:
    text = render(fake.good_run(tmp_path, data="synthetic"))
    assert "SYNTHETIC DATA" in "\n".join(text.splitlines()[:6])
    assert "accuracy |" not in text


def test_an_empty_run_has_a_report(tmp_path: Path) -> None:
    run = ReportRun(tmp_path, {})
    run.run.close()
    text = render(run.folder)
    assert "no cell was planned" in text and "| machine | not described |" in text
