"""``matrix prepare``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.errors import plainly
from harness.commands.matrix.options import MATRIX, load


@click.command()
@MATRIX
@click.option(
    "--pack", "packed", is_flag=True, help="Make one tar of it too, for the nodes' own disks."
)
@plainly
def prepare(name: str | None, out: Path | None, packed: bool) -> None:
    """Build every environment and make all data ready: units do neither."""
    from harness.matrix import pack

    planned = load(name, out)
    folders = pack.prepare(planned, lambda label, text: click.echo(f"  {label}: {text}", err=True))
    for folder in folders:
        click.echo(folder)
    if packed:
        click.echo(pack.write(planned, folders))
