"""What wrong losses look like where the training behind them is right."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from harness.diagnosis.relations import EXACT, difference, factor, stored_as

GROUPS = (2, 4, 8, 10, 16, 20, 32, 50, 64, 100, 128)
"""Over how many steps a loss may be averaged."""


def of_values(timed: NDArray, expected: NDArray) -> Iterator[str]:
    """Yield what fits reported losses (steps,) that are not right, by their values alone."""
    count = len(expected)
    running = np.cumsum(expected) / np.arange(1, count + 1)
    if not np.ptp(timed) and np.ptp(expected):
        mean = abs(timed[0] - np.mean(expected)) < EXACT * abs(np.mean(expected))
        which = "their mean" if mean else "one step's"
        yield f"all losses are the same: {which} stands for all"
    if count < 3:
        return
    for words, suspect in {
        "each loss is that of the step before": np.append(timed[:1], expected[:-1]),
        "each loss is that of the step behind": np.append(expected[1:], timed[-1:]),
        "each loss is the mean of all steps until then": running,
        "each loss is the sum of all steps until then": np.cumsum(expected),
        "losses come in the reverse order": expected[::-1],
        "losses come in another order": expected[np.argsort(expected)][
            np.argsort(np.argsort(timed))
        ],
    }.items():
        if _fits(timed, suspect, expected):
            yield words
    yield from _smoothed(timed, expected)
    yield from _of_groups(timed, expected)
    last = count - int(np.argmax(np.append(timed[::-1] != timed[-1], True)))
    if 0 < last < count - 2 and np.ptp(expected[last - 1 :]):
        yield f"losses stay the same from batch {last + 1} on: what comes then is not trained"
    scale = factor(timed, expected)
    if scale is not None and abs(scale - 1) > EXACT:
        yield f"losses are {scale:.6g} times what is right: a sum for a mean, or a scaled loss"
    if (name := stored_as(timed)) and not stored_as(expected):
        yield f"losses are rounded to {name}"


def _fits(timed: NDArray, suspect: NDArray, expected: NDArray) -> bool:
    residual, off = difference(timed, suspect), difference(timed, expected)
    return residual < EXACT / 10 and residual < off / 10


def _smoothed(timed: NDArray, expected: NDArray) -> Iterator[str]:
    """An exponential average of the losses, by the share that fits best."""
    wide, before = expected.astype(np.float64), timed[:-1].astype(np.float64)
    towards, moved = wide[1:] - before, timed[1:] - before
    share = float(np.vdot(towards, moved) / max(np.vdot(towards, towards), np.finfo(float).tiny))
    if 0 < share < 1 and _fits(timed[1:], before + share * towards, expected[1:]):
        yield f"losses are smoothed: each is {share:.3g} of its step's and the rest the one before"


def _of_groups(timed: NDArray, expected: NDArray) -> Iterator[str]:
    """Means over the last steps, or over groups of them."""
    for group in GROUPS:
        if group >= len(expected):
            return
        end = len(expected) // group * group
        means = np.repeat(expected[:end].reshape(-1, group).mean(axis=1), group)
        if _fits(timed[:end], means, expected[:end]):
            yield f"losses are means of groups of {group} steps"
        for which, at in {"first": 0, "last": group - 1}.items():
            if _fits(timed[:end], np.repeat(expected[at:end:group], group), expected[:end]):
                yield f"the loss of the {which} of {group} steps stands for all of them"
        recent = np.convolve(expected, np.ones(group) / group, "valid")
        if _fits(timed[group - 1 :], recent, expected[group - 1 :]):
            yield f"each loss is the mean of the last {group} steps"
