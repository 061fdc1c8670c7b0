"""This machine as an engine: one process in the background runs the units one after the other."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import psutil

from harness.machine import node
from harness.matrix import engines
from harness.matrix.engines import LOST, RUNNING, VANISHED, WAITING, Job
from harness.matrix.folders import UnitFolder
from harness.matrix.plan import Plan
from harness.matrix.stored import LocalSubmission
from harness.paths import project_root

NAME = "local"


def submit(plan: Plan, numbers: Sequence[int], avoid: str | None) -> None:
    """Begin to run units in the background. `avoid` is not heeded: there is one node."""
    command = [sys.executable, str(project_root() / "cli.py"), "matrix", "unit"]
    (plan.folder / "logs").mkdir(exist_ok=True)
    with (plan.folder / "logs" / "local.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, *map(str, numbers), f"--matrix={plan.folder}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    began = psutil.Process(process.pid).create_time()
    engines.record(plan, NAME, numbers, host=node.host(), pid=process.pid, began=began)


def jobs(plan: Plan) -> Mapping[int, Job]:
    """What of the units is in hand on this machine, or was, and its process is gone."""
    seen: dict[int, Job] = {}
    for submission, process in _here(plan):
        for number in engines.numbers_of(submission["units"]):
            if process is None:
                seen.setdefault(number, Job(LOST, VANISHED, node.name()))
            else:
                begun = any(
                    attempt.about.get("pid") == process.pid and attempt.ended is None
                    for attempt in UnitFolder(plan.folder, number).attempts()[-1:]
                )
                seen[number] = Job(RUNNING if begun else WAITING, "", node.name())
    return seen


def has(plan: Plan) -> bool:
    """Whether any unit was handed to a machine itself, this one or another."""
    return bool(engines.submissions(plan, NAME, LocalSubmission))


def cancel(plan: Plan) -> int:
    """End what runs in the background; return how many processes there were."""
    alive = [process for _, process in _here(plan) if process is not None]
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    return len(alive)


def _here(plan: Plan) -> Iterator[tuple[LocalSubmission, psutil.Process | None]]:
    """What was handed over on this machine, each with its process while that lives."""
    for submission in engines.submissions(plan, NAME, LocalSubmission):
        if submission["host"] != node.host():
            continue
        try:
            process = psutil.Process(submission["pid"])
            same = abs(process.create_time() - submission["began"]) < 1
            ended = not same or process.status() == psutil.STATUS_ZOMBIE
        except (psutil.Error, ValueError, OverflowError):  # what is no number of a process, too
            yield submission, None
        else:
            yield submission, None if ended else process
