"""Sentences and plain tables on a terminal: colour and a symbol, never colour alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.text import SYMBOLS, Tone, plain

STYLES: dict[Tone, str] = {
    "good": "green",
    "warn": "yellow",
    "bad": "red",
    "off": "dim",
    "note": "cyan",
}
"""How rich shows a tone."""

_PLAIN: dict[Tone, str] = {"good": "+", "warn": "!", "bad": "x", "off": "-", "note": "*"}


def has_all_letters(console: Console) -> bool:
    """Whether the console's encoding has every letter."""
    return console.encoding.lower().startswith("utf")


def symbol(console: Console, tone: Tone) -> str:
    """The symbol of a tone, in letters that the console has."""
    return (SYMBOLS if has_all_letters(console) else _PLAIN)[tone]


def say(console: Console, tone: Tone, sentence: str) -> None:
    """A sentence with its symbol, wrapped under itself."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(symbol(console, tone), STYLES[tone]), Text(sentence, STYLES[tone]))
    console.print(grid)


def line(console: Console, text: Text, *, cut: bool = False) -> None:
    """A line; one that is too long is cut, or folded."""
    console.print(text, no_wrap=cut, overflow="ellipsis" if cut else "fold", highlight=False)


def table(console: Console, titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A plain table, its cells wrapped where the width asks for it."""
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="underline")
    for title in titles:
        grid.add_column(title, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(plain(cell)) for cell in row))
    console.print(grid)


def table_or_line(
    console: Console, titles: Sequence[str], rows: Sequence[Sequence[object]], empty: str
) -> None:
    """A table; where it has no rows, the line `empty`, which says where they were looked for."""
    if rows:
        table(console, titles, rows)
    else:
        console.print(Text(plain(empty)), overflow="fold", highlight=False)


def mark(console: Console, tone: Tone, words: str) -> Text:
    """Some words in their tone, after its symbol."""
    return Text(f"{symbol(console, tone)} {words}", STYLES[tone])
