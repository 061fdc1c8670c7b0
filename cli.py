"""The command line: parses, calls the harness, prints. No logic."""

from __future__ import annotations

import json
import sys
import webbrowser
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from harness import doctor as doctor_room
from harness.commands import check as gate
from harness.commands import inventory
from harness.commands.bisect import bisect
from harness.commands.options import CELLS, OUT, TRAINING, conduct, plainly, results_folder
from harness.commands.types import Duration, Percent
from harness.report import compare as changes
from harness.report import document, formats, terminal
from harness.report.history import content as history_report
from harness.report.history import html_page, terminal_table
from harness.report.html import renderer
from harness.results import history_db as history_room
from harness.results import store
from harness.results.metrics import IN_HISTORY
from harness.runner import profile as profile_room
from harness.runner.request import request


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="samestep")
def main() -> None:
    """Compare deep-learning frameworks on numerically equivalent training steps."""


for command in (inventory.list_, inventory.env, inventory.data, gate.check, gate.baseline, bisect):
    main.add_command(command)


@main.command()
@CELLS
@TRAINING
@click.option("--budget", type=Duration(), help="Time for all timed rounds together, as 2m.")
@click.option("--precision", type=Percent(), help="Go on until ratios are known so well, as 2%.")
@click.option("--quick", is_flag=True, help="A try-out: one epoch, three short rounds.")
@click.option("--data", type=click.Choice(["real", "synthetic"]), default="real", show_default=True,
              help="synthetic: made from the seed, for speed only; no accuracy is reported.")  # fmt: skip
@click.option("--no-parity", is_flag=True, help="Skip the parity check; every output then says so.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON, nothing else.")
@plainly
def run(as_json: bool, **options: Any) -> None:
    """Check parity, train, score and time workloads in every framework, and report.

    Exit 0: all ok; 1: a cell failed or is not equivalent; else 3: for some
    undecided cell nothing was shown.
    """
    folder, status = conduct(request(**options), as_json)
    _show(folder, as_json)
    sys.exit(status)


@main.command()
@CELLS
@click.option(
    "--data",
    type=click.Choice(["real", "synthetic"]),
    default="synthetic",
    show_default=True,
    help="synthetic: made from the seed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON, nothing else.")
@plainly
def parity(as_json: bool, **options: Any) -> None:
    """Run the parity check alone: does every framework take the reference's training step?

    Exit 0: all equivalent; 1: a cell failed or is not equivalent; else 3: for some undecided cell nothing
    was shown.
    """
    folder, status = conduct(request(only_parity=True, **options), as_json)
    if as_json:
        _show(folder, as_json)
    else:
        terminal.parity(store.read(folder), Console())
    sys.exit(status)


def _show(folder: Path, as_json: bool) -> None:
    record = store.read(folder)
    if as_json:
        click.echo(document.render([record]), nl=False)
    else:
        terminal.show(record, Console())


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--format", "form", type=click.Choice(["table", "html", *formats.TEXTS]),
              default="table", show_default=True)  # fmt: skip
@click.option("--open", "opened", is_flag=True, help="Write the HTML, and open it in a browser.")
@OUT
@plainly
def report(runs: tuple[str, ...], form: str, opened: bool, out: Path | None) -> None:
    """Report stored RUNs again: each a folder, a name or the beginning of it, or latest."""
    results = results_folder(out)
    records = list(map(store.read, dict.fromkeys(store.resolve(results, run) for run in runs)))
    if opened or form == "html":
        _page(renderer.write(records, renderer.place(records, results)), opened)
    elif form == "table":
        for record in records:
            terminal.show(record, Console())
    else:
        click.echo(formats.text(records, form), nl=False)


def _page(path: Path, opened: bool) -> None:
    click.echo(path)
    if opened:
        webbrowser.open(path.resolve().as_uri())


@main.command()
@click.argument("cell", required=False)
@click.option(
    "--metric",
    type=click.Choice([*IN_HISTORY]),
    default="throughput",
    show_default=True,
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "html", "json", "csv"]),
    default="table",
    show_default=True,
)
@click.option("--open", "opened", is_flag=True, help="Write the HTML, and open it in a browser.")
@OUT
@plainly
def history(cell: str | None, metric: str, form: str, opened: bool, out: Path | None) -> None:
    """Show a metric over all stored runs, and where it changed; of cells with CELL in their name."""
    results = results_folder(out)
    for reason in history_room.update(results):
        click.echo(f"left out: {reason}", err=True)
    view = history_report.build(history_room.table(results), metric, cell)
    if opened or form == "html":
        _page(html_page.write(view, results, cell), opened)
    elif form == "table":
        terminal_table.show(view, Console())
    else:
        write = {"json": history_report.document, "csv": history_report.csv}[form]
        click.echo(write(view), nl=False)


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
    profiled = profile_room.profile(
        cell, results_folder(out), lambda text: click.echo(text, err=True)
    )
    terminal.profile(profiled, Console())


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
