"""What the command line refuses before any command begins."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from cli import main

WORDS = ("", " ")


def commands(
    group: click.Group, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def words_of(command: click.Command, empty: click.Parameter, word: str) -> list[str]:
    """A command line with `word` for the parameter `empty`, and what the command cannot do without."""
    words: list[str] = []
    for param in command.params:
        if isinstance(param, click.Option):
            if param.required or param is empty:
                words += [param.opts[0], word if param is empty else "1"]
        elif param.required or param is empty:
            words.append(word if param is empty else "a")
    return words


CASES = [
    (path, command, param)
    for path, command in commands(main)
    for param in command.params
    if not (isinstance(param, click.Option) and (param.is_flag or param.is_eager))
]


@pytest.mark.parametrize(
    ("path", "command", "param"), CASES, ids=["-".join((*c[0], str(c[2].name))) for c in CASES]
)
@pytest.mark.parametrize("word", WORDS)
def test_no_option_and_no_argument_takes_an_empty_word(
    path: tuple[str, ...], command: click.Command, param: click.Parameter, word: str
) -> None:
    done = CliRunner().invoke(main, [*path, *words_of(command, param, word)])
    assert done.exit_code == 2, done.output
    assert done.output.count("Error: ") == 1 and "Traceback" not in done.output
