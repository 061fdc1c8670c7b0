"""Figures of style that may get better, not worse: names, formatting, help."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import style

MOST_VAGUE = {"harness": 0.01, "frameworks": 0.0, "workloads": 0.002}
"""Share of vague names among bound names. The goal is 1%: lower these as the names get better."""

MOST_UNFORMATTED = 1
"""`# fmt: skip` in the tree. The goal is 10."""

MOST_SILENT_OPTIONS = 0
"""Options of the command line without help. The goal is none."""


@pytest.mark.parametrize("package", MOST_VAGUE)
def test_names_say_what_they_hold(package: str) -> None:
    names = style.bindings(style.python_files(package))
    share = style.vague_share(names)
    vague = [f"{path}:{line} {name}" for path, line, name in names if style.is_vague(name)]
    assert share <= MOST_VAGUE[package], "\n".join([f"{share:.2%}", *vague])


def test_the_formatter_formats() -> None:
    assert style.unformatted(style.python_files(*style.EVERYTHING)) <= MOST_UNFORMATTED


def test_a_statement_kept_from_the_formatter_counts(tmp_path: Path) -> None:
    file = tmp_path / "table.py"
    file.write_text("rows = [1,  2]  # fmt: " + "skip\n")
    assert style.unformatted([file]) == 1


def test_options_say_what_they_do() -> None:
    assert len(style.options_without_help()) <= MOST_SILENT_OPTIONS


def test_every_kind_of_binding_counts() -> None:
    source = """
def told(one, *, given=None):  # three names are bound: a function's own name is none of them
    found: int = 0
    for said in one: pass
    with open(found) as made: pass
    try: pass
    except OSError as kept: pass
    match one:
        case [known, *rest]: pass
    self.own = [asked for asked in one if (then := asked)]
"""
    names = [name for _, name in style.bound_names(source)]
    assert len(names) == 10 and all(map(style.is_vague, names))
    assert "own" not in names  # an attribute is bound elsewhere


@pytest.mark.parametrize(("name", "vague"), [("_", False), ("ones", False), ("_other", True)])
def test_which_names_are_vague(name: str, vague: bool) -> None:
    assert style.is_vague(name) is vague


def test_a_long_function_and_an_undescribed_parameter_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "ROOT", tmp_path)
    file = tmp_path / "module.py"
    poor = 'def poor(a, b, c):\n    """Only `a`."""\n' + "    a()\n" * style.MOST_LINES
    good = 'def good(a, b, c):\n    """Takes `a` and `b`."""\n'
    file.write_text(poor + good + 'def _private(a, b, c):\n    """Nothing."""\n')
    assert style.undescribed([file]) == ["module.py:1 poor"]
    assert style.long_functions([file]) == [f"module.py:1 poor ({style.MOST_LINES + 2})"]


def test_the_glossary_defines_each_term_once() -> None:
    rows = re.findall(
        r"^\| (\*\*.+?) \|", (style.ROOT / "docs/reference/glossary.md").read_text(), re.M
    )
    terms = [term.lower() for row in rows for term in re.findall(r"\*\*(.+?)\*\*", row)]
    assert len(terms) > 40 and len(terms) == len(set(terms))


@pytest.mark.parametrize(
    ("page", "link"), [("docs/index.md", "reference/"), ("docs/reference/run-folder.md", "")]
)
def test_the_glossary_is_linked(page: str, link: str) -> None:
    assert f"({link}glossary.md)" in (style.ROOT / page).read_text()
