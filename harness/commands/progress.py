"""Shows a run as it goes: a live line with an estimate in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from harness.machine import claims
from harness.machine.processors import in_words
from harness.text import interval
from harness.verdicts import BEFORE, EQUIVALENT, UNDECIDED, undecided_reason

# What a cell's stages weigh in the estimate of what is left: guesses, in one unit.
_START, _TRAIN, _ROUNDS = 2.0, 3.0, 2.0
_CELL = _START + _TRAIN + _ROUNDS


class Display:
    """Listens to a run's events; call it with each. Use it as a context."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = console.is_terminal
        self._began = time.monotonic()
        self._cells, self._slices = 0, 1
        self._done: dict[str, float] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=1.0, left="")

    def __enter__(self) -> Display:
        if self._live:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def __call__(self, event: dict[str, Any]) -> None:
        """Show one event of the journal, where a person would want to see it."""
        name, cell = event["event"], event.get("cell")
        if name in ("run-started", "run-resumed"):
            self._cells = max(1, event["cells"])
            self._slices = max(1, event["slices"])
        if cell:
            self._advance(name, cell, event)
        line = _line(name, cell, event)
        if line:
            self._console.print(line, highlight=False)
        description = _now(name, cell, event)
        if description and self._live:
            self._progress.update(self._task, description=description, **self._estimate())

    def _advance(self, name: str, cell: str, event: dict[str, Any]) -> None:
        before = self._done.get(cell, 0.0)
        stage = {
            "first-step": _START,
            "trained": _START + _TRAIN,
            "cell-done": _CELL,
            "cell-failed": _CELL,
        }.get(name, 0.0)
        if name == "progress" and "steps" in event:
            stage = _START + _TRAIN * event["step"] / event["steps"]
        if name == "slice":
            stage = min(_CELL, before + _ROUNDS / self._slices)
        self._done[cell] = max(before, stage)

    def _estimate(self) -> dict[str, Any]:
        share = sum(self._done.values()) / (_CELL * max(1, self._cells))
        elapsed = time.monotonic() - self._began
        left = ""
        if share > 0.05:
            minutes, seconds = divmod(round(elapsed * (1 - share) / share), 60)
            left = f"about {minutes}:{seconds:02} left"
        return {"completed": share, "left": left}


def _now(name: str, cell: str | None, event: dict[str, Any]) -> str | None:
    """Say in a few words what runs at this moment."""
    if name == "framework-building":
        return f"environment: {escape(event['framework'])}"
    short = escape(_short(cell)) if cell else ""
    if name == "progress" and "step" in event:
        return f"{short} trains, step {event['step']}/{event['steps']}"
    stages = {
        "cell-started": "starts",
        "built": "takes its first step",
        "first-step": "is checked for parity",
        "progress": "predicts the test set",
        "relaunched": "starts again",
        "launched": f"starts again, launch {event.get('launch')}",
        "warmed": f"warm, launch {event.get('launch')}",
        "slice": f"timed, launch {event.get('launch')}, round {event.get('round')}",
    }
    return f"{short} {stages[name]}" if name in stages else None


def _short(cell: str) -> str:
    workload, framework, mode, device, _ = cell.split("/")
    return f"{workload}: {framework} {mode}" + ("" if device == "cpu" else f" {device}")


def _line(name: str, cell: str | None, event: dict[str, Any]) -> str | None:
    """Return the line that stays on the screen, or None: most events leave none."""
    if name == "framework-unavailable":
        return f"[yellow]![/] {escape(event['title'])} unavailable: {escape(event['reason'])}"
    if name == "framework-ready" and event["seconds"] > 2:
        return (
            f"  {escape(event['title'])}: environment {event['origin']} in {event['seconds']:.0f} s"
        )
    if name == "waiting":
        return (
            f"[yellow]![/] {claims.in_words(event['processors'], event['cards'])}: waiting for it"
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
    if name == "cell-failed":
        return (
            f"[red]x[/] {escape(_short(cell or ''))} {event['status']}: {escape(event['reason'])}"
        )
    if name == "parity" and event["when"] == BEFORE:
        return f"  {escape(_short(cell or ''))}: {escape(_parity(event))}"
    if name == "trained":
        loss = event["final_loss"]
        words = "not a number" if loss is None else f"{loss:.4f}"
        steps = f"{event['steps']} steps in {event['seconds']:.1f} s"
        return f"  {escape(_short(cell or ''))}: {steps}, loss {words}"
    if name == "standing":
        first, second = (" ".join(event[key].split("/")[1:3]) for key in ("a", "b"))
        ratio = interval(event["ratio"], event["low"], event["high"])
        return (
            f"  {escape(event['workload'])}: after {event['launches']} launches {escape(first)} leads"
            f" {escape(second)} by {ratio}; {event['open']} of {event['pairs']} pairs open"
        )
    if name == "dataset":
        about = f"{event['name']} ({event['source']}), {event['train']} to train, {event['test']} to test"
        return f"  {escape(event['workload'])}: {escape(about)}"
    return None


def _parity(event: dict[str, Any]) -> str:
    """Say what a cell's parity check found: what is nearest its bound, what is undecided, or the hint."""
    if event["verdict"] == EQUIVALENT:
        share, tensor = event["worst_share"], event["worst_tensor"]
        return f"{EQUIVALENT} (nearest its bound: {tensor}, {share:.2f} of it)"
    if event["verdict"] == UNDECIDED:
        return undecided_reason([event])
    return event["sentence"] + (f" ({event['hint']})" if event["hint"] else "")
