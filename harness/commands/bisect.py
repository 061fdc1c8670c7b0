"""``bisect``: the release that brought a change."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from harness import defaults
from harness.commands.errors import plainly
from harness.commands.options import OUT, results_folder
from harness.commands.types import Device, Duration
from harness.results.metrics import IN_BISECT


@click.command()
@click.argument("framework", metavar="NAME")
@click.option("--good", required=True, help="The older release.")
@click.option("--bad", required=True, help="The newer release.")
@click.option(
    "--metric",
    type=click.Choice([*IN_BISECT]),
    default="throughput",
    show_default=True,
    help="The metric that changed.",
)
@click.option("--workload", required=True, help="A workload of the catalogue, or a .toml file.")
@click.option("--mode", help="A mode of execution.  [default: the framework's first]")
@click.option(
    "--device", type=Device(), default="cpu", show_default=True, help="cpu, cuda, or cuda:1."
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Processors that a worker may use.  [default: all]",
)
@click.option(
    "--budget",
    type=Duration(),
    help=f"Time for one measurement's timed rounds.  [default: {defaults.BISECT_SECONDS:.0f}s]",
)
@OUT
@plainly
def bisect(out: Path | None, **options: Any) -> None:
    """Which release of NAME brought a change? The same command again goes on where it stopped.

    Exit 0: that release; 1: only a range of them; 3: no significant change.
    """
    from harness.bisect.bisect import prepare
    from harness.bisect.conclusion import conclusion

    results = results_folder(out)
    bisection = prepare(results=results, emit=lambda text: click.echo(text, err=True), **options)
    sentence, status = conclusion(bisection.question, bisection.go())
    click.echo(sentence)
    click.echo(f"its log: {bisection.log.path}", err=True)
    sys.exit(status)
