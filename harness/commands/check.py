"""The commands of the gate: check, and the baselines that it can hold a run against."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from harness.commands.options import CELLS, OUT, TRAINING, conduct, options, plainly, results_folder
from harness.commands.types import Duration, Percent
from harness.gate import baseline as baselines
from harness.gate import request
from harness.gate.decide import MARGIN, THRESHOLD
from harness.gate.evaluate import verdict
from harness.report import terminal
from harness.report.gate import outputs as written
from harness.report.gate import wording
from harness.results import store
from harness.results.metrics import ACCURACY, IN_GATE

_DATA = options(
    TRAINING,
    click.option("--data", type=click.Choice(["real", "synthetic"]),
                 help="synthetic: made from the seed; no accuracy is checked.  [default: real]"),
)  # fmt: skip


@click.command()
@CELLS
@_DATA
@click.option("--against", help="Time beside NAME[@VERSION][/MODE], or git:REF's adapters.")
@click.option("--baseline", "stored", help="Hold against a baseline: its name, a file, or a run.")
@click.option(
    "--threshold",
    type=Percent(),
    default=f"{THRESHOLD:.0%}",
    show_default=True,
    help="How much worse is let through.",
)
@click.option(
    "--margin",
    type=Percent(),
    default=f"{MARGIN:.1%}",
    show_default=True,
    help="How much less of the test set may be right.",
)
@click.option("--budget", type=Duration(), help="Time for all timed rounds.  [default: 2m a pair]")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON, nothing else.")
@plainly
def check(
    against: str | None, stored: str | None, as_json: bool, out: Path | None, **asked: Any
) -> None:
    """Has anything got worse? Exit 0: no; 1: yes; 2: the check is not whole; 3: not measurable.

    With --against both arms run in one job, which may block. With --baseline what runs now is held
    against a stored run, by ratios; that blocks on a machine of the same kind only.
    """
    if (against is None) == (stored is None):
        raise click.UsageError("give one of --against and --baseline")
    if against is not None:
        asked["data"] = asked["data"] or "real"
        made = request.against(against, out=out, **asked)
    else:
        made = request.stored(request.table_of(str(stored), results_folder(out)), out=out, **asked)
    folder, _ = conduct(made, as_json)
    found = verdict(store.read(folder))
    written.write(folder, found)
    if as_json:
        click.echo(written.document(found), nl=False)
    else:
        written.show(found, Console())
    written.announce(found, os.environ, lambda line: click.echo(line, err=as_json))
    sys.exit(found.status)


@click.group()
def baseline() -> None:
    """Keep what a run measured, for later checks: small files, to be reviewed and committed."""


@baseline.command()
@click.argument("name")
@click.option("--run", "run", help="Keep a stored run, instead of measuring now.")
@CELLS
@_DATA
@plainly
def save(name: str, run: str | None, out: Path | None, **asked: Any) -> None:
    """Measure, and keep it under NAME; all launches train, with seeds of their own."""
    results, name = results_folder(out), baselines.named(name)
    if run is None:
        asked["data"] = asked["data"] or "real"
        folder, status = conduct(request.capture(out=out, **asked), quiet=False)
        if status:
            raise store.StoreError(f"{folder.name}: not all cells are ok, so nothing is kept")
    else:
        folder = store.resolve(results, run)
    click.echo(baselines.save(results / baselines.FOLDER, baselines.of(store.read(folder), name)))


@baseline.command(name="list")
@OUT
@plainly
def list_(out: Path | None) -> None:
    """List the baselines that are kept."""
    folder = results_folder(out) / baselines.FOLDER
    rows = [_row(folder, name) for name in baselines.names(folder)]
    terminal.table(Console(), ["baseline", "measured", "cells", "machine"], rows)


def _row(folder: Path, name: str) -> Sequence[str]:
    try:
        one = baselines.read(folder / f"{name}.json")
    except store.StoreError as error:
        return name, "-", "-", str(error)
    cpu = one.told["machine"].get("cpu")
    return name, str(one.told["started"])[:16], str(len(one.cells)), str(cpu)


@baseline.command()
@click.argument("name")
@OUT
@plainly
def show(name: str, out: Path | None) -> None:
    """Show a baseline: its machine, its versions, and its cells' figures."""
    one = baselines.read(baselines.path(results_folder(out), name))
    told, console = one.told, Console()
    versions = ", ".join(f"{key} {version}" for key, version in told["versions"].items())
    about = {
        "run": f"{told['run']}, {str(told['started'])[:16]}",
        "machine": f"{told['machine'].get('cpu')}, {told['threads']} threads",
        "versions": versions,
    }
    terminal.table(console, ["baseline", one.name], list(about.items()))
    shown = [metric for metric in IN_GATE if any(one.value(metric, cell) for cell in one.cells)]
    shared, parts = wording.common(one.cells)
    rows = [
        (wording.label(name, parts),
         *(wording.figure(metric, one.value(metric, name)) for metric in shown),
         wording.figure(ACCURACY, cell.accuracy))
        for name, cell in one.cells.items()
    ]  # fmt: skip
    console.print()
    terminal.table(
        console, [shared or "cell", *(metric.name for metric in shown), "accuracy"], rows
    )


@baseline.command()
@click.argument("name")
@OUT
@plainly
def remove(name: str, out: Path | None) -> None:
    """Remove a baseline."""
    path = baselines.path(results_folder(out), name)
    path.unlink()
    click.echo(f"{path} is removed")
