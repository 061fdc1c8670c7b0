"""What a search found, in a sentence, and its exit status."""

from __future__ import annotations

from harness.bisect.question import CHANGED, Question, in_words
from harness.bisect.search import Search
from harness.outcomes import INCONCLUSIVE
from harness.text import count, duration, listed

FOUND, A_RANGE, NO_CHANGE = 0, 1, 3
"""Exit statuses: one release; only a range of releases; no change that is certain."""


def conclusion(question: Question, search: Search) -> tuple[str, int]:
    """Return the last words on a search that is done, and the exit status."""
    assert search.overall is not None and search.step is not None  # noqa: S101 (it is done)
    first, last = search.releases[0], search.releases[-1]
    spent = f"{count(search.runs, 'run')}, {duration(search.seconds)}"
    overall = f"from {first} to {last} {in_words(question, search.overall)}"
    if search.overall_moved != CHANGED:
        advice = "; a larger --budget may decide" if search.overall_moved == INCONCLUSIVE else ""
        return f"no significant change: {overall}; {spent}{advice}", NO_CHANGE
    good, bad = search.ends
    also = "" if (good, bad) == (first, last) else f"; {overall}"
    if not search.step.sign:
        return (
            f"{overall}, but no single release is significantly different: {good} and {bad} are"
            f" the nearest ({in_words(question, search.step)}); {spent}"
        ), A_RANGE
    step = in_words(question, search.step)
    if search.between:
        return (
            f"{step} in one of {listed([*search.between, bad])}; {good} is the last good one{also};"
            f" {spent}"
            + "".join(f"\n  {release}: {search.left_out[release]}" for release in search.between)
        ), A_RANGE
    return f"{step} in {bad}; {good} is the last good one{also}; {spent}", FOUND
