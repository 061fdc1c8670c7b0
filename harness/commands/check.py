"""``check``: the gate."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from harness.commands.errors import plainly
from harness.commands.options import (
    CELLS,
    JSON,
    TRAINING,
    conduct,
    data_option,
    options,
    results_folder,
)
from harness.commands.types import Duration, Percent
from harness.outcomes import REGRESSION

MEASURED = options(
    CELLS,
    TRAINING,
    data_option(None, "synthetic: drawn from the seed; no accuracy is checked.  [default: real]"),
)
"""The options of what is measured, for a check and for a baseline."""


@click.command()
@MEASURED
@click.option("--against", help="Time beside NAME[@VERSION][/MODE], or git:REF's adapters.")
@click.option(
    "--baseline", "stored", help="Compare with a stored baseline: its name, a file, or a run."
)
@click.option(
    "--threshold",
    type=Percent(),
    default=f"{REGRESSION.relative:.0%}",
    show_default=True,
    help="Regression threshold: the slowdown that is tolerated.",
)
@click.option(
    "--margin",
    type=Percent(),
    default=f"{REGRESSION.points:.1%}",
    show_default=True,
    help="Tolerated drop in test accuracy, absolute.",
)
@click.option("--budget", type=Duration(), help="Time for all timed rounds.  [default: 2m a pair]")
@JSON
@plainly
def check(
    against: str | None, stored: str | None, as_json: bool, out: Path | None, **options: Any
) -> None:
    """Check for regressions. Exit 0: none; 1: some; 2: the check is incomplete; 3: too noisy.

    With --against both variants run in one job, which may block. With --baseline what runs now is held
    against a stored run, by ratios; that blocks on a machine of the same kind only.
    """
    from rich.console import Console

    from harness.gate import request
    from harness.gate.evaluate import verdict
    from harness.report.gate import outputs
    from harness.results.store import StoreError

    if (against is None) == (stored is None):
        raise click.UsageError("give one of --against and --baseline")
    if against is not None:
        options["data"] = options["data"] or "real"
        run_request = request.against(against, out=out, **options)
    else:
        table = request.table_of(str(stored), results_folder(out))
        run_request = request.stored(table, out=out, **options)
    record, _ = conduct(run_request, as_json)
    result = verdict(record)
    try:
        outputs.write(record.folder, result)
    except StoreError as error:  # the verdict stands without its files
        click.echo(f"! {error}", err=True)
    if as_json:
        click.echo(outputs.document(result), nl=False)
    else:
        outputs.show(result, Console())
    outputs.announce(result, os.environ, lambda line: click.echo(line, err=as_json))
    sys.exit(result.status)
