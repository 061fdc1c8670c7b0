"""What a comparison of two figures comes to, and how large a difference has to be to count.

One set of words and one table of margins, for the pairs of a run, for `compare`, `history` and `bisect`.
The gate asks on one side only, whether a figure got worse, and has words of its own for that
(`harness.gate.findings`), but for what neither shows: that is inconclusive everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

FASTER, SLOWER, HIGHER, LOWER = "faster", "slower", "higher", "lower"
"""Significantly different from no change: of a speed, and of an accuracy."""

EQUIVALENT = "equivalent"
"""The whole interval lies within a margin of no change, on whichever side."""

INCONCLUSIVE = "inconclusive"
"""Neither: the data would fit a difference and none; more launches would narrow the interval."""

MIRRORED = {FASTER: SLOWER, SLOWER: FASTER}
"""The word for the same pair of speeds the other way round, where it is another one."""


@dataclass(frozen=True)
class Margin:
    """The largest difference that does not count: a part of a figure; of accuracy, points (0.01: one)."""

    relative: float
    points: float


EQUIVALENCE = Margin(0.05, 0.01)
"""Two figures of separate runs (`compare`), or two peak memories, within this are as good as the same.
Separate runs differ by some percent for no reason that either of them shows."""

REGRESSION = Margin(0.03, 0.005)
"""What `check` tolerates unless --threshold and --margin say otherwise. Its cells share rounds, or are
held against others that do, so it can ask for more than `compare`."""

CHANGE = Margin(0.01, 0.01)
"""What `history` and `bisect` call no change: smaller ones may be real, and need no action."""
