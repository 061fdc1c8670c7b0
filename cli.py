"""The command line: parses, calls the harness, prints. No logic."""

from __future__ import annotations

import json
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from frameworks.contract import PRECISIONS
from harness import doctor as doctor_room
from harness import inventory, store
from harness import profile as profile_room
from harness.arguments import Device, Duration, Named, Percent
from harness.display import Display
from harness.parity import DEFAULT_STEPS
from harness.report import changes, document, files, html, terminal
from harness.run import execute
from harness.run import request as make_request
from harness.shell import OUT, THERE, plainly, results_folder


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="samestep")
def main() -> None:
    """Compare deep-learning frameworks that provably take the same training step."""


for group in (inventory.list_, inventory.env, inventory.data):
    main.add_command(group)


def _options(*options: Callable) -> Callable:
    """Apply several options at once, in their order."""

    def apply(command: Callable) -> Callable:
        for option in reversed(options):
            command = option(command)
        return command

    return apply


_CELLS = _options(
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
                 help="Use this python for a framework, as pytorch=/path/to/python."),
    click.option("--parity-steps", type=click.IntRange(min=1), default=DEFAULT_STEPS,
                 show_default=True, help="Steps that the proof follows."),
    OUT,
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
        click.echo(document.render([record]), nl=False)
    else:
        terminal.show(record, Console())


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--format", "form", type=click.Choice(["table", "html", *files.TEXTS]),
              default="table", show_default=True)  # fmt: skip
@click.option("--open", "opened", is_flag=True, help="Write the HTML, and open it in a browser.")
@OUT
@plainly
def report(runs: tuple[str, ...], form: str, opened: bool, out: Path | None) -> None:
    """Report stored RUNs again: each a folder, a name or the beginning of it, or latest."""
    results = results_folder(out)
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


@main.command()
@click.argument("run_a", metavar="RUN_A")
@click.argument("run_b", metavar="RUN_B")
@click.option("--format", "form", type=click.Choice(["table", "md", "json"]), default="table",
              show_default=True)  # fmt: skip
@OUT
@plainly
def compare(run_a: str, run_b: str, form: str, out: Path | None) -> None:
    """Say what changed from RUN_A to RUN_B, and what of them cannot be compared, and why."""
    a, b = (store.read(store.resolve(results_folder(out), run)) for run in (run_a, run_b))
    if form == "table":
        changes.show(a, b, Console())
    else:
        write = {"md": changes.render, "json": changes.document}[form]
        click.echo(write(a, b), nl=False)


@main.command()
@click.argument("cell", metavar="CELL")
@OUT
@plainly
def profile(cell: str, out: Path | None) -> None:
    """Trace some training steps of CELL, named as in a report, by its framework's own profiler."""
    found = profile_room.profile(cell, results_folder(out), lambda text: click.echo(text, err=True))
    terminal.profile(found, Console())


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
