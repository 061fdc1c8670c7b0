"""Slurm by its own programs: sbatch, squeue, scontrol, scancel. No accounting database is needed.

A unit is a task of an array job. The job's name has the matrix and the number of its first unit, so that
the queue itself says which units are in it, whatever was written down.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

from harness.machine import node
from harness.matrix import engines, folders
from harness.matrix.engines import LOST, OVER, RUNNING, UNKNOWN, WAITING, EngineError, Job
from harness.matrix.pack import PACK
from harness.matrix.plan import Plan, words
from harness.matrix.stored import SlurmSubmission
from harness.paths import project_root
from harness.results import serialise

NAME = "slurm"

_SECONDS = 60
_LINES = 3  # of an error: the first may name the option, the last the reason
_WAITING = {
    "PENDING",
    "CONFIGURING",
    "REQUEUED",
    "REQUEUE_FED",
    "REQUEUE_HOLD",
    "RESV_DEL_HOLD",
    "SPECIAL_EXIT",
}
_RUNNING = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "STAGE_OUT", "SIGNALING", "RESIZING"}
_OVER = {"COMPLETED", "FAILED"}


def submit(plan: Plan, numbers: Sequence[int], avoid: str | None) -> None:
    """Hand units over, whole nodes each, and return at once. Raises EngineError."""
    size = _array_size()
    (plan.folder / "logs").mkdir(exist_ok=True)
    for first in sorted({number - number % size for number in numbers}):
        tasks = [number - first for number in numbers if first <= number < first + size]
        options = {
            **plan.slurm,
            "parsable": True,
            "job-name": f"{_prefix(plan)}{first}",
            "array": engines.ranges(tasks),
            "nodes": 1,
            "exclusive": True,
            "mem": 0,
            "requeue": True,
            "acctg-freq": 0,
            "signal": "B:TERM@60",
            "open-mode": "append",
            "output": str(plan.folder / "logs" / "%A_%a.log"),
            **({"exclude": avoid} if avoid else {}),
        }
        printed = _call("sbatch", *words(options), text=_script(plan, first)).strip()
        job = printed.partition(";")[0]
        if not job.isdigit():
            raise EngineError(f"sbatch: no number of a job, but {printed[:80]!r}")
        units = [first + task for task in tasks]
        engines.record(plan, NAME, units, job=job, first=first)


def jobs(plan: Plan) -> Mapping[int, Job]:
    """What `squeue` says of each unit; of those that it does not know, what `scontrol` says.

    Neither knows of a task that was cancelled before it started, nor of any after MinJobAge.
    """
    queued = {number: job for number, job in _queue(plan) if number < len(plan.units)}
    ended: dict[int, Job] = {}
    moment = folders.disk_now(plan.folder)
    for submission in engines.submissions(plan, NAME, SlurmSubmission):
        numbers = engines.numbers_of(submission["units"]) - queued.keys()
        fresh = moment - submission["submitted"] < folders.GRACE_SECONDS
        ended.update(dict.fromkeys(numbers, Job(WAITING if fresh else UNKNOWN)))
        if numbers:
            ended.update(_past(submission["job"], submission["first"]))
    return {**ended, **queued}


def has(plan: Plan) -> bool:
    """Whether any unit was handed to Slurm."""
    return bool(engines.submissions(plan, NAME, SlurmSubmission))


def cancel(plan: Plan) -> int:
    """End all jobs of a matrix; return how many units were in the queue. Raises EngineError."""
    queued = dict(_queue(plan))
    arrays = sorted({job.name.partition("_")[0] for job in queued.values()})
    if arrays:
        _call("scancel", *arrays)
    return len(queued)


def _queue(plan: Plan) -> Iterator[tuple[int, Job]]:
    """Every unit in the queue, by number."""
    text = _call(
        "squeue", "--noheader", "--array", f"--user={os.getuid()}", "--format=%i|%j|%T|%N|%r"
    )
    for line in text.splitlines():
        task, name, state, nodes, reason = [*line.strip().split("|"), *[""] * 5][:5]
        first = re.fullmatch(f"{re.escape(_prefix(plan))}(\\d+)", name)
        array, _, index = task.partition("_")
        if first and index:
            place = WAITING if state in _WAITING else RUNNING if state in _RUNNING else None
            for number in engines.numbers_of(index.strip("[]")):
                why = "" if reason == "None" else reason
                if place:
                    yield int(first[1]) + number, Job(place, why, nodes, f"{array}_{number}")


def _past(array: str, first: int) -> Mapping[int, Job]:
    """What `scontrol` still knows of the tasks of an array, by unit."""
    tasks = {}
    text = _call("scontrol", "show", "job", array, "--oneliner", missing="Invalid job id")
    for line in text.splitlines():
        fields = dict(re.findall(r"(\w+)=(\S*)", line))
        state = fields.get("JobState", "")
        for number in engines.numbers_of(fields.get("ArrayTaskId", "")):
            name, nodes = f"{array}_{number}", fields.get("NodeList", "").replace("(null)", "")
            status, _, signal = fields.get("ExitCode", "?").partition(":")
            if state in _OVER and signal not in ("", "0"):
                tasks[first + number] = Job(LOST, f"ended by signal {signal}", nodes, name)
            elif state in _OVER:
                tasks[first + number] = Job(OVER, f"exit status {status}", nodes, name)
            elif state not in _WAITING | _RUNNING:
                tasks[first + number] = Job(LOST, state, nodes, name)
    return tasks


def _script(plan: Plan, first: int) -> str:
    """What a job runs. `exec`, so that the signal before the end reaches the unit."""
    command = [sys.executable, str(project_root() / "cli.py"), "matrix", "unit"]
    options = [f"--matrix={plan.folder}"]
    if (plan.folder / PACK).exists():
        options.append(f"--pack={plan.folder / PACK}")
    number = f"$(({first} + SLURM_ARRAY_TASK_ID))"
    return f"#!/bin/sh\nexec {shlex.join(command)} {number} {shlex.join(options)}\n"


def _prefix(plan: Plan) -> str:
    """How the names of a matrix's jobs begin: the same plan in another folder is another matrix."""
    return f"samestep-{plan.name}-{serialise.digest(str(plan.folder.resolve()), 6)}-"


def _array_size() -> int:
    """How many tasks an array may have here."""
    text = _call("scontrol", "show", "config")
    size = re.search(r"^MaxArraySize\s*=\s*(\d+)", text, re.MULTILINE)
    if size is None or int(size[1]) < 1:
        raise EngineError("scontrol show config: no MaxArraySize: this Slurm allows no arrays")
    return int(size[1])


def _call(program: str, *arguments: str, text: str = "", missing: str | None = None) -> str:
    """What a program prints; "" where its error has the words `missing`. Raises EngineError."""
    try:
        completed = subprocess.run(
            [program, *arguments],
            input=text,
            env=node.for_slurm(),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise EngineError(f"{program}: no such program; is this a machine of a Slurm?") from error
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{program}: no answer for {_SECONDS} s; try again later") from error
    if completed.returncode == 0:
        return completed.stdout
    if missing and missing in completed.stderr:
        return ""
    lines = [line.strip() for line in completed.stderr.splitlines() if line.strip()]
    reason = "; ".join(lines[:_LINES]) or "no reason told"
    raise EngineError(f"{program}: exit status {completed.returncode}: {reason}")
