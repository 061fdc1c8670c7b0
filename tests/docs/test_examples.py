"""The committed examples are of today's samestep, and carry no warning about themselves."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from benchmarks import example
from harness.results import tables
from tests.docs import pages

FOLDER = pages.DOCS / "example"
NAMES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


def header(path: Path) -> tuple[str, ...]:
    with path.open(newline="", encoding="utf-8") as stream:
        return tuple(next(csv.reader(stream)))


@pytest.mark.parametrize("name", NAMES)
def test_an_example_has_todays_columns(name: str) -> None:
    todays = {"summary.csv": tables.COLUMNS, "samples.csv": tables.SAMPLE_COLUMNS}
    for table in FOLDER.glob(f"{name}/*.csv"):
        assert header(table) == tuple(todays[table.name]), table


@pytest.mark.parametrize("name", NAMES)
def test_an_example_carries_no_warning_about_itself(name: str) -> None:
    (report,) = FOLDER.glob(f"{name}/report.md")
    text = report.read_text(encoding="utf-8")
    assert text.startswith("# ")
    warnings = r"^> ! .*|^- ! .*(?:contaminated|nothing is claimed).*"
    assert re.findall(warnings, text, flags=re.MULTILINE) == []
    for picture in FOLDER.glob(f"{name}/terminal.*"):
        shown = picture.read_text(encoding="utf-8").replace("&#160;", " ")
        assert not re.search(r"speeds may be off|do not cite|not handed to workers", shown)


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_of_an_example_came_through(name: str) -> None:
    for table in FOLDER.glob(f"{name}/summary.csv"):
        with table.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        assert rows and {row["status"] for row in rows} == {"ok"}


def test_the_page_of_examples_has_each_and_its_command() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in NAMES)
    assert "python benchmarks/example.py\n" in page
    assert all(
        f"`{name}`" in page and command in page for name, command in example.COMMANDS.items()
    )
