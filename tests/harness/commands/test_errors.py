"""What the command line refuses before any command begins."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli import main
from harness.commands.errors import plainly

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


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError("Unable to allocate 8.00 GiB"), "memory does not suffice: Unable to allocate"),
        (MemoryError(), "memory does not suffice\n"),
        (FileNotFoundError(2, "No such file or directory"), "the current folder was removed"),
        (OSError(40, "Too many levels of symbolic links", "/loop"), "/loop: Too many levels"),
    ],
    ids=["amount", "bare", "folder", "links"],
)
def test_what_the_machine_refuses_is_one_line(error: BaseException, says: str) -> None:
    @click.command()
    @plainly
    def command() -> None:
        raise error

    done = CliRunner().invoke(command)
    assert done.exit_code == 2 and done.output.startswith(f"Error: {says}")
    assert len(done.output.splitlines()) == 1


@pytest.mark.parametrize("width", ["0", "00", ""])
def test_a_terminal_of_no_width_gets_its_table(monkeypatch: pytest.MonkeyPatch, width: str) -> None:
    monkeypatch.setenv("COLUMNS", width)
    done = CliRunner().invoke(main, ["list", "workloads"])
    assert done.exit_code == 0 and "mlp-2-3-2" in done.output


def test_a_seed_that_no_array_takes_is_refused() -> None:
    done = CliRunner().invoke(main, ["run", "--framework=reference", f"--seed={2**63}"])
    assert done.exit_code == 2 and "--seed" in done.output


@pytest.mark.parametrize("command", ["list results", "baseline list", "env list", "env remove"])
def test_an_empty_list_says_where_it_looked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "1000")
    place = [] if command.startswith("env") else ["--out", str(tmp_path / "ä b")]
    done = CliRunner().invoke(main, [*command.split(), *place])
    assert done.exit_code == 0 and len(done.output.splitlines()) == 1
    assert done.output.startswith("no ") and str(tmp_path) in done.output


def test_a_loop_of_links_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    monkeypatch.setenv("SAMESTEP_CACHE", str(loop / "cache"))
    for command in (["env", "list"], ["data", "list"], ["list", "results", "--out", str(loop)]):
        done = CliRunner().invoke(main, command)
        assert done.exception is None or isinstance(done.exception, SystemExit)


@pytest.mark.parametrize("command", ["report latest", "history", "matrix report"])
def test_a_page_is_not_opened_in_the_place_of_another_format(command: str) -> None:
    form = "md" if command == "matrix report" else "json"
    done = CliRunner().invoke(main, [*command.split(), "--open", f"--format={form}"])
    assert done.exit_code == 2 and f"leave out --open, or --format {form}" in done.output


def test_a_stored_run_is_not_measured_again_for_a_baseline(tmp_path: Path) -> None:
    words = ["baseline", "save", "kept", "--run", "latest", "--threads=2", "--seed=1"]
    done = CliRunner().invoke(main, [*words, "--out", str(tmp_path)])
    assert done.exit_code == 2 and done.output.endswith("leave out --threads, --seed\n")


@pytest.mark.parametrize("name", ["file", "pipe", "broken", "loop"])
def test_results_are_in_a_folder_or_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to("gone")
    (tmp_path / "loop").symlink_to("loop")
    done = CliRunner().invoke(main, ["list", "results", "--out", str(tmp_path / name)])
    assert done.exit_code == 2 and "is no folder; name one" in done.output
