"""``baseline``: what a run measured, stored for later checks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from harness.commands.check import MEASURED
from harness.commands.errors import plainly
from harness.commands.options import OUT, conduct, results_folder, typed_options
from workloads.errors import UserError
from workloads.places import program


@click.group()
def baseline() -> None:
    """Keep what a run measured, for later checks: small files, to be reviewed and committed."""


@baseline.command()
@click.argument("name")
@click.option("--run", help="Keep a stored run, instead of measuring now.")
@MEASURED
@plainly
def save(name: str, run: str | None, out: Path | None, **options: Any) -> None:
    """Measure and store a baseline NAME; each launch trains with its own seed."""
    from harness.gate import baseline as baselines
    from harness.gate import request
    from harness.results import store

    results, name = results_folder(out), baselines.named(name)
    if run is None:
        options["data"] = options["data"] or "real"
        record, status = conduct(request.capture(out=out, **options), quiet=False)
        if status:
            raise UserError(f"{record.folder.name}: not all cells are ok, so nothing is stored")
    else:
        if typed := typed_options("name", "run", "out"):
            raise UserError(f"--run keeps a run as it was measured: leave out {', '.join(typed)}")
        record = store.read(store.resolve(results, run))
    click.echo(baselines.save(results / baselines.FOLDER, baselines.of(record, name)))


@baseline.command(name="list")
@OUT
@plainly
def list_(out: Path | None) -> None:
    """List the stored baselines."""
    from rich.console import Console

    from harness.gate import baseline as baselines
    from harness.report.printing import table_or_line

    folder = results_folder(out) / baselines.FOLDER
    rows = [_row(folder, name) for name in baselines.names(folder)]
    empty = f"no baselines in {folder}; `{program()} baseline save NAME` makes one"
    table_or_line(Console(), ["baseline", "measured", "cells", "machine"], rows, empty)


def _row(folder: Path, name: str) -> Sequence[str]:
    from harness.gate import baseline as baselines
    from harness.results.store import StoreError

    try:
        stored = baselines.read(folder / f"{name}.json")
    except StoreError as error:
        return name, "-", "-", str(error)
    cpu = stored.table["machine"].get("cpu")
    return name, str(stored.table["started"])[:16], str(len(stored.cells)), str(cpu)


@baseline.command()
@click.argument("name")
@OUT
@plainly
def show(name: str, out: Path | None) -> None:
    """Show a baseline: its machine, its versions, and its cells' figures."""
    from rich.console import Console

    from harness.gate import baseline as baselines
    from harness.report.gate import wording
    from harness.report.printing import table
    from harness.results.metrics import ACCURACY, IN_GATE

    stored = baselines.read(baselines.path(results_folder(out), name))
    about = stored.table
    versions = ", ".join(f"{key} {version}" for key, version in about["versions"].items())
    origin = {
        "run": f"{about['run']}, {str(about['started'])[:16]}",
        "machine": f"{about['machine'].get('cpu')}, {about['threads']} threads",
        "versions": versions,
    }
    table(Console(), ["baseline", stored.name], list(origin.items()))
    metrics = [m for m in IN_GATE if any(stored.value(m, cell) for cell in stored.cells)]
    shared, parts = wording.common(stored.cells)
    rows = [
        (
            wording.label(name, parts),
            *(wording.figure(metric, stored.value(metric, name)) for metric in metrics),
            wording.figure(ACCURACY, cell.accuracy),
        )
        for name, cell in stored.cells.items()
    ]
    click.echo()
    table(Console(), [shared or "cell", *(metric.name for metric in metrics), "accuracy"], rows)


@baseline.command()
@click.argument("name")
@OUT
@plainly
def remove(name: str, out: Path | None) -> None:
    """Remove a baseline."""
    from harness.gate import baseline as baselines

    path = baselines.path(results_folder(out), name)
    path.unlink()
    click.echo(f"{path} is removed")
