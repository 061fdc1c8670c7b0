"""What every command of the command line shares: errors in one line, Ctrl-C, where runs are kept."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from harness import environments, recipes, store
from harness.places import project_root
from workloads import datasets, spec

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


FOLDER = click.Path(file_okay=False, path_type=Path)
THERE = click.Path(exists=True, file_okay=False, path_type=Path)
OUT = click.option("--out", type=FOLDER, help="Where runs are kept.  [default: results/]")


def results_folder(out: Path | None) -> Path:
    """Return the folder that runs are kept in."""
    return out or project_root() / "results"
