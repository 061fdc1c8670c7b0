"""The commands that tell and tend what there is: list, env, data."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

from harness import selection
from harness.commands.options import OUT, THERE, plainly, results_folder
from harness.environments import builder, framework_spec, lockfiles, variants
from harness.environments.cache import shelf
from harness.paths import cache_folder, project_root
from harness.report import terminal
from harness.results import store
from workloads import cost, datasets, spec


@click.group(name="list")
def list_() -> None:
    """List what there is."""


@list_.command()
@plainly
def frameworks() -> None:
    """Frameworks, their devices and modes."""
    rows = [
        (
            r.name,
            r.title,
            ", ".join(r.devices),
            ", ".join(r.modes),
            "reference, not ranked" if r.arbiter else "",
        )
        for r in framework_spec.discover().values()
    ]
    terminal.table(Console(), ["framework", "title", "devices", "modes", ""], rows)


@list_.command()
@plainly
def workloads() -> None:
    """Workloads of the catalogue, their size and their cost."""
    rows = []
    for name in spec.names():
        one = spec.load(name)
        flop = cost.training_flop(one)
        size = f"{cost.parameter_count(one):,}"
        rows.append(
            (name, one.data.dataset, str(one.data.batch), size, f"{flop / 1e6:,.3g}", one.title)
        )
    head = ["workload", "data set", "batch", "parameters", "Mflop a sample", "title"]
    terminal.table(Console(), head, rows)


@list_.command()
@plainly
def modes() -> None:
    """Modes of execution: each framework's own ways, dynamic and static."""
    rows = [
        (mode, r.name, " ".join(device for device in r.devices if mode in r.modes_on(device)))
        for r in framework_spec.discover().values()
        for mode in r.modes
    ]
    terminal.table(Console(), ["mode", "framework", "on"], rows)


@list_.command()
@OUT
@plainly
def results(out: Path | None) -> None:
    """Runs that are kept."""
    rows = [
        (e.name, e.started[:16], e.status, f"{e.ok}/{e.cells}", e.data)
        for e in store.runs(results_folder(out))
    ]
    terminal.table(Console(), ["run", "started (UTC)", "status", "cells ok", "data"], rows)


@click.group()
def env() -> None:
    """The frameworks' environments."""


_FRAMEWORKS = click.argument("frameworks", nargs=-1, metavar="[FRAMEWORK]...")


def _chosen(names: tuple[str, ...]) -> list[framework_spec.Recipe]:
    known = framework_spec.discover()
    return [known[name] for name in selection.choose(names or ["all"], list(known), "framework")]


@env.command(name="list")
@plainly
def env_list() -> None:
    """Environments that are built, their size and place."""
    rows = [
        (b.name, b.version, f"{b.bytes / 2**20:,.0f} MiB", f"{b.when:%Y-%m-%d %H:%M}")
        for b in builder.built()
    ]
    terminal.table(Console(), ["environment", "version", "size", "built"], rows)
    click.echo(f"in {shelf()}; each has its python in bin/")


@env.command()
@_FRAMEWORKS
@click.option(
    "--device", type=click.Choice(framework_spec.DEVICES), default="cpu", show_default=True
)
@plainly
def build(frameworks: tuple[str, ...], device: str) -> None:
    """Build environments from their locks, all at once; those that are there are kept."""
    console = Console()
    asked = variants.choose(frameworks or ["all"], project_root()).values()
    chosen = [recipe for recipe in asked if device in recipe.devices or frameworks]

    def tell(name: str, text: str) -> None:
        console.print(f"  {name}: {text}", markup=False, highlight=False)

    made = builder.prepare_all(chosen, device, report=tell)
    failed = False
    for name, result in made.items():
        if isinstance(result, builder.Unavailable):
            failed = True
            console.print(f"{name}: unavailable: {result}", markup=False, highlight=False)
        else:
            console.print(
                f"{name}: {result.version}, {result.seconds:.1f} s, {result.python}",
                markup=False,
                highlight=False,
            )
    sys.exit(int(failed))


@env.command()
@_FRAMEWORKS
@plainly
def remove(frameworks: tuple[str, ...]) -> None:
    """Remove built environments from the cache."""
    for recipe in _chosen(frameworks):
        for name in builder.remove(recipe.name):
            click.echo(f"removed {name}")


@env.command()
@_FRAMEWORKS
@plainly
def lock(frameworks: tuple[str, ...]) -> None:
    """Write the lock files again from the requirements in environment.toml."""
    for recipe in _chosen(frameworks):
        written = lockfiles.lock(recipe)
        for path in written:
            click.echo(f"wrote {path}")
        if not written:
            click.echo(f"{recipe.name}: its locks are what the requirements give")


@click.group()
def data() -> None:
    """The data sets."""


_DATA_DIR = click.option("--data-dir", type=THERE)


def _datasets() -> Path:
    return cache_folder() / "datasets"


@data.command(name="list")
@_DATA_DIR
@plainly
def data_list(data_dir: Path | None) -> None:
    """Data sets, their size and whether they are here."""
    rows = []
    for name in datasets.names():
        one = datasets.describe(name)
        shape = "x".join(map(str, one.shape))
        state = datasets.state(name, _datasets(), data_dir)
        rows.append((name, one.title, shape, f"{one.train:,} + {one.test:,}", str(state)))
    terminal.table(Console(), ["data set", "title", "shape", "train + test", "state"], rows)


@data.command()
@click.argument("name")
@plainly
def fetch(name: str) -> None:
    """Download a data set, check it, unpack it into the cache."""
    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(name, total=None)
        datasets.fetch(
            name, _datasets(), lambda done, total: progress.update(bar, completed=done, total=total)
        )
    click.echo(f"{name}: {datasets.state(name, _datasets())}")


@data.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_DATA_DIR
@plainly
def verify(names: tuple[str, ...], data_dir: Path | None) -> None:
    """Check again every byte of what is in the cache, or of --data-dir."""
    broken = False
    for name in selection.choose(names or ["all"], datasets.names(), "data set"):
        for finding in datasets.verify(name, _datasets(), data_dir):
            broken |= not finding.ok
            click.echo(
                f"{'ok    ' if finding.ok else 'broken'} {name}: {finding.note} ({finding.path})"
            )
    sys.exit(int(broken))
