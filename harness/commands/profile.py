"""``profile``: some training steps of a cell, traced."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.commands.errors import plainly
from harness.commands.options import KEEP_ENV, OUT, results_folder

if TYPE_CHECKING:
    from rich.console import Console

    from harness.runner.profile import Profiled

_OPERATOR, _TIMES, _LINES = 24, 46, 15
"""Letters of an operator's name at least, and of its numbers; operators that are shown."""


@click.command()
@click.argument("cell", metavar="CELL")
@KEEP_ENV
@OUT
@plainly
def profile(cell: str, keep_env: tuple[str, ...], out: Path | None) -> None:
    """Trace some training steps of CELL, named as in a report, by its framework's own profiler."""
    from rich.console import Console

    from harness.runner import profile as profiler

    profiled = profiler.profile(
        cell, results_folder(out), lambda text: click.echo(text, err=True), keep_env=keep_env
    )
    show(profiled, Console())
    for name in keep_env:
        click.echo(f"{name} was handed to the worker: --keep-env", err=True)


def show(profiled: Profiled, console: Console) -> None:
    """Print the operators of a profile that took longest, and where its trace is."""
    from rich.table import Table
    from rich.text import Text

    from harness.report.printing import line, say
    from harness.text import plain

    line(console, Text(f"{profiled.cell.id}: {profiled.steps} training steps", "bold"))
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="underline")
    table.add_column("operator")
    for title in ("calls", "total ms", "self ms", "self %"):
        table.add_column(title, justify="right", no_wrap=True)
    room = max(_OPERATOR, console.width - _TIMES)
    total = sum(operator["self_us"] for operator in profiled.operators) or 1
    for operator in profiled.operators[:_LINES]:
        times = (f"{operator[unit] / 1000:,.3f}" for unit in ("total_us", "self_us"))
        share = f"{operator['self_us'] / total:.1%}"
        name = Text(plain(operator["name"]))
        name.truncate(room, overflow="ellipsis")
        table.add_row(name, f"{operator['calls']:,}", *times, share)
    console.print(table)
    if remaining := profiled.operators[_LINES:]:
        share = sum(operator["self_us"] for operator in remaining) / total
        say(console, "off", f"{len(remaining)} more, {share:.1%} of self time")
    trace = f"the trace: {profiled.trace} (opens in chrome://tracing or ui.perfetto.dev)"
    line(console, Text(trace))
