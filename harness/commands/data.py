"""``data``: the data sets."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.commands.errors import plainly
from harness.commands.options import THERE
from harness.paths import cache_folder
from workloads.places import program


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

    rows: list[tuple[str, ...]] = []
    for name in datasets.names():
        dataset = datasets.describe(name)
        shape = "x".join(map(str, dataset.shape))
        state = datasets.state(name, _folder(), data_dir)
        examples = f"{dataset.train:,} + {dataset.test:,}"
        rows.append((name, dataset.title, shape, examples, str(state)))
    rows += [_user_data_row(folder) for folder in datasets.user_data_folders(_folder())]
    table(Console(), ["data set", "title", "shape", "train + test", "state"], rows)


def _user_data_row(folder: Path) -> tuple[str, ...]:
    """Arrays in the cache that were made of files of the user's."""
    from workloads.datasets import DatasetError, array_cache

    try:
        arrays = array_cache.peek(folder)
        counts = [len(arrays.open(f"{part}_labels")) for part in ("train", "test")]
        size = sum(file.stat().st_size for file in folder.iterdir()) / 2**20
    except (DatasetError, OSError, ValueError) as error:
        return folder.parent.name, "", "", "", f"broken: {error}"
    shape = "x".join(map(str, arrays.shape))
    examples = " + ".join(f"{count:,}" for count in counts)
    return arrays.name, arrays.source, shape, examples, f"{size:,.1f} MiB in {folder}"


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
    """Check again every byte of what is in the cache, or of --data-dir.

    Exit 1: something is broken, or nothing is there of a data set that was named.
    """
    from harness import selection
    from workloads import datasets

    chosen = selection.choose(names or ["all"], datasets.names(), "data set")
    findings = [
        (name, finding) for name in chosen for finding in datasets.verify(name, _folder(), data_dir)
    ]
    if not names or "all" in names:
        findings += [("user data", finding) for finding in datasets.verify_user_data(_folder())]
    for name, finding in findings:
        state = "ok    " if finding.ok else "broken"
        click.echo(f"{state} {name}: {finding.note} ({finding.path})")
    absent = [name for name in chosen if name in names and name not in dict(findings)]
    for name in absent:
        click.echo(
            f"absent {name}: nothing of it in {_folder()} ({datasets.state(name, _folder())})"
        )
    if not findings and not absent:
        click.echo(f"no data in {_folder()}; `{program()} data fetch NAME` downloads some")
    sys.exit(int(bool(absent) or not all(finding.ok for _, finding in findings)))
