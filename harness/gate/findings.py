"""What a check says: one finding for each cell and metric, and the verdict of them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.outcomes import INCONCLUSIVE
from harness.results.metric import Metric
from harness.results.metrics import PARITY

REGRESSED, IMPROVED, SAME = "regressed", "improved", "same"
NOT_MEASURABLE, MISSING, NOT_COMPARED = "not measurable", "missing", "not compared"

PASSED, FAILED, BROKEN, UNMEASURED = 0, 1, 2, 3
"""Exit statuses: no regression; a regression; broken, incomplete or wrong use; not measurable."""


@dataclass(frozen=True)
class Finding:
    """What became of one metric of one cell.

    `before` and `after` are in the metric's unit. `change`, `low` and `high` are a part of `before`, and
    of accuracy the plain difference (0.01 is a point); so is `threshold`, the change for the worse that
    is not tolerated. Each is None where it is unknown. `note` says why, or what would help.
    """

    cell: str
    base: str
    metric: Metric
    verdict: str
    before: float | None = None
    after: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    launches: int = 0
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """All findings of a check. `advisory`: why it may not block, or nothing.

    `unlike` says in words what of the machine is not the baseline's; `kept_variables` are those of the
    user's that the workers were given.
    """

    findings: Sequence[Finding]
    against: str
    advisory: str = ""
    unlike: Sequence[str] = ()
    kept_variables: Mapping[str, str] = field(default_factory=dict)

    def having(self, verdict: str) -> list[Finding]:
        """The findings of that verdict."""
        return [finding for finding in self.findings if finding.verdict == verdict]

    @property
    def status(self) -> int:
        """The exit status. What is advisory does not block; what is broken is broken all the same."""
        judged = [finding for finding in self.findings if finding.verdict != NOT_COMPARED]
        if self.having(REGRESSED) and not self.advisory:
            return FAILED
        if self.having(MISSING):
            return BROKEN
        decisive = {SAME, IMPROVED, INCONCLUSIVE, REGRESSED}
        measured = [finding for finding in judged if finding.metric is not PARITY]
        if self.having(NOT_MEASURABLE) or not any(
            finding.verdict in decisive for finding in measured
        ):
            return UNMEASURED
        return PASSED

    @property
    def sentence(self) -> str:
        """The verdict in one line."""
        counts = {
            verdict: len(self.having(verdict))
            for verdict in (REGRESSED, MISSING, NOT_MEASURABLE, INCONCLUSIVE, IMPROVED, SAME)
        }
        summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
        first = {
            PASSED: "No regression",
            FAILED: "Regression",
            BROKEN: "Check incomplete",
            UNMEASURED: "Not measurable here",
        }[self.status]
        if self.status == PASSED and self.having(REGRESSED):
            first = "Regression (non-blocking)"
        return f"{first} against {self.against}: {summary or 'nothing to compare'}"
