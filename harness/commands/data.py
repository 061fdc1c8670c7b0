"""``data``: the data sets."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.commands.errors import plainly
from harness.commands.options import THERE
from harness.paths import cache_folder


@click.group()
def data() -> None:
    """The data sets."""


_DATA_DIR = click.option("--data-dir", type=THERE, help="A folder with the published files.")


def _folder() -> Path:
    return cache_folder() / "datasets"


@data.command(name="list")
@_DATA_DIR
@plainly
def list_(data_dir: Path | None) -> None:
    """Data sets, their size and whether they are here."""
    from rich.console import Console

    from harness.report.printing import table
    from workloads import datasets

    rows = []
    for name in datasets.names():
        dataset = datasets.describe(name)
        shape = "x".join(map(str, dataset.shape))
        state = datasets.state(name, _folder(), data_dir)
        examples = f"{dataset.train:,} + {dataset.test:,}"
        rows.append((name, dataset.title, shape, examples, str(state)))
    table(Console(), ["data set", "title", "shape", "train + test", "state"], rows)


@data.command()
@click.argument("name")
@plainly
def fetch(name: str) -> None:
    """Download a data set, check it, unpack it into the cache."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

    from workloads import datasets

    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(name, total=None)
        datasets.fetch(
            name,
            _folder(),
            lambda done, total: progress.update(bar, completed=done, total=total),
        )
    click.echo(f"{name}: {datasets.state(name, _folder())}")


@data.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_DATA_DIR
@plainly
def verify(names: tuple[str, ...], data_dir: Path | None) -> None:
    """Check again every byte of what is in the cache, or of --data-dir."""
    from harness import selection
    from workloads import datasets

    broken = False
    for name in selection.choose(names or ["all"], datasets.names(), "data set"):
        for finding in datasets.verify(name, _folder(), data_dir):
            broken |= not finding.ok
            state = "ok    " if finding.ok else "broken"
            click.echo(f"{state} {name}: {finding.note} ({finding.path})")
    sys.exit(int(broken))
