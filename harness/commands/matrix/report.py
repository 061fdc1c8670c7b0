"""``matrix report``."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from harness.commands.errors import plainly
from harness.commands.matrix.options import MATRIX, load
from harness.commands.options import is_page


@click.command()
@MATRIX
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "html", "md"]),
    default="table",
    show_default=True,
    help="Of what is printed; html: a page is written.",
)
@click.option("--open", "opened", is_flag=True, help="Write the HTML, and open it in a browser.")
@plainly
def report(name: str | None, out: Path | None, form: str, opened: bool) -> None:
    """Merge all results into one report, with a map of the units; whatever is done by now."""
    from rich.console import Console

    from harness.matrix import status
    from harness.report.matrix import content, html_page, markdown, terminal

    as_page, planned = is_page(form, opened), load(name, out)
    built = content.build(planned, status.look(planned))
    if as_page:
        page = html_page.write(built, planned.folder / "report.html")
        click.echo(page)
        if opened:
            webbrowser.open(page.resolve().as_uri())
    elif form == "md":
        click.echo(markdown.render(built), nl=False)
    else:
        terminal.show(built, Console())
