"""Whether a unit of a matrix had its node for itself: what was measured on a shared one ranks nothing.

A unit asks for a whole node. Three witnesses: the engine, which knows the node's other jobs; the
interference monitor, which saw the slices; and the reference kernel, which was timed in every round. Any
other run may share its machine, and its reports say how far that contaminated it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.machine.interference import CLOCK, Noise

MOST = 0.5
"""Of the slices, or of the rounds, above which a disturbance is no accident."""

OTHERS = (Noise.LOAD, Noise.BESIDE, Noise.STOLEN, Noise.GPU)
"""What of the monitor's causes is somebody else at work on the machine."""


def why_not(jobs: Sequence[str], noise: Sequence[str], rates: Sequence[float]) -> Iterator[str]:
    """Yield why a unit was not alone on its node, in words; nothing where it was.

    `jobs` are the others on the node; `noise` is what contaminated each slice, "" where nothing did;
    `rates` are the reference kernel's, round by round.
    """
    if jobs:
        yield f"other jobs on its node ({', '.join(jobs)})"
    disturbed = _share(any(cause in text for cause in OTHERS) for text in noise)
    if disturbed > MOST:
        yield f"others at work in {disturbed:.0%} of its slices"
    slow = _share(rate < CLOCK * max(rates) for rate in rates)
    if slow > MOST:
        yield f"the reference kernel slower than {CLOCK:.0%} of its best in {slow:.0%} of the rounds"


def _share(hits: Iterator[bool]) -> float:
    flags = [*hits]
    return sum(flags) / max(1, len(flags))
