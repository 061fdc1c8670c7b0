"""The parity check as these benchmarks call it: all that they know of `harness.parity` stands here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from numpy.typing import NDArray

from benchmarks.parity.cases import Given
from harness import (
    defaults,
    parity,
)
from harness.parity import ReferenceDiverged, ReferenceRun
from harness.verdicts import EQUIVALENT, NOT_EQUIVALENT, UNDECIDED

__all__ = [
    "EQUIVALENT",
    "NOT_EQUIVALENT",
    "STEPS",
    "UNDECIDED",
    "Outcome",
    "ReferenceDiverged",
    "ReferenceRun",
    "judge",
    "run_reference",
]

STEPS = defaults.PARITY_STEPS


@dataclass(frozen=True)
class Outcome:
    """What the check says of one cell: `share` is the largest part of a bound, `where` its tensor."""

    value: str
    share: float
    where: str
    sentence: str


def run_reference(given: Given) -> ReferenceRun:
    """Run the reference over a case. Raises ReferenceDiverged."""
    return parity.run_reference(given.case.workload, dict(given.start), given.batches)


def judge(answers: Mapping[str, NDArray], reference: ReferenceRun) -> Outcome:
    """Hold a cell's float32 answers against the reference's."""
    verdict = parity.judge(answers, reference, "float32")
    worst = verdict.worst
    return Outcome(verdict.value, worst.share, f"{worst.tensor} {worst.when}", verdict.sentence())
