"""A bisection's log: JSON lines, each written when a measurement is done, so that it can be resumed.

The first line is the question and the releases that there were; a question has a log of its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.bisect.question import Question
from harness.results.serialise import digest
from harness.results.store import StoreError

FOLDER = "bisects"
"""Where logs are stored, in the folder of results."""


class Log:
    """One question's log. Raises StoreError where it cannot be read or written."""

    def __init__(self, results: Path, question: Question, spec: Mapping[str, Any]) -> None:
        """`spec` is the workload's: another one under the same name is another question."""
        self._asked = {**asdict(question), "spec": dict(spec)}
        words = (
            question.framework,
            question.good,
            question.bad,
            question.metric,
            question.workload,
            question.mode,
            digest(self._asked, 8),
        )
        name = re.sub(r"[^\w.-]", "_", "-".join(words))
        self.path = results / FOLDER / f"{name}.jsonl"

    def read(self) -> list[dict[str, Any]]:
        """Return the events so far; a last line that was cut off is none."""
        try:
            lines = self.path.read_text(encoding="utf-8").split("\n")[:-1]
            return [json.loads(line) for line in lines]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, RecursionError) as error:
            problem = f"{self.path} cannot be read ({error})"
            raise StoreError(f"{problem}; remove it to begin anew") from error

    def begin(self, releases: list[str]) -> dict[str, Any]:
        """Write the first line, and return it."""
        header = {"event": "asked", **self._asked, "releases": releases}
        self.append(header)
        return header

    def append(self, event: Mapping[str, Any]) -> None:
        """Write one event, whole, with the time."""
        line = json.dumps({**event, "time": datetime.now(UTC).isoformat(timespec="seconds")})
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._cut()
            with self.path.open("ab") as file:
                file.write(line.encode() + b"\n")
        except OSError as error:
            problem = f"{self.path} cannot be written ({error.strerror})"
            raise StoreError(f"{problem}; name another folder with --out") from error

    def _cut(self) -> None:
        """Remove what a killed process left of a last line."""
        if self.path.exists():
            written = self.path.read_bytes()
            complete = written.rfind(b"\n") + 1
            if complete < len(written):
                self.path.write_bytes(written[:complete])
