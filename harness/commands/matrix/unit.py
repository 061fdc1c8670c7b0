"""``matrix unit``: the contract with every engine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from harness.commands.errors import plainly
from harness.commands.matrix.options import MATRIX, load
from harness.commands.options import THERE
from harness.paths import CACHE_VARIABLE
from harness.text import plain
from workloads.errors import UserError

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("numbers", nargs=-1, required=True, type=click.IntRange(min=0), metavar="N...")
@MATRIX
@click.option("--pack", "packed", type=FILE, help="Take environments and data from this pack.")
@click.option(
    "--hand-back",
    "tars",
    type=THERE,
    help="Write what a unit leaves as one tar into this folder, for `collect`.",
)
@plainly
def unit(
    numbers: tuple[int, ...],
    name: str | None,
    out: Path | None,
    packed: Path | None,
    tars: Path | None,
) -> None:
    """Run unit N here, on this whole machine; several one after the other.

    Exit 0: each has its result, cells that failed included; 2: some could not be run; 75: some runs
    elsewhere.
    """
    from harness.matrix import collect, pack, plan
    from harness.matrix import unit as running

    if packed:
        os.environ[CACHE_VARIABLE] = str(pack.unpacked(packed))
    planned = plan.load(pack.matrix_of(packed)) if packed and not name else load(name, out)
    worst = 0
    for number in numbers:
        try:
            click.echo(f"unit {number}: {running.run_unit(planned, number)}")
        except UserError as error:
            worst = max(worst, error.exit_status)
            click.echo(f"unit {number}: {plain(error)}", err=True)
        finally:
            if tars and planned.has(number):
                collect.hand_back(planned, number, tars / f"unit-{number:05d}.tar")
    sys.exit(worst)
