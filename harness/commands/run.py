"""``run`` and ``parity``: execute cells, and print the report."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from harness.commands.errors import plainly
from harness.commands.options import BUDGET, CELLS, JSON, TRAINING, conduct, data_option
from harness.commands.types import Percent

if TYPE_CHECKING:
    from harness.results.store import Record
    from harness.runner.request import Request


@click.command()
@CELLS
@TRAINING
@BUDGET
@click.option(
    "--precision",
    type=Percent(),
    help="Measure on until the intervals of ratios are half as wide as this at most, as 2%.",
)
@click.option(
    "--quick", is_flag=True, help="Smoke run: one epoch, three short rounds. Do not cite."
)
@data_option("real", "synthetic: drawn from the seed, for speed only; no accuracy is reported.")
@click.option("--no-parity", is_flag=True, help="Skip the parity check; every output then says so.")
@JSON
@plainly
def run(as_json: bool, **options: Any) -> None:
    """Check parity, train, score and time workloads in every framework, and report.

    Exit 0: all ok; 1: a cell failed or is not equivalent; else 3: for some
    undecided cell nothing was shown.
    """
    from rich.console import Console

    from harness.report import terminal
    from harness.runner.request import request

    record, status = _conduct(request(**options), as_json)
    if as_json:
        _print_json(record)
    else:
        terminal.show(record, Console())
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
    from harness.runner.request import request

    record, status = _conduct(request(only_parity=True, **options), as_json)
    if as_json:
        _print_json(record)
    else:
        terminal.parity(record, Console())
    sys.exit(status)


def _conduct(request: Request, quiet: bool) -> tuple[Record, int]:
    """As `conduct`; of a run that the disk cut short, what there is of it."""
    from harness.runner.run import CutShort

    try:
        return conduct(request, quiet)
    except CutShort as error:
        click.echo(f"Error: {error}", err=True)
        return error.record, error.exit_status


def _print_json(record: Record) -> None:
    from harness.report import document

    click.echo(document.render([record]), nl=False)
