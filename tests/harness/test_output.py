"""What is printed fails nothing: letters that there are not, a full disk, a reader that has gone."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from harness.output import LenientStream

ROOT = Path(__file__).resolve().parents[2]

COMMAND = """
import sys
sys.path.insert(0, sys.argv[1])
import click
from harness.commands.errors import plainly
from rich.console import Console
from rich.table import Table

@click.command()
@click.argument("status", type=int)
@click.argument("text")
@plainly
def command(status, text):
    table = Table("name")
    table.add_row(text)
    for _ in range(900):
        Console().print(table)
    click.echo(text)
    sys.exit(status) if status >= 0 else None

command(sys.argv[2:])
"""


def shell(tail: str, status: int, text: str = "well", encoding: str = "utf-8") -> tuple[int, str]:
    """Run the command with `tail` behind it in a shell; return its own status, and what it said."""
    line = f'"$0" -c "$1" "$2" -- {status} "$3" {tail}; exit ${{PIPESTATUS[0]}}'
    arguments = ["bash", "-c", line, sys.executable, COMMAND, str(ROOT), text]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONIOENCODING": encoding}
    done = subprocess.run(arguments, capture_output=True, env=environment, timeout=120)
    return done.returncode, (done.stdout + done.stderr).decode("latin-1")


@pytest.mark.parametrize("status", [0, 1, 3])
@pytest.mark.parametrize("tail", ["> /dev/full", "| head -1 > /dev/null"])
def test_a_status_stands_though_nothing_can_be_printed(status: int, tail: str) -> None:
    code, said = shell(tail, status)
    assert code == status
    assert len(said.strip().splitlines()) == 1
    assert said.startswith("standard output cannot be written: ")


def test_a_command_that_only_prints_fails_in_one_line_on_a_full_disk() -> None:
    code, said = shell("> /dev/full", -1)
    assert code == 2
    assert said.strip() == "Error: standard output cannot be written: No space left on device"


def test_a_reader_that_has_gone_is_no_news() -> None:
    assert shell("| head -1 > /dev/null", -1) == (1, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp1252:strict"])
@pytest.mark.parametrize("text", ["größe", "模型", "\U0001f600", "a … b"])
def test_letters_that_there_are_not_are_replaced(encoding: str, text: str) -> None:
    code, said = shell("| tail -3", 0, text, encoding)
    assert code == 0, said
    kept = text.encode(encoding.partition(":")[0], "replace").decode("latin-1")
    assert said.strip().split("\n")[-1] == kept


def test_a_closed_standard_output_fails_nothing() -> None:
    assert shell(">&-", 3)[0] == 3


def test_half_a_letter_is_replaced() -> None:
    kept = io.BytesIO()
    stream = LenientStream(io.TextIOWrapper(kept, encoding="utf-8"))
    stream.write("a\udcffb")
    stream.flush()
    assert kept.getvalue() == b"a?b" and stream.failure is None


def test_the_first_failure_is_kept_and_the_rest_is_dropped() -> None:
    stream = LenientStream(io.TextIOWrapper(io.BytesIO()))
    stream._stream.close()
    assert stream.write("abc") == 3
    first = stream.failure
    stream.flush()
    assert isinstance(first, ValueError) and stream.failure is first


def program(words: str, tail: str) -> tuple[int, str]:
    """Run the command line in a shell with `tail` behind it; its own status, and what it said."""
    line = f'"$0" cli.py {words} {tail}; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", line, sys.executable], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("words", ["--help", "--version", "run --help"])
def test_help_that_cannot_be_written_is_one_line(words: str) -> None:
    failure = "Error: standard output cannot be written: No space left on device"
    assert program(words, "> /dev/full") == (2, failure + "\n")


def test_help_without_a_reader_is_no_news() -> None:
    assert program("--help", "| true") == (1, "")


def test_a_refusal_keeps_its_status_where_it_cannot_be_written() -> None:
    assert program("nonsense", "2>&-") == program("nonsense", "2> /dev/full") == (2, "")


STREAMS = """
import os, sys
sys.path.insert(0, sys.argv[1])
from harness.output import fill_closed_streams
fill_closed_streams()
print(os.open(os.devnull, os.O_RDONLY), file=sys.__stderr__)
"""


def test_no_file_takes_the_number_of_a_stream_that_is_closed() -> None:
    line = '"$0" -c "$1" "$2" <&- >&-'
    done = subprocess.run(
        ["bash", "-c", line, sys.executable, STREAMS, str(ROOT)], capture_output=True, text=True
    )
    assert int(done.stderr) > 2
