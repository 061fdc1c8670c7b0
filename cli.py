"""The command line: parses, calls the harness, prints. No logic."""

from __future__ import annotations

import json
import sys
import webbrowser
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

from harness import doctor as doctor_room
from harness import environments, locks, plan, recipes, store
from harness.arguments import Duration, Named, Percent
from harness.display import Display
from harness.parity import DEFAULT_STEPS
from harness.places import cache_folder, project_root
from harness.report import files, html, terminal
from harness.run import execute
from harness.run import request as make_request
from harness.shelf import shelf
from workloads import cost, datasets, spec

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""


class Refused(click.ClickException):
    """Wrong use, or something missing: one line for the user; exit status 2."""

    exit_code = 2


_USERS_ERRORS = (
    spec.SpecError,
    recipes.RecipeError,
    datasets.DatasetError,
    store.StoreError,
    environments.Unavailable,
    environments.InstallError,
)


def plainly(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn errors meant for the user into one line, and Ctrl-C into its exit status."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except _USERS_ERRORS as error:
            raise Refused(str(error)) from error
        except KeyboardInterrupt:
            click.echo("interrupted; what was measured until now is kept", err=True)
            sys.exit(INTERRUPTED)

    return wrapped


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="samestep")
def main() -> None:
    """Compare deep-learning frameworks that provably take the same training step."""


def _options(*options: Callable) -> Callable:
    """Apply several options at once, in their order."""

    def apply(command: Callable) -> Callable:
        for option in reversed(options):
            command = option(command)
        return command

    return apply


_FOLDER = click.Path(file_okay=False, path_type=Path)
_THERE = click.Path(exists=True, file_okay=False, path_type=Path)
_OUT = click.option("--out", type=_FOLDER, help="Where runs are kept.  [default: results/]")

_CELLS = _options(
    click.option("--framework", "frameworks", multiple=True, default=["all"], show_default=True,
                 help="A framework, several with commas or by repeating, or all."),
    click.option("--workload", "workloads", multiple=True,
                 help="A workload of the catalogue, a .toml file, or all."),
    click.option("--mode", "modes", multiple=True, help="Only these modes of execution."),
    click.option("--device", type=click.Choice(["cpu", "cuda", "auto"]), default="auto",
                 show_default=True, help="auto takes every device that is here."),
    click.option("--threads", type=click.IntRange(min=1),
                 help="Processors a worker may use.  [default: all]"),
    click.option("--seed", type=click.IntRange(min=0),
                 help="For weights, order and made data, not the workload's."),
    click.option("--data-dir", type=_THERE, help="A folder with a data set's published files."),
    click.option("--interpreter", "interpreters", type=Named(), multiple=True,
                 help="Use this python for a framework, as pytorch=/path/to/python."),
    click.option("--parity-steps", type=click.IntRange(min=1), default=DEFAULT_STEPS,
                 show_default=True, help="Steps that the proof follows."),
    _OUT,
)  # fmt: skip


@main.command()
@_CELLS
@click.option("--epochs", type=click.IntRange(min=1), help="Train so long, not the workload's.")
@click.option("--steps", type=click.IntRange(min=1), help="Train so many steps instead.")
@click.option("--budget", type=Duration(), help="Time for all timed rounds together, as 2m.")
@click.option("--precision", type=Percent(), help="Go on until ratios are known so well, as 2%.")
@click.option("--quick", is_flag=True, help="A try-out: one epoch, three short rounds.")
@click.option("--data", type=click.Choice(["real", "synthetic"]), default="real", show_default=True,
              help="synthetic: made from the seed, for speed only; no accuracy is reported.")  # fmt: skip
@click.option("--no-parity", is_flag=True, help="No proof; every output then says: not proved.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON, nothing else.")
@plainly
def run(as_json: bool, epochs: int | None, steps: int | None, **options: Any) -> None:
    """Prove, train, score and time workloads in every framework, and report."""
    if epochs and steps:
        raise click.UsageError("--epochs and --steps say the same thing twice: give one")
    folder, status = _conduct(as_json, epochs=epochs, steps=steps, **options)
    _show(folder, as_json)
    sys.exit(status)


@main.command()
@_CELLS
@click.option("--data", type=click.Choice(["real", "synthetic"]), default="synthetic",
              show_default=True, help="The maths is the same on either.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON, nothing else.")
@plainly
def parity(as_json: bool, **options: Any) -> None:
    """Prove, and nothing else: does every framework take the reference's training step?"""
    folder, status = _conduct(as_json, only_proof=True, **options)
    if as_json:
        _show(folder, as_json)
    else:
        terminal.proofs(store.read(folder), Console())
    sys.exit(status)


def _conduct(as_json: bool, interpreters: tuple, **options: Any) -> tuple[Path, int]:
    command = ["python", "cli.py", *sys.argv[1:]]
    asked = make_request(interpreters=dict(interpreters), command=command, **options)
    with Display(Console(stderr=as_json)) as display:
        return execute(asked, display)


def _show(folder: Path, as_json: bool) -> None:
    record = store.read(folder)
    if as_json:
        click.echo(store.summary(record).to_json(orient="records", indent=2))
    else:
        terminal.show(record, Console())


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--format", "form", type=click.Choice(["table", "html", *files.TEXTS]),
              default="table", show_default=True)  # fmt: skip
@click.option("--open", "opened", is_flag=True, help="Write the HTML, and open it in a browser.")
@_OUT
@plainly
def report(runs: tuple[str, ...], form: str, opened: bool, out: Path | None) -> None:
    """Report stored RUNs again: each a folder, a name or the beginning of it, or latest."""
    results = _results(out)
    records = list(map(store.read, dict.fromkeys(store.resolve(results, run) for run in runs)))
    if opened or form == "html":
        path = html.write(records, html.place(records, results))
        click.echo(path)
        if opened:
            webbrowser.open(path.resolve().as_uri())
    elif form == "table":
        for record in records:
            terminal.show(record, Console())
    else:
        click.echo(files.text(records, form), nl=False)


def _results(out: Path | None) -> Path:
    return out or project_root() / "results"


@main.group(name="list")
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
            "arbiter, not ranked" if r.arbiter else "",
        )
        for r in recipes.discover().values()
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
    rows = [(mode, r.name) for r in recipes.discover().values() for mode in r.modes]
    terminal.table(Console(), ["mode", "framework"], rows)


@list_.command()
@_OUT
@plainly
def results(out: Path | None) -> None:
    """Runs that are kept."""
    rows = [
        (e.name, e.started[:16], e.status, f"{e.ok}/{e.cells}", e.data)
        for e in store.runs(_results(out))
    ]
    terminal.table(Console(), ["run", "started (UTC)", "status", "cells ok", "data"], rows)


@main.group()
def env() -> None:
    """The frameworks' environments."""


_FRAMEWORKS = click.argument("frameworks", nargs=-1, metavar="[FRAMEWORK]...")


def _chosen(names: tuple[str, ...]) -> list[recipes.Recipe]:
    known = recipes.discover()
    return [known[name] for name in plan.choose(names or ["all"], list(known), "framework")]


@env.command(name="list")
@plainly
def env_list() -> None:
    """Environments that are built, their size and place."""
    rows = [
        (b.name, b.version, f"{b.bytes / 2**20:,.0f} MiB", f"{b.when:%Y-%m-%d %H:%M}")
        for b in environments.built()
    ]
    terminal.table(Console(), ["environment", "version", "size", "built"], rows)
    click.echo(f"in {shelf()}; each has its python in bin/")


@env.command()
@_FRAMEWORKS
@click.option("--device", type=click.Choice(recipes.DEVICES), default="cpu", show_default=True)
@plainly
def build(frameworks: tuple[str, ...], device: str) -> None:
    """Build environments from their locks, all at once; those that are there are kept."""
    console = Console()
    chosen = [recipe for recipe in _chosen(frameworks) if device in recipe.devices or frameworks]

    def tell(name: str, text: str) -> None:
        console.print(f"  {name}: {text}", markup=False, highlight=False)

    made = environments.prepare_all(chosen, device, report=tell)
    failed = False
    for name, result in made.items():
        if isinstance(result, environments.Unavailable):
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
        for name in environments.remove(recipe.name):
            click.echo(f"removed {name}")


@env.command()
@_FRAMEWORKS
@plainly
def lock(frameworks: tuple[str, ...]) -> None:
    """Write the lock files again from the requirements in environment.toml."""
    for recipe in _chosen(frameworks):
        written = locks.lock(recipe)
        for path in written:
            click.echo(f"wrote {path}")
        if not written:
            click.echo(f"{recipe.name}: its locks are what the requirements give")


@main.group()
def data() -> None:
    """The data sets."""


_DATA_DIR = click.option(
    "--data-dir", type=click.Path(exists=True, file_okay=False, path_type=Path)
)


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
    for name in plan.choose(names or ["all"], datasets.names(), "data set"):
        for finding in datasets.verify(name, _datasets(), data_dir):
            broken |= not finding.ok
            click.echo(
                f"{'ok    ' if finding.ok else 'broken'} {name}: {finding.note} ({finding.path})"
            )
    sys.exit(int(broken))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@plainly
def doctor(as_json: bool) -> None:
    """Say what is here, what is missing, and how to mend it."""
    findings = doctor_room.examine()
    if as_json:
        click.echo(json.dumps([vars(finding) for finding in findings], indent=2))
    else:
        terminal.findings(Console(), findings)
    sys.exit(int(any(finding.level == "error" for finding in findings)))


if __name__ == "__main__":
    main()
