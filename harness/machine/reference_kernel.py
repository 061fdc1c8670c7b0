"""A fixed piece of work of our own, timed in every round: how fast the machine is at that moment.

It is in the same rounds as the cells, belongs to no framework, and must never change: stored runs are
compared by it. One thread, no library but NumPy's element-wise loops and a copy.
"""

from __future__ import annotations

import time

import numpy as np

REPEATS = 5

_SMALL = np.linspace(-3, 3, 4096, dtype=np.float32)
_LARGE = np.ones(2**19, dtype=np.float32)


def rate() -> float:
    """Return how often a second the work was done: the best of REPEATS, each of some milliseconds.

    The best, so that a moment's disturbance does not count: of the machine, not of its load.
    """
    return 1 / min(_seconds() for _ in range(REPEATS))


def _seconds() -> float:
    small, large = _SMALL.copy(), _LARGE.copy()
    begin = time.perf_counter()
    for _ in range(60):
        np.multiply(small, small, out=small)
        np.add(small, 1.0, out=small)
        np.sqrt(small, out=small)
    for _ in range(4):
        np.copyto(large, _LARGE)
        np.add(large, 1.0, out=large)
    return time.perf_counter() - begin
