"""A check's findings as words and numbers for people: what its outputs have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from harness.gate.findings import (
    BROKEN,
    FAILED,
    IMPROVED,
    INCONCLUSIVE,
    MISSING,
    NOT_COMPARED,
    NOT_MEASURABLE,
    PASSED,
    REGRESSED,
    SAME,
    UNMEASURED,
    Finding,
    Verdict,
)
from harness.report import provenance
from harness.report.content import Tone
from harness.results import tables
from harness.results.metric import Metric
from harness.results.metrics import ACCURACY, PARITY
from harness.text import amount, count, listed, mebibytes, plain, score, seconds

ORDER = (REGRESSED, MISSING, NOT_MEASURABLE, INCONCLUSIVE, IMPROVED, SAME, NOT_COMPARED)
"""The verdicts, the most urgent first."""

_TONES: dict[str, Tone] = {
    REGRESSED: "bad",
    MISSING: "bad",
    NOT_MEASURABLE: "warn",
    INCONCLUSIVE: "off",
    IMPROVED: "good",
    SAME: "note",
    NOT_COMPARED: "off",
}
_STATUSES: dict[int, Tone] = {PASSED: "good", FAILED: "bad", BROKEN: "bad", UNMEASURED: "warn"}
_PLACES = 3  # places named one by one where several have the same note
_POINT = 0.01


def ordered(verdict: Verdict) -> list[Finding]:
    """The findings, the most urgent first, and of regressions the worst first."""
    return sorted(
        verdict.findings, key=lambda finding: (ORDER.index(finding.verdict), -_severity(finding))
    )


def _severity(finding: Finding) -> float:
    """How far beyond its threshold a regression is; infinite where that is unknown."""
    if finding.verdict != REGRESSED:
        return 0.0
    return (
        abs(finding.change) / finding.threshold
        if finding.change and finding.threshold
        else math.inf
    )


def tone(verdict: Verdict, kind: str) -> Tone:
    """The tone of a kind of finding; a regression in an advisory check is a warning."""
    return "warn" if kind == REGRESSED and verdict.advisory else _TONES[kind]


def overall(verdict: Verdict) -> Tone:
    """The tone of the whole: good only where something was decided, and nothing for the worse."""
    decided = [
        finding
        for finding in verdict.findings
        if finding.verdict in (SAME, IMPROVED) and finding.metric != PARITY
    ]
    passed = verdict.status == PASSED
    if passed and (verdict.having(REGRESSED) or not decided):
        return "warn"
    return _STATUSES[verdict.status]


def caveats(verdict: Verdict) -> list[str]:
    """Why the verdict is to be taken with care: that it is advisory, that the machine is another."""
    reasons = []
    if verdict.advisory:
        reasons.append(f"advisory, a regression does not block: {plain(verdict.advisory)}")
    if verdict.unlike:
        reasons.append(f"not the baseline's machine: {listed(map(plain, verdict.unlike))}")
    if verdict.kept_variables:
        reasons.append(provenance.handed_on(verdict.kept_variables))
    return reasons


def common(cells: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """What the cells have in common, and the parts of their ids that name each among them."""
    identities = [tables.split(cell) for cell in cells]
    outer = [part for part in tables.IDENTITY if part not in ("framework", "mode")]
    shared = [part for part in outer if len({identity[part] for identity in identities}) == 1]
    heading = ", ".join(plain(identities[0][part]) for part in shared if identities[0][part])
    return heading, tuple(part for part in tables.IDENTITY if part not in shared)


def label(cell: str, parts: Sequence[str]) -> str:
    """A cell by some parts of its id."""
    identity = tables.split(cell)
    return plain(" ".join(identity[part] for part in parts if identity[part])) or plain(cell)


def values(finding: Finding) -> str:
    """Before and after with the unit: 9,120 → 8,655 samples/s; - where one is unknown."""
    numbers = [value for value in (finding.before, finding.after) if value is not None]
    if not numbers:
        return "-"
    factor, unit, write = _scale(finding.metric, max(numbers))
    before, after = (
        "-" if value is None else write(factor * value) for value in (finding.before, finding.after)
    )
    if finding.after is None:
        return f"{before} {unit}".strip() + f" → {after}"
    return f"{before} → {after} {unit}".strip()


def figure(metric: Metric, value: float | None) -> str:
    """One value with its unit; - where it is unknown."""
    if value is None:
        return "-"
    factor, unit, write = _scale(metric, value)
    return f"{write(factor * value)} {unit}".strip()


def _scale(metric: Metric, largest: float) -> tuple[float, str, Callable[[float], str]]:
    """By what values of about that size are multiplied, their unit then, and how they are written."""
    if metric.gate_unit == "":
        return 1.0, "", score
    if metric.gate_unit == "bytes":
        return 1.0, "MiB", mebibytes
    if metric.gate_unit == "s":
        return (1e3, "ms", amount) if largest < 1 else (1.0, "s", seconds)
    return 1.0, metric.gate_unit, amount


def change(finding: Finding) -> str:
    """The change with its interval: -5.1% (-6.0 to -4.2); of accuracy in points."""
    if finding.change is None:
        return "-"
    text = f"{_signed(finding.change)}{_unit(finding)}"
    if finding.low is None or finding.high is None:
        return text
    return f"{text} ({_signed(finding.low)} to {_signed(finding.high)})"


def within(finding: Finding) -> str:
    """The tolerated change: ±3%, ±1 pt."""
    return (
        "-" if finding.threshold is None else f"±{finding.threshold / _POINT:.3g}{_unit(finding)}"
    )


def _signed(value: float) -> str:
    return f"{round(value / _POINT, 1) + 0.0:+.1f}"  # + 0.0: no minus before a zero


def _unit(finding: Finding) -> str:
    return " pt" if finding.metric == ACCURACY else "%"


def sentence(finding: Finding) -> str:
    """All that is known of a finding but its place, in one line."""
    phrases = [finding.verdict]
    if finding.change is not None:
        phrases.append(change(finding))
    if finding.threshold is not None:
        phrases.append(f"threshold {within(finding)}")
    if (figures := values(finding)) != "-":
        phrases.append(figures)
    if finding.launches:
        phrases.append(count(finding.launches, "launch", "launches"))
    if finding.note:
        phrases.append(plain(finding.note))
    return "; ".join(phrases)


def noted(findings: Iterable[Finding], parts: Sequence[str]) -> list[tuple[str, str]]:
    """The findings' notes, each with its verdict and before it all that it is true of."""
    places: dict[tuple[str, str], dict[str, list[str]]] = {}
    for finding in findings:
        metrics = places.setdefault((finding.verdict, plain(finding.note)), {})
        metrics.setdefault(label(finding.cell, parts), []).append(finding.metric.name)
    return [
        (kind, f"{named(metrics)}: {note}" if note else named(metrics))
        for (kind, note), metrics in places.items()
    ]


def named(places: Mapping[str, Sequence[str]]) -> str:
    """Some cells with their metrics; of many cells the first, and how many more there are."""
    texts = [f"{cell} {listed(metrics)}" for cell, metrics in places.items()]
    if len(texts) <= _PLACES:
        return "; ".join(texts)
    return f"{texts[0]}, and {count(len(texts) - 1, 'more cell')}"
