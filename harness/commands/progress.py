"""Shows a run as it goes: a live line with an estimate in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from harness.commands.time_left import TimeLeft
from harness.machine import claims
from harness.machine.processors import in_words
from harness.results.metrics import RANK
from harness.results.tables import number
from harness.text import amount, count, duration, interval, with_reason
from harness.verdicts import BEFORE, EQUIVALENT, UNDECIDED, undecided_reason


class Display:
    """Listens to a run's events; call it with each. Use it as a context.

    In a terminal it shows the table so far and a progress bar, both in place.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began, self._left = time.monotonic(), TimeLeft()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
        )
        self._task = self._progress.add_task("starting", total=1.0, left="")
        self._live = Live(self._progress, console=console, transient=True)

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._live.stop()

    def __call__(self, event: dict[str, Any]) -> None:
        """Show one event of the journal, where a person would want to see it."""
        name, cell, elapsed = event["event"], event.get("cell"), time.monotonic() - self._began
        self._left.add(event, elapsed)
        if line := _line(name, cell, event):
            self._console.print(line, highlight=False)
        if not self._console.is_terminal:
            return
        if description := _now(name, cell, event):
            left = f"about {duration(self._left.seconds(elapsed))} left"
            done = self._left.share_done(elapsed)
            self._progress.update(self._task, description=description, completed=done, left=left)
        if name == "standing":
            self._live.update(Group(_table(event), self._progress))


def _table(event: Mapping[str, Any]) -> Table:
    """The training throughput of every cell after a launch, with its interval and rank so far."""
    launches = count(event["launches"], "launch", "launches")
    table = Table("rank", event["workload"], "training samples/s", "95% interval", box=None)
    table.caption = f"after {launches}: {event['open']} of {count(event['pairs'], 'pair')} open"
    for cell in event["cells"]:
        speed, low, high = (
            "-" if (value := number(cell[key])) is None else amount(value)
            for key in ("speed", "low", "high")
        )
        bounds = "-" if low == "-" else f"{low} to {high}"
        name = escape(" ".join(cell["cell"].split("/")[1:3]))
        table.add_row(RANK.text(cell), name, speed, bounds)
    return table


def _now(name: str, cell: str | None, event: dict[str, Any]) -> str | None:
    """Say in a few words what runs at this moment."""
    if name == "framework-building":
        return f"environment: {escape(event['framework'])}"
    short = escape(_short(cell)) if cell else ""
    if name == "progress" and "step" in event:
        return f"{short} trains, step {event['step']}/{event['steps']}"
    stages = {
        "preparing": "starts, is built and checked for parity",
        "progress": "predicts the test set",
        "relaunched": "starts again",
        "launched": f"starts again, launch {event.get('launch')}",
        "warmed": f"warm, launch {event.get('launch')}",
        "retrained": f"trained with seed {event.get('seed')}",
        "slice": f"timed, launch {event.get('launch')}, round {event.get('round')}",
    }
    return f"{short} {stages[name]}" if name in stages else None


def _short(cell: str) -> str:
    workload, framework, mode, device, _ = cell.split("/")
    return f"{workload}: {framework} {mode}" + ("" if device == "cpu" else f" {device}")


def _line(name: str, cell: str | None, event: dict[str, Any]) -> str | None:
    """Return the line that stays on the screen, or None: most events leave none."""
    return _run_line(name, event) if cell is None else _cell_line(name, _short(cell), event)


def _run_line(name: str, event: dict[str, Any]) -> str | None:
    if name == "framework-unavailable":
        return f"[yellow]![/] {escape(event['title'])} unavailable: {escape(event['reason'])}"
    if name == "framework-ready" and event["seconds"] > 2:
        return (
            f"  {escape(event['title'])}: environment {event['origin']} in {event['seconds']:.0f} s"
        )
    if name == "waiting":
        return (
            f"[yellow]![/] {claims.in_words(event['processors'], event['cards'])}:"
            " waiting until it ends"
        )
    if name == "processors" and event["others"]:
        taken = claims.in_words(event["others"], [])
        return f"[yellow]![/] {taken}: this one takes {in_words(event['processors'])}"
    if name in ("history-failed", "report-failed"):
        return f"[yellow]![/] {escape(event['reason'])}"
    if name == "workload-skipped":
        return f"[yellow]![/] {escape(event['workload'])} skipped: {escape(event['reason'])}"
    if name == "workload-refused":
        return f"[red]x[/] {escape(event['workload'])} refused: {escape(event['reason'])}"
    if name == "standing" and "a" in event:
        first, second = (" ".join(event[key].split("/")[1:3]) for key in ("a", "b"))
        ratio = interval(event["ratio"], event["low"], event["high"])
        return (
            f"  {escape(event['workload'])}: after {event['launches']} launches {escape(first)} has"
            f" {ratio} {escape(second)}'s training throughput;"
            f" {event['open']} of {event['pairs']} pairs are not known to the precision yet"
        )
    if name == "dataset":
        about = f"{event['name']} ({event['source']}), {event['train']} to train, {event['test']} to test"
        return f"  {escape(event['workload'])}: {escape(about)}"
    return None


def _cell_line(name: str, cell: str, event: dict[str, Any]) -> str | None:
    if name == "cell-failed":
        return f"[red]x[/] {escape(cell)} {escape(with_reason(event['status'], event['reason']))}"
    if name == "parity" and event["when"] == BEFORE:
        return f"  {escape(cell)}: {escape(_parity(event))}"
    if name == "trained":
        loss = event["final_loss"]
        words = "not a number" if loss is None else f"{loss:.4f}"
        steps = f"{event['steps']} steps in {event['seconds']:.1f} s"
        return f"  {escape(cell)}: {steps}, loss {words}"
    return None


def _parity(event: dict[str, Any]) -> str:
    """Say what a cell's parity check found: what is nearest its bound, what is undecided, or the hint."""
    if event["verdict"] == EQUIVALENT:
        share, tensor = event["worst_share"], event["worst_tensor"]
        return f"{EQUIVALENT} (nearest its bound: {tensor}, {share:.2f} of it)"
    if event["verdict"] == UNDECIDED:
        return undecided_reason([event])
    return event["sentence"] + (f" ({event['hint']})" if event["hint"] else "")
