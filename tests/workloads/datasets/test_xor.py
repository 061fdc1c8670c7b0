from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workloads.datasets.xor import SIGMA, draw


@given(seed=st.integers(0, 2**63))
def test_labels_are_the_exclusive_or_of_the_signs(seed: int) -> None:
    made = draw(seed)
    for points, labels in (made[:2], made[2:]):
        signs = points > 0
        agree = (signs[:, 0] ^ signs[:, 1]) == labels
        assert agree.mean() > 0.99  # five deviations from the axes
        assert points.dtype == np.float32 and labels.dtype == np.int64
        assert np.bincount(labels).tolist() == [len(labels) // 2] * 2
        assert np.abs(np.abs(points) - 1).max() < 8 * SIGMA


@given(seed=st.integers(0, 2**32))
def test_the_seed_decides(seed: int) -> None:
    np.testing.assert_array_equal(draw(seed).train_inputs, draw(seed).train_inputs)
    assert not np.array_equal(draw(seed).train_inputs, draw(seed + 1).train_inputs)
