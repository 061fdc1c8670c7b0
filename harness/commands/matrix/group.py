"""The group of the commands of ``matrix``."""

from __future__ import annotations

import click

from harness.commands.matrix.cancel import cancel
from harness.commands.matrix.collect import collect
from harness.commands.matrix.plan import plan
from harness.commands.matrix.prepare import prepare
from harness.commands.matrix.report import report
from harness.commands.matrix.status import status
from harness.commands.matrix.submit import submit
from harness.commands.matrix.unit import unit


@click.group()
def matrix() -> None:
    """Plan many runs, run them on many machines, merge them."""


for command in (plan, prepare, submit, status, unit, collect, cancel, report):
    matrix.add_command(command)
