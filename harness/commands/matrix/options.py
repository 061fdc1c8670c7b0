"""What the commands of ``matrix`` share: which matrix is meant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.commands.options import OUT, options, results_folder

if TYPE_CHECKING:
    from harness.matrix.plan import Plan

MATRIX = options(
    click.option(
        "--matrix",
        "name",
        metavar="NAME",
        help="A matrix: its folder, its name, or the beginning of it.  [default: the newest]",
    ),
    OUT,
)


def load(name: str | None, out: Path | None) -> Plan:
    """Return the matrix that is meant. Raises MatrixError."""
    from harness.matrix import plan

    return plan.load(plan.resolve(results_folder(out), name))
