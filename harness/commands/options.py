"""Options that several commands share, and what they stand for.

No module of `harness.commands` imports what computes at its top: `--help` has to answer at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from harness import defaults, paths
from harness.commands.types import Device, Duration, Folder, Named, Numbers
from workloads.errors import UserError
from workloads.places import program
from workloads.reading import LARGEST

if TYPE_CHECKING:
    from harness.results.store import Record
    from harness.runner.request import Request

FOLDER, THERE = Folder(), Folder(exists=True)
OUT = click.option(
    "--out", type=FOLDER, help="Folder that runs are stored in.  [default: results/]"
)
DETAILS = click.option(
    "--details", is_flag=True, help="Print all notes, and how, where and with what was measured."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else.")


class LazyChoice(click.Choice):
    """A choice whose words are looked up when they are needed, for that takes an import."""

    def __init__(self, load: Callable[[], Iterable[str]]) -> None:
        self._load = load
        self.case_sensitive = True

    @cached_property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        """The words."""
        return tuple(self._load())


def options(*options: Callable) -> Callable:
    """Apply several options at once, in their order."""

    def apply(command: Callable) -> Callable:
        for option in reversed(options):
            command = option(command)
        return command

    return apply


def _dtypes() -> Iterable[str]:
    from frameworks.contract import PRECISIONS

    return [*PRECISIONS, "all"]


KEEP_ENV = click.option(
    "--keep-env",
    multiple=True,
    metavar="NAME",
    help="Hand this environment variable to workers; every output then says so.",
)


def _flat(
    context: click.Context, option: click.Parameter, groups: tuple[tuple[float, ...], ...]
) -> tuple[float, ...]:
    """All numbers of an option that may be repeated, each time with several."""
    return tuple(number for group in groups for number in group)


def _single(
    context: click.Context, option: click.Parameter, numbers: tuple[float, ...] | None
) -> float | None:
    return numbers[0] if numbers else None


_CHOICE = options(
    click.option(
        "--framework",
        "frameworks",
        multiple=True,
        default=["all"],
        show_default=True,
        help="A framework, several with commas or by repeating, or all.",
    ),
    click.option(
        "--workload",
        "workloads",
        multiple=True,
        help="A workload of the catalogue, a .toml file, or all.",
    ),
    click.option("--mode", "modes", multiple=True, help="Only these modes of execution."),
    click.option(
        "--device",
        type=Device(),
        default="auto",
        show_default=True,
        help="cpu, cuda, cuda:1 for the second card; auto is the CPU and the first card.",
    ),
    click.option(
        "--dtype",
        type=LazyChoice(_dtypes),
        default="float32",
        show_default=True,
        help="Arithmetic; tf32 and bfloat16 on cuda only.",
    ),
    click.option(
        "--anonymous",
        is_flag=True,
        help="Leave host, user and paths out of every file that the run writes.",
    ),
    click.option(
        "--deterministic", is_flag=True, help="Use each framework's deterministic algorithms."
    ),
)

_COUNT = click.IntRange(min=1)

_THREADS = click.option(
    "--threads",
    type=Numbers(_COUNT, several=False),
    metavar="N",
    callback=_single,
    help="Processors that a worker may use.  [default: all; of up to 8, all but one]",
)

_HOW = options(
    click.option(
        "--seed",
        type=click.IntRange(min=0, max=LARGEST),
        help="Override the workload's seed (weights, batch order, synthetic data).",
    ),
    click.option("--data-dir", type=THERE, help="A folder with a data set's published files."),
    click.option(
        "--interpreter",
        "interpreters",
        type=Named(),
        multiple=True,
        callback=lambda ctx, option, pairs: dict(pairs),
        help="Use this python for a framework, as NAME=/path/to/python.",
    ),
    click.option(
        "--parity-steps",
        type=click.IntRange(min=1),
        default=defaults.PARITY_STEPS,
        show_default=True,
        help="Steps that the parity check compares.",
    ),
    KEEP_ENV,
    OUT,
)

CELLS = options(_CHOICE, _THREADS, _HOW)

SWEPT_CELLS = options(
    _CHOICE,
    click.option(
        "--threads",
        type=Numbers(_COUNT),
        metavar="N,...",
        multiple=True,
        callback=_flat,
        help="Processors that a worker may use; several numbers make a sweep."
        "  [default: all; of up to 8, all but one]",
    ),
    click.option(
        "--batch",
        type=Numbers(_COUNT),
        metavar="N,...",
        multiple=True,
        callback=_flat,
        help="Override the workload's batch size; several numbers make a sweep.",
    ),
    click.option(
        "--width",
        type=Numbers(click.FloatRange(min=0, min_open=True)),
        metavar="FACTOR,...",
        multiple=True,
        callback=_flat,
        help="Multiply the widths of all hidden layers; several factors make a sweep.",
    ),
    _HOW,
)
"""As CELLS, where a sweep may be made."""

TRAINING = options(
    click.option(
        "--epochs", type=click.IntRange(min=1), help="Override the workload's number of epochs."
    ),
    click.option("--steps", type=click.IntRange(min=1), help="Train for so many steps instead."),
)

BUDGET = click.option(
    "--budget",
    type=Duration(),
    help="Time for all timed rounds together, as 2m."
    f"  [run: {defaults.WORKLOAD_SECONDS / 60:g}m a workload; check: 2m a pair]",
)


def data_option(default: str | None, help: str) -> Callable:
    """``--data``: real or synthetic. Without a default, the command chooses."""
    return click.option(
        "--data",
        type=click.Choice(["real", "synthetic"]),
        default=default,
        show_default=default is not None,
        help=help,
    )


def typed_options(*besides: str) -> list[str]:
    """Return the options that were typed on the command line, but for parameters named in `besides`."""
    context = click.get_current_context()
    return [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in besides
        and context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
    ]


def is_page(form: str, opened: bool) -> bool:
    """Return whether a page is wanted, by `--format` and `--open`.

    Raises UserError where `--open` stands beside another format, which would not be printed.
    """
    if opened and form != "html" and "--format" in typed_options():
        raise UserError(f"--open shows the page: leave out --open, or --format {form}")
    return opened or form == "html"


def results_folder(out: Path | None) -> Path:
    """Return the folder that runs are stored in."""
    return out or paths.results_folder()


def conduct(request: Request, quiet: bool, resumed: Path | None = None) -> tuple[Record, int]:
    """Execute a request with a live display and write its reports; see `runner.run.execute`.

    `quiet`: the display goes to the error output. `resumed`: a run's folder, to go on with.
    """
    from rich.console import Console

    from harness.commands.progress import Display
    from harness.report import formats
    from harness.runner.run import execute

    request = replace(request, command=[*program().split(), *sys.argv[1:]])
    with Display(Console(stderr=quiet)) as display:
        return execute(request, display, finish=formats.write, resumed=resumed)
