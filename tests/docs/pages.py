"""The code blocks of a page of the documentation."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).resolve().parents[2] / "docs"

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n"
    r"(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A fenced block: its language, the file that it is the text of (if any), and its text."""

    language: str
    title: str | None
    text: str


def blocks(page: str) -> list[Block]:
    """Return the code blocks of a page, named by its path below docs/."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [
        Block(match["language"], match["title"], textwrap.dedent(match["body"]))
        for match in _FENCE.finditer(text)
    ]


def script(page: str) -> str:
    """Return the commands of a page: all of its `sh` blocks, in their order."""
    return "".join(block.text for block in blocks(page) if block.language == "sh")


def files(page: str) -> dict[str, str]:
    """Return the files that a page tells its reader to write."""
    return {block.title: block.text for block in blocks(page) if block.title}
