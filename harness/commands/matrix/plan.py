"""``matrix plan``."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.errors import plainly
from harness.commands.options import OUT, results_folder
from workloads.errors import UserError


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@OUT
@plainly
def plan(file: Path, out: Path | None) -> None:
    """Plan the runs of FILE (matrix.toml): the units, each one `run` on one machine."""
    from harness.matrix import plan as planning
    from harness.text import count

    planned = planning.make(file, results_folder(out), _check)
    click.echo(f"{planned.name}: {count(len(planned.units), 'unit')} in {planned.folder}")


def _check(words: list[str]) -> None:
    """Raise UserError where `run` would not take these words."""
    from harness.commands.run import run
    from harness.environments import variants
    from harness.paths import project_root

    try:
        with run.make_context("run", [*words]) as context:
            frameworks = context.params["frameworks"]
    except click.UsageError as error:
        raise UserError(f"[always]: {error.format_message()}") from error
    variants.choose(frameworks, project_root())
