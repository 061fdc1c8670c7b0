"""Placeholder until the outputs are merged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from harness.gate.finding import Verdict


def show(found: Verdict, console: Console) -> None:
    console.print(found.sentence)
    for f in found.findings:
        console.print(
            f.cell,
            f.metric.name,
            f.verdict,
            f.before,
            f.after,
            f.change,
            f.low,
            f.high,
            f.threshold,
            f.launches,
            f.note,
        )


def write(folder: Path, found: Verdict) -> None:
    pass


def document(found: Verdict) -> str:
    return ""


def announce(found: Verdict) -> None:
    pass


def baseline(one: Any, console: Console) -> None:
    console.print(one.told)
