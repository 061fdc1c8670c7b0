"""The reference's layers on sequences: gradients against finite differences, values by definition."""

from __future__ import annotations

import numpy as np
import pytest

from frameworks.reference.layers import FUNCTIONS
from tests.frameworks.test_reference import check
from workloads import layers as spec


@pytest.mark.parametrize("layer", [spec.LastStep(), spec.MeanSteps()])
@pytest.mark.parametrize("shape", [(1, 3), (4, 1), (4, 3)])
def test_what_makes_a_vector_of_a_sequence(layer: spec.Layer, shape: tuple[int, int]) -> None:
    check(layer, shape, 2, seed=1)


@pytest.mark.parametrize("shape", [(1, 4, 3), (2, 3, 4), (3, 1, 2)])
def test_the_rows_of_an_image(shape: tuple[int, int, int]) -> None:
    check(spec.Rows(), shape, 2, seed=1)


def test_a_row_has_all_channels_one_after_the_other() -> None:
    x = np.arange(24.0).reshape(1, 2, 3, 4)
    y = FUNCTIONS[spec.Rows](spec.Rows(), {}).forward(x)
    assert y[0, 1].tolist() == [*x[0, 0, 1], *x[0, 1, 1]]


def test_dense_and_layer_norm_see_each_step_by_itself() -> None:
    random, shape = np.random.default_rng(1), (3, 5)
    x = random.standard_normal((2, *shape))
    for layer in (spec.Dense(4), spec.LayerNorm(0.5)):
        parameters = {k: random.standard_normal(s) for k, s in layer.parameters(shape).items()}
        whole = FUNCTIONS[type(layer)](layer, parameters).forward(x)
        steps = [FUNCTIONS[type(layer)](layer, parameters).forward(x[:, i]) for i in range(3)]
        np.testing.assert_allclose(whole, np.stack(steps, axis=1), rtol=1e-14)


def test_the_last_step_and_the_mean_by_hand() -> None:
    x = np.array([[[1.0, 2.0], [3.0, 5.0], [5.0, 5.0]]])
    assert FUNCTIONS[spec.LastStep](spec.LastStep(), {}).forward(x).tolist() == [[5.0, 5.0]]
    assert FUNCTIONS[spec.MeanSteps](spec.MeanSteps(), {}).forward(x).tolist() == [[3.0, 4.0]]
