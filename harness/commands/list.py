"""``list``: frameworks, workloads, modes, results."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.errors import plainly
from harness.commands.options import OUT, results_folder
from workloads.places import program


@click.group(name="list")
def list_() -> None:
    """List what there is."""


@list_.command()
@plainly
def frameworks() -> None:
    """Frameworks, their devices and modes."""
    from rich.console import Console

    from harness.environments.framework_spec import discover
    from harness.report.printing import table

    rows = [
        (
            spec.name,
            spec.title,
            ", ".join(spec.devices),
            ", ".join(spec.modes),
            "reference, not ranked" if spec.reference else "",
        )
        for spec in discover().values()
    ]
    table(Console(), ["framework", "title", "devices", "modes", ""], rows)


@list_.command()
@plainly
def workloads() -> None:
    """Workloads of the catalogue, their size and their cost."""
    from rich.console import Console

    from harness.report.printing import table
    from workloads import cost, spec

    rows = [
        (
            workload.name,
            workload.data.dataset,
            str(workload.data.batch),
            f"{cost.parameter_count(workload):,}",
            f"{cost.training_flop(workload) / 1e6:,.3g}",
            workload.title,
        )
        for workload in map(spec.load, spec.names())
    ]
    table(
        Console(), ["workload", "data set", "batch", "parameters", "Mflop a sample", "title"], rows
    )


@list_.command()
@plainly
def modes() -> None:
    """Modes of execution: each framework's own ways, dynamic and static."""
    from rich.console import Console

    from harness.environments.framework_spec import discover
    from harness.report.printing import table

    rows = [
        (mode, spec.name, " ".join(dev for dev in spec.devices if mode in spec.modes_on(dev)))
        for spec in discover().values()
        for mode in spec.modes
    ]
    table(Console(), ["mode", "framework", "on"], rows)


@list_.command()
@OUT
@plainly
def results(out: Path | None) -> None:
    """Stored runs."""
    from rich.console import Console

    from harness.report.printing import table_or_line
    from harness.results import store

    folder = results_folder(out)
    rows = [
        (run.name, run.started[:16], run.status, f"{run.ok}/{run.cells}", run.data)
        for run in store.runs(folder)
    ]
    titles = ["run", "started (UTC)", "status", "cells ok", "data"]
    empty = f"no runs in {folder}; `{program()} run` makes one, --out names another folder"
    table_or_line(Console(), titles, rows, empty)
