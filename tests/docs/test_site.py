"""The documentation as a site: it builds without a warning, and has every command and option."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import cli
from tests.docs import pages

ROOT = pages.DOCS.parent
LONGEST = 100


def commands(command: click.Command, path: str = "samestep") -> Iterator[tuple[str, click.Command]]:
    """Yield every command with what is typed for it."""
    yield path, command
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from commands(below, f"{path} {name}")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as CI builds it: a link that leads nowhere ends it."""
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_command_and_option_is_in_the_reference(site: Path) -> None:
    page = (site / "reference" / "cli" / "index.html").read_text(encoding="utf-8")
    text = html.unescape(re.sub(r"<[^>]+>", "", page))
    for path, command in commands(cli.main):
        assert f"\n{path} [OPTIONS]" in text, path
        section = text[text.index(f"\n{path} [OPTIONS]") :]
        section = section[: section.index("\n\n\n")] if "\n\n\n" in section else section
        for option in (option for parameter in command.params for option in parameter.opts):
            assert not option.startswith("-") or option in section, (path, option)


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    page = (site / "index.html").read_text(encoding="utf-8")
    assert not re.findall(r"<(?:script|img|link)[^>]+(?:src|href)=\"https?://", page)


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines of a page that are neither code nor a table's."""
    fenced = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and not line.lstrip().startswith("|") and not line.startswith("    "):
            yield number, line


def test_prose_is_wrapped() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted(pages.DOCS.rglob("*.md"))
        if "example" not in path.parts
        for number, line in prose(path)
        if len(line) > LONGEST
    ]
    assert not long


@pytest.mark.parametrize("page", sorted(pages.DOCS.glob("howto/*.md")), ids=lambda page: page.stem)
def test_a_howto_promises_a_time(page: Path) -> None:
    assert re.search(r"^Time: ", page.read_text(encoding="utf-8"), re.MULTILINE)
