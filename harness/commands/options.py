"""What every command of the command line shares: errors in one line, Ctrl-C, where runs are kept."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from frameworks.contract import PRECISIONS
from harness.commands.progress import Display
from harness.commands.types import Device, Named
from harness.environments import builder, framework_spec
from harness.parity import DEFAULT_STEPS
from harness.paths import project_root
from harness.results import store
from harness.runner.request import Request
from harness.runner.run import execute
from workloads import datasets, spec

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""


class Refused(click.ClickException):
    """Wrong use, or something missing: one line for the user; exit status 2."""

    exit_code = 2


_USERS_ERRORS = (
    spec.SpecError,
    framework_spec.RecipeError,
    datasets.DatasetError,
    store.StoreError,
    builder.Unavailable,
    builder.InstallError,
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


FOLDER = click.Path(file_okay=False, path_type=Path)
THERE = click.Path(exists=True, file_okay=False, path_type=Path)
OUT = click.option("--out", type=FOLDER, help="Where runs are kept.  [default: results/]")


def results_folder(out: Path | None) -> Path:
    """Return the folder that runs are kept in."""
    return out or project_root() / "results"


def options(*options: Callable) -> Callable:
    """Apply several options at once, in their order."""

    def apply(command: Callable) -> Callable:
        for option in reversed(options):
            command = option(command)
        return command

    return apply


CELLS = options(
    click.option("--framework", "frameworks", multiple=True, default=["all"], show_default=True,
                 help="A framework, several with commas or by repeating, or all."),
    click.option("--workload", "workloads", multiple=True,
                 help="A workload of the catalogue, a .toml file, or all."),
    click.option("--mode", "modes", multiple=True, help="Only these modes of execution."),
    click.option("--device", type=Device(), default="auto", show_default=True,
                 help="cpu, cuda, cuda:1 for the second card; auto is the CPU and the first card."),
    click.option("--dtype", type=click.Choice([*PRECISIONS, "all"]), default=PRECISIONS[0],
                 show_default=True, help="The arithmetic; the last two on cuda only."),
    click.option("--deterministic", is_flag=True,
                 help="Ask every framework for its deterministic algorithms."),
    click.option("--threads", type=click.IntRange(min=1),
                 help="Processors a worker may use.  [default: all]"),
    click.option("--seed", type=click.IntRange(min=0),
                 help="For weights, order and made data, not the workload's."),
    click.option("--data-dir", type=THERE, help="A folder with a data set's published files."),
    click.option("--interpreter", "interpreters", type=Named(), multiple=True,
                 callback=lambda ctx, option, given: dict(given),
                 help="Use this python for a framework, as NAME=/path/to/python."),
    click.option("--parity-steps", type=click.IntRange(min=1), default=DEFAULT_STEPS,
                 show_default=True, help="Steps that the parity check follows."),
    OUT,
)  # fmt: skip

TRAINING = options(
    click.option("--epochs", type=click.IntRange(min=1), help="Train so long, not the workload's."),
    click.option("--steps", type=click.IntRange(min=1), help="Train so many steps instead."),
)


def conduct(asked: Request, quiet: bool) -> tuple[Path, int]:
    """Do a run with its display, on the error output where it is to be `quiet`; see `run.execute`."""
    asked = replace(asked, command=["python", "cli.py", *sys.argv[1:]])
    with Display(Console(stderr=quiet)) as display:
        return execute(asked, display)
