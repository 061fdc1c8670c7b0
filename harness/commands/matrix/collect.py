"""``matrix collect``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.errors import plainly
from harness.commands.matrix.options import MATRIX, load


@click.command()
@click.argument(
    "tars",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="TAR...",
)
@MATRIX
@plainly
def collect(tars: tuple[Path, ...], name: str | None, out: Path | None) -> None:
    """Put units that came back as TAR files into the matrix; of two results the first counts."""
    from harness.matrix import collect as collecting
    from harness.text import count

    results = collecting.collect(load(name, out), tars)
    click.echo(f"{count(len(tars), 'tar')}, {count(results, 'new result')}")
