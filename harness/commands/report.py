"""``report``, ``history`` and ``compare``: stored runs, shown again."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable, Iterable
from pathlib import Path

import click

from harness.commands.errors import plainly
from harness.commands.options import DETAILS, OUT, LazyChoice, is_page, results_folder
from harness.results.metrics import IN_HISTORY

OPEN = click.option(
    "--open", "opened", is_flag=True, help="Write the HTML, and open it in a browser."
)


def _formats() -> Iterable[str]:
    from harness.report.formats import TEXTS

    return ["table", "html", *TEXTS]


def _format(choice: click.Choice, pages: bool = True) -> Callable:
    return click.option(
        "--format",
        "form",
        type=choice,
        default="table",
        show_default=True,
        help="Of what is printed." + (" html: a page is written." if pages else ""),
    )


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@_format(LazyChoice(_formats))
@DETAILS
@OPEN
@OUT
@plainly
def report(runs: tuple[str, ...], form: str, details: bool, opened: bool, out: Path | None) -> None:
    """Report stored RUNs again: each a folder, a name or the beginning of it, or latest."""
    from rich.console import Console

    from harness.report import formats, terminal
    from harness.report.html import renderer
    from harness.results import store

    page, results = is_page(form, opened), results_folder(out)
    records = list(map(store.read, dict.fromkeys(store.resolve(results, run) for run in runs)))
    if page:
        _page(renderer.write(records, renderer.place(records, results)), opened)
    elif form == "table":
        for record in records:
            terminal.show(record, Console(), details)
    else:
        click.echo(formats.text(records, form), nl=False)


@click.command()
@click.argument("cell", required=False)
@click.option(
    "--metric",
    type=click.Choice([*IN_HISTORY]),
    default="throughput",
    show_default=True,
    help="The metric that is followed.",
)
@_format(click.Choice(["table", "html", "json", "csv"]))
@OPEN
@OUT
@plainly
def history(cell: str | None, metric: str, form: str, opened: bool, out: Path | None) -> None:
    """Show a metric over all stored runs, and where it changed; of cells with CELL in their name."""
    from rich.console import Console

    from harness.report.history import content, html_page, terminal_table
    from harness.results import history_db

    page, results = is_page(form, opened), results_folder(out)
    for reason in history_db.update(results):
        click.echo(f"left out: {reason}", err=True)
    view = content.build(history_db.table(results), metric, cell)
    if page:
        _page(html_page.write(view, results, cell), opened)
    elif form == "table":
        terminal_table.show(view, Console())
    else:
        render = {"json": content.document, "csv": content.csv}[form]
        click.echo(render(view), nl=False)


@click.command()
@click.argument("run_a", metavar="RUN_A")
@click.argument("run_b", metavar="RUN_B")
@_format(click.Choice(["table", "md", "json"]), pages=False)
@OUT
@plainly
def compare(run_a: str, run_b: str, form: str, out: Path | None) -> None:
    """Say what changed from RUN_A to RUN_B, and what of them cannot be compared, and why."""
    from rich.console import Console

    from harness.report import compare as comparison
    from harness.results import store

    before, after = (store.read(store.resolve(results_folder(out), run)) for run in (run_a, run_b))
    if form == "table":
        comparison.show(before, after, Console())
    else:
        render = {"md": comparison.render, "json": comparison.document}[form]
        click.echo(render(before, after), nl=False)


def _page(path: Path, opened: bool) -> None:
    click.echo(path)
    if opened:
        webbrowser.open(path.resolve().as_uri())
