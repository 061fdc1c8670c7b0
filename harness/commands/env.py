"""``env``: the frameworks' environments."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from harness.commands.errors import plainly
from workloads.errors import UserError
from workloads.places import program

if TYPE_CHECKING:
    from harness.environments.framework_spec import FrameworkSpec


@click.group()
def env() -> None:
    """The frameworks' environments."""


_FRAMEWORKS = click.argument("frameworks", nargs=-1, metavar="[FRAMEWORK]...")


@env.command(name="list")
@plainly
def list_() -> None:
    """Environments that are built, their size and place."""
    from rich.console import Console

    from harness.environments import builder
    from harness.environments.cache import environments_folder
    from harness.report.printing import table_or_line

    rows = [
        (
            built.name,
            built.version,
            f"{built.bytes / 2**20:,.0f} MiB",
            f"{built.when:%Y-%m-%d %H:%M}",
        )
        for built in builder.built()
    ]
    empty = f"no environments in {environments_folder()}; `{program()} env build` makes them"
    table_or_line(Console(), ["environment", "version", "size", "built"], rows, empty)
    if rows:
        click.echo(f"in {environments_folder()}; each has its python in bin/")


@env.command()
@_FRAMEWORKS
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Build for the CPU, or for CUDA cards.",
)
@plainly
def build(frameworks: tuple[str, ...], device: str) -> None:
    """Build environments from their locks, all at once; those that are there are kept."""
    from rich.console import Console

    from harness.environments import builder, variants
    from harness.paths import project_root

    console = Console()
    chosen = variants.choose(frameworks or ["all"], project_root()).values()
    framework_specs = [spec for spec in chosen if device in spec.devices or frameworks]

    def report(name: str, text: str) -> None:
        console.print(f"  {name}: {text}", markup=False, highlight=False)

    failed = False
    for name, result in builder.prepare_all(framework_specs, device, report=report).items():
        if isinstance(result, builder.Unavailable):
            failed = True
            line = f"unavailable: {result}"
        else:
            line = f"{result.version}, {result.seconds:.1f} s, {result.python}"
        console.print(f"{name}: {line}", markup=False, highlight=False)
    sys.exit(int(failed))


@env.command()
@_FRAMEWORKS
@plainly
def remove(frameworks: tuple[str, ...]) -> None:
    """Remove built environments from the cache."""
    from harness.environments import builder, cache

    chosen, refusals, removed = _chosen(frameworks), [], 0
    for spec in chosen:
        try:
            names = builder.remove(spec.name)
        except cache.InUse as error:
            refusals.append(str(error))
            continue
        removed += len(names)
        for name in names:
            click.echo(f"removed {name}")
    if refusals:
        raise UserError("; ".join(refusals))
    if not removed:
        of_which = ", ".join(spec.name for spec in chosen)
        click.echo(f"no environment of {of_which} in {cache.environments_folder()}")


@env.command()
@_FRAMEWORKS
@plainly
def lock(frameworks: tuple[str, ...]) -> None:
    """Write the lock files again from the requirements in environment.toml."""
    from harness.environments import lockfiles

    for spec in _chosen(frameworks):
        written = lockfiles.lock(spec)
        for path in written:
            click.echo(f"wrote {path}")
        if not written:
            click.echo(f"{spec.name}: its locks are what the requirements give")


def _chosen(names: tuple[str, ...]) -> list[FrameworkSpec]:
    from harness import selection
    from harness.environments.framework_spec import discover

    framework_specs = discover()
    return [
        framework_specs[name]
        for name in selection.choose(names or ["all"], list(framework_specs), "framework")
    ]
