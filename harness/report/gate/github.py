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
    told = wording.ordered(verdict)
    worse = [one for one in told if one.verdict == REGRESSED]
    errors = [] if verdict.advisory else worse
    warnings = worse if verdict.advisory else []
    open_ = [_together(told, kind) for kind in (NOT_MEASURABLE, INCONCLUSIVE)]
    return [
        *_each("error", [*errors, *(one for one in told if one.verdict == MISSING)], MOST),
        *_each("warning", warnings, MOST - len(open_)),
        *(line for line in open_ if line),
        _command("notice", "samestep", "; ".join([verdict.sentence, *wording.grounds(verdict)])),
    ]


def _each(level: str, told: Sequence[Finding], room: int) -> list[str]:
    """A command a finding, but no more than `room`: the last one then says how many there are."""
    shown = told if len(told) <= room else told[: room - 1]
    made = [_command(level, _place(one), wording.sentence(one)) for one in shown]
    if rest := len(told) - len(shown):
        made.append(_command(level, "samestep", f"{rest} more like these: see the step's summary"))
    return made


def _together(told: Sequence[Finding], kind: str) -> str:
    """One command for all findings of a kind: where they are, and what would help."""
    own = [one for one in told if one.verdict == kind]
    if not own:
        return ""
    message = "; ".join(words for _, words in wording.noted(own, tables.IDENTITY))
    return _command("warning", f"samestep: {count(len(own), 'figure')} {kind}", message)


def _place(one: Finding) -> str:
    return f"{one.cell} {one.metric.name}"


def _command(level: str, title: str, message: str) -> str:
    return f"::{level} title={_property(plain(title))}::{_data(plain(message))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
