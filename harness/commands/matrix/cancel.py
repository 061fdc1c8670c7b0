"""``matrix cancel``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.errors import plainly
from harness.commands.matrix.options import MATRIX, load


@click.command()
@MATRIX
@plainly
def cancel(name: str | None, out: Path | None) -> None:
    """End all that runs or waits of a matrix; what is done stays, and `submit` goes on."""
    from harness.matrix import submit
    from harness.text import count

    planned = load(name, out)
    click.echo(f"{planned.name}: {count(submit.cancel(planned), 'job')} cancelled")
