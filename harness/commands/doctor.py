"""``doctor``: what is here, what is missing, and how to fix it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from harness.commands.errors import plainly
from harness.text import Tone, plain

if TYPE_CHECKING:
    from rich.console import Console

    from harness.doctor import Finding

_TONES: dict[str, Tone] = {"ok": "good", "warning": "warn", "error": "bad"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@plainly
def doctor(as_json: bool) -> None:
    """Say what is here, what is missing, and how to fix it."""
    from rich.console import Console

    from harness.doctor import examine

    findings = examine()
    if as_json:
        click.echo(json.dumps([vars(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            show(Console(), finding)
    sys.exit(int(any(finding.level == "error" for finding in findings)))


def show(console: Console, finding: Finding) -> None:
    """Print what an examination found, and how to fix it."""
    from harness.report.printing import say

    fix = f"\n{plain(finding.mend)}" if finding.mend else ""
    say(console, _TONES[finding.level], f"{plain(finding.what)}{fix}")
