"""A check's verdict as workflow commands of GitHub Actions, which it shows as annotations.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions; what is escaped is what
`toolkit/packages/core/src/command.ts` escapes.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.gate.findings import INCONCLUSIVE, MISSING, NOT_MEASURABLE, REGRESSED, Finding, Verdict
from harness.report.gate import wording
from harness.results import tables
from harness.text import count, plain

MOST = 10
"""Annotations of a level that GitHub shows of one step; it drops further ones without a word."""


def commands(verdict: Verdict) -> list[str]:
    """Return the commands, a line each, the most urgent first.

    An error is a regression or what is missing; where the check is advisory a regression is a warning.
    What is not measurable or inconclusive is one warning each, and the verdict itself is a notice.
    """
    findings = wording.ordered(verdict)
    worse = [finding for finding in findings if finding.verdict == REGRESSED]
    errors = [] if verdict.advisory else worse
    warnings = worse if verdict.advisory else []
    open_ = [_together(findings, kind) for kind in (NOT_MEASURABLE, INCONCLUSIVE)]
    return [
        *_capped(
            "error",
            [*errors, *(finding for finding in findings if finding.verdict == MISSING)],
            MOST,
        ),
        *_capped("warning", warnings, MOST - len(open_)),
        *(line for line in open_ if line),
        _command("notice", "samestep", "; ".join([verdict.sentence, *wording.caveats(verdict)])),
    ]


def _capped(level: str, findings: Sequence[Finding], room: int) -> list[str]:
    """A command a finding, but no more than `room`: the last one then says how many there are."""
    shown = findings if len(findings) <= room else findings[: room - 1]
    lines = [_command(level, _place(finding), wording.sentence(finding)) for finding in shown]
    if unshown := len(findings) - len(shown):
        lines.append(
            _command(level, "samestep", f"{unshown} more like these: see the step's summary")
        )
    return lines


def _together(findings: Sequence[Finding], kind: str) -> str:
    """One command for all findings of a kind: where they are, and what would help."""
    of_kind = [finding for finding in findings if finding.verdict == kind]
    if not of_kind:
        return ""
    message = "; ".join(words for _, words in wording.noted(of_kind, tables.IDENTITY))
    return _command("warning", f"samestep: {count(len(of_kind), 'figure')} {kind}", message)


def _place(finding: Finding) -> str:
    return f"{finding.cell} {finding.metric.name}"


def _command(level: str, title: str, message: str) -> str:
    return f"::{level} title={_property(plain(title))}::{_data(plain(message))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
