"""``run`` and ``parity``: execute cells, and print the report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands.errors import plainly
from harness.commands.options import (
    BUDGET,
    CELLS,
    DETAILS,
    JSON,
    SWEPT_CELLS,
    TRAINING,
    conduct,
    data_option,
    results_folder,
    typed_options,
)
from harness.commands.types import Percent
from workloads.errors import UserError
from workloads.places import arguments

if TYPE_CHECKING:
    from harness.results.store import Record
    from harness.runner.plan import Values
    from harness.runner.request import Options, Request


@click.command()
@SWEPT_CELLS
@TRAINING
@BUDGET
@click.option(
    "--precision",
    type=Percent(),
    help="Measure until half an interval's width is at most this part of its ratio, while the budget"
    " lasts.  [default: 3%]",
)
@click.option(
    "--quick", is_flag=True, help="Smoke run: one epoch, two launches of four rounds. Do not cite."
)
@data_option("real", "synthetic: drawn from the seed, for speed only; no accuracy is reported.")
@click.option(
    "--seeds",
    type=click.IntRange(min=2),
    help="Train with so many seeds too: steps and seconds to the target accuracy.",
)
@click.option("--no-parity", is_flag=True, help="Skip the parity check; every output then says so.")
@click.option(
    "--resume", metavar="RUN", help="Go on with a run that was cut short, with its own options."
)
@DETAILS
@JSON
@plainly
def run(as_json: bool, details: bool, resume: str | None, **options: Any) -> None:
    """Check parity, train, score and time workloads in every framework, and report.

    Exit 0: all ok; 1: a cell failed or is not equivalent; else 3: for some
    undecided cell nothing was shown.
    """
    from rich.console import Console

    from harness.report import terminal
    from harness.runner.request import request

    folder = None
    if resume is not None:
        folder, options = _stored(resume, options["out"])
    record, status = _conduct(request(_options(options)), as_json, folder)
    if as_json:
        _print_json(record)
    else:
        terminal.show(record, Console(), details)
    sys.exit(status)


@click.command()
@CELLS
@data_option("synthetic", "synthetic: drawn from the seed.")
@JSON
@plainly
def parity(as_json: bool, **options: Any) -> None:
    """Run the parity check alone: does every framework take the reference's training step?

    Exit 0: all equivalent; 1: a cell failed or is not equivalent; else 3: for some undecided cell nothing
    was shown.
    """
    from rich.console import Console

    from harness.report import terminal
    from harness.runner.request import Options, request

    record, status = _conduct(request(Options(only_parity=True, **options)), as_json)
    if as_json:
        _print_json(record)
    else:
        terminal.parity(record, Console())
    sys.exit(status)


def _options(words: dict[str, Any]) -> Options:
    """Return the options of a run; a single number of threads is none of a sweep."""
    from harness.runner.request import Options

    values: Values = {axis: words.pop(axis) for axis in ("batch", "width", "threads")}
    threads = int(values["threads"][0]) if len(values["threads"]) == 1 else None
    return Options(threads=threads, values=values, **words)


def _stored(name: str, out: Path | None) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a run that is to go on, and the options that it was begun with.

    Raises UserError where options are given beside --resume, or what it names is of another command.
    """
    from harness.results import store

    if beside := typed_options("resume", "as_json", "details", "out"):
        raise UserError(f"--resume takes the run's own options: leave out {', '.join(beside)}")
    folder = store.resolve(results_folder(out), name)
    command = [str(word) for word in store.read_manifest(folder).get("command") or ()]
    name, *options_typed = arguments(command) or [""]
    if name != "run":
        raise UserError(f"{folder.name} was not made by `run`: give its own command again")
    try:
        with run.make_context("run", options_typed) as begun:
            options = {**begun.params}
    except (click.UsageError, click.exceptions.Exit) as error:  # Exit: of --help among its words
        why = error.format_message() if isinstance(error, click.UsageError) else "asks for help"
        raise UserError(
            f"{folder / store.MANIFEST}: command: {why}; the file was edited, or another samestep"
            " wrote it: make a new run"
        ) from error
    del options["as_json"], options["details"], options["resume"]
    return folder, options


def _conduct(request: Request, quiet: bool, resumed: Path | None = None) -> tuple[Record, int]:
    """As `conduct`; of a run that the disk cut short, what there is of it."""
    from harness.runner.run import CutShort

    try:
        return conduct(request, quiet, resumed)
    except CutShort as error:
        click.echo(f"Error: {error}", err=True)
        return error.record, error.exit_status


def _print_json(record: Record) -> None:
    from harness.report import document

    click.echo(document.render([record]), nl=False)
