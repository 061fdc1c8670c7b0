"""Stand-ins for pure speed runs: a dataset's shapes, dtypes, sizes and range, with no meaning."""

from __future__ import annotations

import numpy as np

from workloads.datasets.contract import Array, Dataset, Splits


def draw(dataset: Dataset, seed: int) -> Splits:
    """Uniform inputs (integers 0 to top, floats -top to top) and labels, all from the seed."""
    rng = np.random.Generator(np.random.PCG64(seed))

    def inputs(count: int) -> Array:
        shape = (count, *dataset.shape)
        if np.issubdtype(dataset.dtype, np.integer):
            return rng.integers(0, dataset.top, shape, dtype=dataset.dtype, endpoint=True)
        return rng.uniform(-dataset.top, dataset.top, shape).astype(dataset.dtype)

    def labels(count: int) -> Array:
        shape = (count, *dataset.label_shape)
        return rng.integers(0, len(dataset.classes), shape, dtype=np.int64)

    return Splits(
        inputs(dataset.train), labels(dataset.train), inputs(dataset.test), labels(dataset.test)
    )
