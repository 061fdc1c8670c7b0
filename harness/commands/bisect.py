"""The command of the bisection."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from harness.bisect.bisect import BUDGET, prepare
from harness.bisect.conclusion import conclusion
from harness.commands.options import OUT, plainly, results_folder
from harness.commands.types import Device, Duration
from harness.results.metrics import IN_BISECT


@click.command()
@click.argument("framework", metavar="NAME")
@click.option("--good", required=True, help="The older release.")
@click.option("--bad", required=True, help="The newer release.")
@click.option("--metric", type=click.Choice([*IN_BISECT]), default="throughput", show_default=True)
@click.option("--workload", required=True, help="A workload of the catalogue, or a .toml file.")
@click.option("--mode", help="A mode of execution.  [default: the framework's first]")
@click.option("--device", type=Device(), default="cpu", show_default=True)
@click.option("--threads", type=click.IntRange(min=1), help="Processors a worker may use.")
@click.option("--budget", type=Duration(),
              help=f"Time for one measurement's timed rounds.  [default: {BUDGET:.0f}s]")  # fmt: skip
@OUT
@plainly
def bisect(out: Path | None, **asked: Any) -> None:
    """Which release of NAME brought a change? The same command again goes on where it stopped.

    Exit 0: that release; 1: only a range of them; 3: no change is told apart.
    """
    results = results_folder(out)
    one = prepare(results=results, tell=lambda text: click.echo(text, err=True), **asked)
    said, status = conclusion(one.question, one.go())
    click.echo(said)
    click.echo(f"its log: {one.log.path}", err=True)
    sys.exit(status)
