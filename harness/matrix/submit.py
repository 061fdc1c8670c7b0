"""Handing units over, the first time and again: those that nobody works on and that have no result."""

from __future__ import annotations

import fcntl
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from harness.matrix import folders, merge, status
from harness.matrix.engines import EngineError
from harness.matrix.folders import RETRY, UnitFolder
from harness.matrix.plan import Plan
from harness.matrix.status import ENGINES


class Submission(NamedTuple):
    """How many units were handed over, how many of them again, and how many are left in each state."""

    units: int
    again: int
    left: Mapping[str, int]


def submit(plan: Plan, engine: str) -> Submission:
    """Hand over what is not done; `again` are units that are done on a slow node.

    Two submissions of one matrix wait for each other, so that no unit is handed over twice.

    Raises:
        EngineError: an engine does not answer, so that nobody knows what runs; nothing was handed over.
    """
    with _alone(plan):
        state = status.look(plan, engine)  # its queue may know more than was written down
        if state.silent_engines:
            raise EngineError(f"{state.silent_engines[0]}; nothing was submitted")
        numbers = [unit.number for unit in state.units if unit.to_submit]
        if numbers:
            ENGINES[engine].submit(plan, numbers, None)
        slow = _slow(plan, state) if engine != "local" else {}
        for node, of_node in slow.items():
            _send_elsewhere(plan, engine, of_node, node)
        again = [number for of_node in slow.values() for number in of_node]
        handed = {*numbers, *again}
        left = Counter(unit.state for unit in state.units if unit.number not in handed)
        return Submission(len(numbers) + len(again), len(again), left)


def cancel(plan: Plan) -> int:
    """End all that engines have of a matrix; return how many jobs. Raises EngineError."""
    with _alone(plan):
        return sum(engine.cancel(plan) for engine in ENGINES.values() if engine.has(plan))


def _send_elsewhere(plan: Plan, engine: str, numbers: Sequence[int], node: str) -> None:
    """Hand over units that are done, to run once more and not on `node`. Raises EngineError."""
    marks = [UnitFolder(plan.folder, number).folder / RETRY for number in numbers]
    for mark in marks:  # before a job can start: it would find the unit done
        folders.publish(mark, {"avoid": node})
    try:
        ENGINES[engine].submit(plan, numbers, node)
    except EngineError:
        for mark in marks:
            mark.unlink()
        raise


def _slow(plan: Plan, state: status.MatrixState) -> Mapping[str, list[int]]:
    """Units that are done on a node slower than its kind and were not sent elsewhere yet, by node."""
    blocks = merge.blocks(plan, state)
    slow_nodes = merge.slow_nodes(blocks)
    units: dict[str, list[int]] = {}
    for block in blocks:
        if block.node in slow_nodes and not UnitFolder(plan.folder, block.number).retried:
            units.setdefault(block.node, []).append(block.number)
    return units


@contextmanager
def _alone(plan: Plan) -> Iterator[None]:
    """Hold the matrix's lock; where the disk has no locks, go without."""
    with (plan.folder / "submit.lock").open("ab") as lock:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
