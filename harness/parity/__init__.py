"""The parity check: a cell computes the reference's step and predictions, or it is not ranked."""

from harness.parity.check import Check, Verdict, judge
from harness.parity.reference import ReferenceDiverged, ReferenceRun, run_reference

__all__ = [
    "Check",
    "ReferenceDiverged",
    "ReferenceRun",
    "Verdict",
    "judge",
    "run_reference",
]
