"""One unit, run here: the contract with every engine. `run` does the work, in a process of its own.

Whatever engine starts it, it starts nothing else. A unit that is done is not run again; one that was cut
short begins anew. The run is written to the machine's own disk, and moved into the matrix whole.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from harness import disk
from harness.machine import node
from harness.matrix import block, folders, pack
from harness.matrix.folders import Attempt, UnitFolder
from harness.matrix.plan import Plan
from harness.matrix.reading import MatrixError, as_list
from harness.matrix.stored import BROKEN, CELLS_FAILED, DONE, LOST
from harness.paths import project_root
from harness.results import store, tables
from harness.signals import Terminated
from workloads.errors import UserError

END_SECONDS = 50.0
"""How long a run may take to end after a signal; engines kill what takes longer."""

_PAGE = "report.html"
"""Two megabytes a run that `report` makes again: not moved."""


class Elsewhere(MatrixError):
    """The unit runs in another place at this moment."""

    exit_status = 75  # EX_TEMPFAIL: try later


def run_unit(plan: Plan, number: int) -> str:
    """Run a unit here, unless it is done; return its state, of COMPLETE.

    A signal ends the run as it ends `run`, keeps what there is, and is raised again.

    Raises:
        Elsewhere: another attempt gives signs of life, and went on to for as long as one may be silent.
        MatrixError, StoreError: there is no such unit, its run is no result, or its folder cannot be
            written.
    """
    unit, folder = plan.unit(number), UnitFolder(plan.folder, number)
    if state := _done(folder):
        return state
    attempt = Attempt.begin(folder.folder, _about())
    _claim(folder, attempt, number)
    if state := _done(folder):  # the attempt that had the claim came to its end
        attempt.end(state=state, reason="the unit was done meanwhile")
        return state
    try:
        pack.require_environments(plan, unit)
        return _conduct(plan, number, folder, attempt)
    except UserError as error:
        _end(attempt, BROKEN, str(error))
        raise
    except OSError as error:
        place = Path(error.filename or plan.folder)
        reason = f"{place}: {disk.reason(place, error)}; mend that, and submit again"
        _end(attempt, BROKEN, reason)
        raise MatrixError(reason) from error
    except KeyboardInterrupt as error:
        terminated = isinstance(error, Terminated)
        _end(attempt, LOST, node.why_terminated() if terminated else "SIGINT")
        raise


def _end(attempt: Attempt, state: str, reason: str) -> None:
    """Write how an attempt failed; a disk that refuses that, too, hides no reason."""
    with suppress(store.StoreError):
        attempt.end(state=state, reason=reason)


def _done(folder: UnitFolder) -> str | None:
    contents = folders.result(folder.target)
    return contents["state"] if contents else None


def _about() -> dict[str, Any]:
    return {
        "node": node.name(),
        "host": node.host(),
        "job": node.job(),
        "pid": os.getpid(),
    }


def _claim(folder: UnitFolder, attempt: Attempt, number: int) -> None:
    """Claim the unit; wait as long as an attempt that has it may be silent. Raises Elsewhere."""
    deadline = time.monotonic() + folders.GRACE_SECONDS + folders.BEAT_SECONDS
    while holder := folder.claim(attempt, node.job(), node.host()):
        if _done(folder):
            return
        if time.monotonic() > deadline:
            where = holder.about.get("node")
            attempt.end(state=BROKEN, reason=f"it ran on {where} at the same time")
            raise Elsewhere(f"unit {number} runs on {where} (attempt {holder.folder.name})")
        attempt.beat()
        time.sleep(1)


def _conduct(plan: Plan, number: int, folder: UnitFolder, attempt: Attempt) -> str:
    """Run in a folder of this machine, and hand in what came of it."""
    with _scratch(plan) as scratch:
        environment = node.environment(os.environ, as_list(plan.always.get("keep-env")))
        environment[node.UNIT] = f"{plan.name}/{number}"
        arguments = plan.arguments(plan.unit(number))
        command = [sys.executable, str(project_root() / "cli.py"), "run", *arguments]
        try:
            status = _wait([*command, f"--out={scratch}"], environment, attempt)
        finally:
            runs = store.folders(scratch)
            for run in runs:
                _move(run, attempt.folder / folders.RUN)
        if not runs:
            last = " ".join(folders.tail(attempt.folder / folders.LOG, 1))
            raise MatrixError(f"`run` made nothing, exit status {status}: {last}")
        return _hand_in(folder, attempt, status)


def _hand_in(folder: UnitFolder, attempt: Attempt, status: int) -> str:
    """Take the block of a run, and let it count if it is the unit's first. Raises MatrixError."""
    record = store.read(attempt.folder / folders.RUN)
    if reason := block.incomplete(record):
        raise MatrixError(reason)
    state = CELLS_FAILED if status == 1 else DONE
    contents = {
        "state": state,
        "attempt": attempt.folder.name,
        "node": attempt.about.get("node"),
        "neighbours": tables.neighbours(record.events),
        "block": block.of(record),
    }
    first = folders.publish(folder.target, contents)
    attempt.end(state=state, reason="" if first else "another attempt was done before")
    return state


def _wait(command: list[str], environment: Mapping[str, str], attempt: Attempt) -> int:
    """Run a command to its end, with signs of life; end it where a signal comes."""
    with (attempt.folder / folders.LOG).open("ab") as log:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            while True:
                attempt.beat()
                try:
                    return process.wait(folders.BEAT_SECONDS)
                except subprocess.TimeoutExpired:
                    continue
        except BaseException:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            raise


@contextmanager
def _scratch(plan: Plan) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"samestep-{plan.name}-", dir=node.scratch()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move(run: Path, place: Path) -> None:
    """Move a run's folder to another disk; it appears there whole. Raises OSError, MatrixError."""
    if not place.parent.is_dir():  # which a copy would make anew, of a matrix that has no plan
        raise MatrixError(f"{place.parent}: {store.GONE}; what was measured is lost")
    draft = place.with_name(f".{place.name}")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(run, draft, ignore=shutil.ignore_patterns(_PAGE, "scratch"))
    draft.rename(place)
