"""Runs that a test makes up, event by event, in a real run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from harness.results import store
from harness.results.events import Kind
from harness.verdicts import EQUIVALENT
from tests.parity_event import parity_event


class MadeUpRun:
    """A run's journal: each method writes one event, whole; `fields` add to it or replace what it has."""

    def __init__(self, results: Path, manifest: Mapping[str, Any]) -> None:
        self.run = store.Run.create(results, manifest)
        self.folder = self.run.folder

    def __call__(self, event: Kind, cell: str | None = None, **fields: Any) -> Self:
        self.run.append(event, cell, **fields)
        return self

    def dataset(self, workload: str, name: str, data: str = "ab") -> Self:
        return self("dataset", workload=workload, name=name, sha256={"inputs": data})

    def framework(self, name: str, **fields: Any) -> Self:
        about = {"framework": name, "device": "cpu", "origin": "lock", "reference": False}
        return self("framework-ready", **{**about, **fields})

    def first_step(self, cell: str, seconds: float = 0.5) -> Self:
        return self("first-step", cell, seconds=seconds, loss=2.0)

    def parity(self, cell: str, verdict: str = EQUIVALENT, **fields: Any) -> Self:
        return self("parity", cell, **parity_event(verdict, **fields))

    def trained(self, cell: str, steps: int = 20) -> Self:
        return self("trained", cell, steps=steps, seconds=1.0, final_loss=0.1)

    def memory(self, cell: str, peak: int = 1000, imported: int = 10) -> Self:
        return self("memory", cell, import_rss=imported, peak_rss=peak)

    def slice(
        self,
        cell: str,
        rate: float,
        launch: int = 1,
        number: int = 1,
        kind: str = "train",
        noise: str = "",
        twin: bool = False,
        turn: int = 0,
    ) -> Self:
        """A timed slice at `rate` samples a second, in round `number`."""
        return self(
            "twin-slice" if twin else "slice",
            cell,
            turn=turn,
            launch=launch,
            round=number,
            kind=kind,
            steps=1,
            samples=1000,
            seconds=1000 / rate,
            noise=[noise] if noise else [],
        )

    def calibrate(
        self,
        rate: float,
        launch: int = 1,
        number: int = 1,
        workload: str = "mlp-digits",
        turn: int = 0,
    ) -> Self:
        return self(
            "calibration", workload=workload, turn=turn, launch=launch, round=number, rate=rate
        )

    def fail(self, cell: str, status: str = "crashed", **fields: Any) -> Self:
        about = {"phase": "rounds", "status": status, "reason": "killed"}
        return self("cell-failed", cell, **{**about, **fields})

    def done(self, cell: str) -> Self:
        return self("cell-done", cell)

    def end(self, status: str = "ok", exit_code: int = 0) -> Self:
        """End the run, and close the journal: nothing can be written after."""
        self("run-ended", status=status, exit_code=exit_code)
        self.run.close()
        return self

    def read(self) -> store.Record:
        """Close the journal, ended or not, and read the run back."""
        self.run.close()
        return store.read(self.folder)
