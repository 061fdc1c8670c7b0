"""XOR-like points for the textbook net: four gaussian clusters at (+-1, +-1), made from the seed.

The label is the exclusive or of the signs of the cluster's centre: no straight line parts the two
classes. At a deviation of 0.2 the axes are five deviations away, so the best accuracy is 1.
"""

from __future__ import annotations

import numpy as np

from workloads.datasets.contract import Dataset, Seeded, Splits

TRAIN, TEST = 1000, 200
SIGMA = 0.2


def draw(seed: int) -> Splits:
    """1,000 train and 200 test points: inputs (N, 2) float32, labels (N,) int64.

    The clusters take turns, so each has a quarter of either split.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    cluster = np.arange(TRAIN + TEST) % 4
    bits = np.stack([cluster // 2, cluster % 2], axis=1)
    points = (2 * bits - 1 + rng.normal(0, SIGMA, bits.shape)).astype(np.float32)
    labels = (bits[:, 0] ^ bits[:, 1]).astype(np.int64)
    return Splits(points[:TRAIN], labels[:TRAIN], points[TRAIN:], labels[TRAIN:])


DATASET = Dataset(
    name="xor",
    title="XOR-like points: four gaussian clusters in the plane",
    shape=(2,),
    classes=("same sign", "different sign"),
    train=TRAIN,
    test=TEST,
    dtype="float32",
    top=1,
    licence="none needed: made from the seed",
    origin=Seeded(draw),
)
