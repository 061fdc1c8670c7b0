"""The state of a search: what its log holds, and what is to be measured next. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.bisect.question import BAD, CHANGED, GOOD, Difference
from harness.outcomes import INCONCLUSIVE

Event = Mapping[str, Any]

SKIPPED = "skipped"
"""The verdict on a release that cannot run."""

_FORMER = {"open": INCONCLUSIVE}
"""Verdicts by the words that earlier logs have for them."""


@dataclass
class Search:
    """The releases, oldest first, between the last that is known to be good and the first bad one."""

    releases: Sequence[str]
    good: int = 0
    bad: int = field(init=False)
    left_out: dict[str, str] = field(default_factory=dict)
    """Releases in between that could not be judged, and why."""
    open_at: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Of those that ran, the ends that they were last held against."""
    overall: Difference | None = None
    """How the first and the last release differ, and `moved`'s word on it."""
    overall_moved: str = ""
    step: Difference | None = None
    """How the first bad release differs from the last good one, when both last ran together."""
    ended: bool = False
    runs: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.bad = len(self.releases) - 1

    @classmethod
    def replay(cls, releases: Sequence[str], events: Iterable[Event]) -> Search:
        """Return the search that has come as far as a log."""
        search = cls(releases)
        for event in events:
            search.take(event)
        return search

    def take(self, event: Event) -> None:
        """Go on by one event of a log."""
        self.runs += len(event["runs"])
        self.seconds += event["seconds"]
        release, verdict = event["release"], str(event["verdict"])
        verdict = _FORMER.get(verdict, verdict)
        step = None if event["step"] is None else Difference.of(event["step"])
        if release is None:  # the ends of what is left, side by side
            self.ended = self.overall is not None or verdict != CHANGED
            self.overall, self.overall_moved = self.overall or step, self.overall_moved or verdict
        elif verdict == GOOD:
            self.good = self.releases.index(release)
        elif verdict == BAD:
            self.bad = self.releases.index(release)
        else:
            self.left_out[release] = event["reason"]
            if verdict == INCONCLUSIVE:
                self.open_at[release] = self.ends
        self.step = step or self.step

    @property
    def ends(self) -> tuple[str, str]:
        """The last good release and the first bad one, as far as is known."""
        return self.releases[self.good], self.releases[self.bad]

    @property
    def between(self) -> list[str]:
        """The releases between them, oldest first."""
        return list(self.releases[self.good + 1 : self.bad])

    @property
    def candidates(self) -> list[str]:
        """Those of them that may still be informative: at last, what was open between other ends."""
        fresh = [release for release in self.between if release not in self.left_out]
        return fresh or [
            release for release in self.between if self.open_at.get(release, self.ends) != self.ends
        ]

    @property
    def done(self) -> bool:
        """Whether there is nothing left to measure."""
        certain = self.step is not None and self.step.sign != 0
        return self.ended or (self.overall is not None and not self.candidates and certain)

    @property
    def next(self) -> str | None:
        """The release to be held against both ends; None: the ends themselves, side by side."""
        if self.overall is None:
            return None
        middle = (self.good + self.bad) / 2
        places = {
            release: abs(self.releases.index(release) - middle) for release in self.candidates
        }
        return min(places, key=places.__getitem__, default=None)
