"""``matrix status``."""

from __future__ import annotations

import time
from pathlib import Path

import click

from harness.commands.errors import plainly
from harness.commands.matrix.options import MATRIX, load

WATCH_SECONDS = 10.0


@click.command()
@MATRIX
@click.option("--watch", is_flag=True, help="Look again every ten seconds, until nothing is left.")
@plainly
def status(name: str | None, out: Path | None, watch: bool) -> None:
    """Say what has become of every unit: where, and why. Reading only."""
    from rich.console import Console

    from harness.matrix import status as states
    from harness.report.matrix import terminal

    planned, console = load(name, out), Console()
    while True:
        state = states.look(planned)
        terminal.status(planned, state, console)
        if not watch or not {states.RUNNING, states.WAITING} & state.counts.keys():
            return
        time.sleep(WATCH_SECONDS)
