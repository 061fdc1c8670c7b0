"""The matrix in docs/example/ is of today's matrix.toml and report, and of no machine that it names."""

from __future__ import annotations

import html
import re
import socket
from pathlib import Path

import pytest

from harness.commands.matrix.plan import _check
from harness.matrix import plan as planning
from harness.report.matrix.content import ABOUT, SCORES, SPEEDS, UNITS
from tests.docs.pages import DOCS

EXAMPLE = DOCS / "example" / "matrix"
REPORTS = ("report.md", "report.html", "terminal.txt")


def text_of(name: str) -> str:
    return (EXAMPLE / name).read_text(encoding="utf-8")


def assert_columns(titles: tuple[str, ...], name: str) -> None:
    text = text_of(name)
    if name == "report.md":
        assert f"| {' | '.join(titles)} |" in text
    elif name == "report.html":
        page = html.unescape(text)
        assert all(f'<th scope="col">{title}</th>' in page for title in titles)
    else:
        assert set(" ".join(titles).split()) <= set(text.split())


def test_the_reports_have_todays_columns() -> None:
    for name in REPORTS:
        assert ABOUT[:40] in text_of(name)
        for titles in (SCORES, UNITS):
            assert_columns(titles, name)


def test_they_are_of_the_matrix_file_beside_them(tmp_path: Path) -> None:
    plan = planning.make(EXAMPLE / "matrix.toml", tmp_path, _check)
    assert len({unit.workload for unit in plan.units}) == 2
    assert len({unit.seed for unit in plan.units}) == 3
    assert all(plan.name in text_of(name) for name in REPORTS)


@pytest.mark.parametrize("name", REPORTS)
def test_no_host_and_no_path_is_told(name: str) -> None:
    assert not re.search(r"(?<![\w<])/(tmp|root|home|work|usr)\b", text_of(name))
    assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", text_of(name))


@pytest.mark.parametrize("name", REPORTS)
def test_there_is_a_ranking_and_no_warning(name: str) -> None:
    text = text_of(name)
    assert_columns(SPEEDS, name)
    assert "6 units: 6 done" in text and text.count("is fastest") == 2
    warned = r"^> ! |^! |<p class=\"note warn\">"
    assert not re.search(warned, text, re.MULTILINE)
