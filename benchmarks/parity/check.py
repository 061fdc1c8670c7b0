"""The parity check as these benchmarks call it: all that they know of `harness.parity` stands here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.parity.cases import Given
from harness import parity
from harness.parity import Standard

STEPS = parity.DEFAULT_STEPS

EQUIVALENT, UNDECIDED, NOT_EQUIVALENT = "equivalent", "undecided", "not equivalent"


class Refused(ValueError):
    """The reference gives no answers to hold a cell against, and why."""


@dataclass(frozen=True)
class Outcome:
    """What the check says of one cell: `share` is the largest part of a bound, `where` its tensor."""

    value: str
    share: float
    where: str
    sentence: str


def run_reference(given: Given) -> Standard:
    """Run the reference over a case. Raises Refused where its numbers are not finite."""
    with np.errstate(all="ignore"):
        run = parity.rehearse(given.case.workload, dict(given.start), given.batches)
    for name, answer in run.right.items():
        if not np.isfinite(answer).all():
            raise Refused(f"the reference diverges: {name} is not finite")
    return run


def judge(answers: Mapping[str, NDArray], reference: Standard) -> Outcome:
    """Hold a cell's float32 answers against the reference's."""
    with np.errstate(all="ignore"):
        verdict = parity.judge(answers, reference, "float32")
    worst = verdict.worst
    value = EQUIVALENT if verdict.ok else NOT_EQUIVALENT
    return Outcome(value, worst.share, f"{worst.tensor} {worst.when}", verdict.sentence())
