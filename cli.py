"""The command line: a group and its commands."""

from __future__ import annotations

import click

from harness.commands.baseline import baseline
from harness.commands.bisect import bisect
from harness.commands.check import check
from harness.commands.data import data
from harness.commands.doctor import doctor
from harness.commands.env import env
from harness.commands.errors import LenientGroup
from harness.commands.list import list_
from harness.commands.matrix.group import matrix
from harness.commands.profile import profile
from harness.commands.report import compare, history, report
from harness.commands.run import parity, run


@click.group(cls=LenientGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="samestep")
def main() -> None:
    """Compare deep-learning frameworks on numerically equivalent training steps."""


for command in (
    run,
    parity,
    report,
    compare,
    history,
    check,
    baseline,
    bisect,
    matrix,
    profile,
    list_,
    env,
    data,
    doctor,
):
    main.add_command(command)

if __name__ == "__main__":
    main()
