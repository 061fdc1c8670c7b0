"""Train and test parts of examples that come in one piece."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from workloads.datasets.contract import Array


def stratified(labels: Array, share: float, seed: int) -> tuple[Array, Array]:
    """(train, test) indices: `share` of them for the test, evenly from every class, both shuffled.

    The examples are shuffled and sorted by class; number p, from 0, is the test's where
    ``ceil((p + 1) share) > ceil(p share)``: with 0.2 the first of every five.

    The shuffle sorts PCG64's raw output, a stream that numpy promises never to change (NEP 19);
    it makes no such promise for Generator.permutation.
    """
    shuffled = np.argsort(np.random.PCG64(seed).random_raw(len(labels)), kind="stable")
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    part = Fraction(share).limit_denominator(10**6)  # 0.2 is one in five, and not a float near it
    before = -(-np.arange(len(labels) + 1) * part.numerator // part.denominator)
    tested = np.zeros(len(labels), dtype=bool)
    tested[by_class[np.diff(before) > 0]] = True
    return shuffled[~tested[shuffled]], shuffled[tested[shuffled]]
