"""``matrix plan``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from harness.commands.errors import plainly
from harness.commands.options import OUT, results_folder
from harness.matrix.reading import as_list
from workloads.errors import UserError
from workloads.reading import nearest


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@OUT
@plainly
def plan(file: Path, out: Path | None) -> None:
    """Plan the runs of FILE (matrix.toml): the units, each one `run` on one machine."""
    from harness.matrix import plan as planning
    from harness.text import count

    planned = planning.make(file, results_folder(out), _check)
    click.echo(f"{planned.name}: {count(len(planned.units), 'unit')} in {planned.folder}")


def _check(options: Mapping[str, Any]) -> None:
    """Raise UserError where `run` would not take these options; of a device, where it has no cell."""
    from harness.commands.run import run
    from harness.matrix.plan import words

    by_name = {name.removeprefix("--"): option for option in run.params for name in option.opts}
    for key, value in options.items():
        if key not in by_name:
            raise UserError(
                f"no option of `run`{nearest(key, by_name)}: {', '.join(sorted(by_name))}"
            )
        if allowed := _misfit(by_name[key], value):
            raise UserError(allowed)
    try:
        with run.make_context("run", words(options)) as context:
            parameters = context.params
    except click.UsageError as error:
        raise UserError(error.message.rstrip(".")) from error
    _check_names(parameters, "device" in options)


def _misfit(option: click.Parameter, value: Any) -> str:
    """What an option takes instead of a value, where the command line would misread it."""
    if isinstance(option, click.Option) and option.is_flag:
        return "" if isinstance(value, bool) else "true or false"
    if value == []:
        return "name at least one, or leave it out"
    if isinstance(value, list) and not option.multiple:
        return "one value, not a list"
    return "a value, not true or false" if any(isinstance(v, bool) for v in as_list(value)) else ""


def _check_names(parameters: Mapping[str, Any], has_device: bool) -> None:
    """Raise UserError where a name is unknown, or nothing that is named runs on the device."""
    from harness.environments import variants
    from harness.paths import project_root
    from harness.runner import plan as cells
    from harness.runner.request import modes
    from workloads import spec

    root = project_root()
    chosen = variants.choose(parameters["frameworks"], root)
    variants.choose(parameters["interpreters"] or ["all"], root)
    offered = modes(parameters["modes"], chosen, root)
    if has_device:
        any_workload = spec.load(spec.names()[0])
        device, dtype = parameters["device"], parameters["dtype"]
        if not cells.cells([any_workload], chosen, offered, [device], dtype):
            raise UserError(f"nothing to run: no framework has {dtype} there")
    if parameters["epochs"] and parameters["steps"]:
        raise UserError("epochs and steps are mutually exclusive: give one")
