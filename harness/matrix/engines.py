"""What hands units to machines: the programs of Slurm, or this machine. Each engine is a module."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from harness.matrix import folders
from harness.matrix.plan import Plan
from harness.matrix.reading import MatrixError
from harness.matrix.stored import SubmissionTable

S = TypeVar("S", bound=SubmissionTable)

WAITING, RUNNING, LOST, OVER, UNKNOWN = "waiting", "running", "lost", "over", "unknown"
"""What an engine says of a unit's job. Over: it ended by itself, so the unit's files say how. Unknown:
the engine has forgotten it, or never heard of it."""

VANISHED = "vanished"
"""Why a unit is lost that no engine knows of and that gives no sign of life."""


class EngineError(MatrixError):
    """An engine's program is missing, fails, or does not answer."""


@dataclass(frozen=True)
class Job:
    """What an engine says of the newest job of a unit. `name` is its own name for the job."""

    state: str
    why: str = ""
    node: str = ""
    name: str = ""


class Engine(Protocol):
    """What a module of an engine offers; each raises EngineError where the engine does not answer."""

    NAME: str

    def submit(self, plan: Plan, numbers: Sequence[int], avoid: str | None) -> None:
        """Hand units over, on other nodes than `avoid`, and return at once."""

    def jobs(self, plan: Plan) -> Mapping[int, Job]:
        """What it says of the units that it knows of, by number."""

    def has(self, plan: Plan) -> bool:
        """Whether any unit was handed to it."""

    def cancel(self, plan: Plan) -> int:
        """End all jobs of a matrix; return how many there were."""


def record(plan: Plan, engine: str, numbers: Iterable[int], **about: Any) -> None:
    """Write down which units were handed to an engine, and `about` it. Raises StoreError."""
    folder = plan.folder / "submissions"
    folder.mkdir(exist_ok=True)
    name = f"{len([*folder.iterdir()]):05d}-{secrets.token_hex(2)}.json"
    moment = folders.disk_now(folder)
    table = {"engine": engine, "units": ranges(numbers), "submitted": moment, **about}
    folders.publish(folder / name, table)


def submissions(plan: Plan, engine: str, kind: type[S]) -> list[S]:
    """What was handed to an engine, oldest first; `kind` is what it wrote down."""
    paths = sorted((plan.folder / "submissions").glob("[!.]*.json"))
    tables = (folders.read(path, kind) for path in paths)
    return [table for table in tables if table and table["engine"] == engine]


def ranges(numbers: Iterable[int]) -> str:
    """Numbers as ``0-3,7``."""
    words: list[list[int]] = []
    for number in sorted(numbers):
        if words and words[-1][1] == number - 1:
            words[-1][1] = number
        else:
            words.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in words)


def numbers_of(text: str) -> set[int]:
    """The numbers of ``0-3,7``; of a range with a step or a limit, as Slurm prints them, too."""
    numbers: set[int] = set()
    for first, last, step in re.findall(r"(\d+)(?:-(\d+))?(?::(\d+))?", text.partition("%")[0]):
        numbers.update(range(int(first), int(last or first) + 1, int(step or 1)))
    return numbers
