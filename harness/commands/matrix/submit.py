"""``matrix submit``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.errors import plainly
from harness.commands.matrix.options import MATRIX, load
from workloads.places import program


@click.command()
@MATRIX
@click.option(
    "--on",
    "engine",
    type=click.Choice(["slurm", "local"]),
    required=True,
    help="slurm: array jobs of whole nodes; local: this machine, one unit after the other.",
)
@plainly
def submit(name: str | None, out: Path | None, engine: str) -> None:
    """Hand over what is not done, and return at once; again, it resumes."""
    from harness.matrix import submit as handing
    from harness.text import count

    planned = load(name, out)
    units, again, left = handing.submit(planned, engine)
    slow = f", {again} of them once more, for their node was slow" if again else ""
    states = ", ".join(f"{number} {state}" for state, number in left.items())
    unsubmitted = f"; the others: {states}" if states else ""
    click.echo(f"{planned.name}: {count(units, 'unit')} submitted to {engine}{slow}{unsubmitted}")
    click.echo(f"look with: {program()} matrix status --matrix {planned.folder}")
