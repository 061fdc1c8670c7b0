"""Rounded products round as hardware does; noise is of the size that the derivation says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from frameworks.reference.arithmetic import EXACT, FLOAT32, ROUNDED, Noisy, noisy


def noise(seed: int = 0) -> Noisy:
    return Noisy(np.random.default_rng(seed))


def test_operands_and_results_are_rounded_as_coarser_arithmetic_does() -> None:
    x = np.array([1 + 2.0**-11, 1 + 2.0**-10, -(1 + 2.0**-9 - 2.0**-12), 3e-40, 0.0])
    assert EXACT.operand(x) is x
    nearest, truncated = (arithmetic.operand(x) for arithmetic in ROUNDED["tf32"])
    assert nearest.tolist() == [1, 1 + 2.0**-10, -(1 + 2.0**-9), nearest[3], 0]
    assert truncated.tolist() == [1, 1 + 2.0**-10, -(1 + 2.0**-10), truncated[3], 0]
    assert np.abs(nearest - x)[:3].max() <= 2.0**-11
    operand = ROUNDED["bfloat16"][0].operand(np.array([1 + 2.0**-7, 1 + 2.0**-8 + 2.0**-20]))
    assert operand.tolist() == [1 + 2.0**-7, 1 + 2.0**-7]


def test_exact_arithmetic_changes_nothing() -> None:
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert EXACT.sum(x, 0).tolist() == [4.0, 6.0]
    for result in (EXACT.each(x), EXACT.store(x), EXACT.product(x, 2, lambda: x)):
        assert result is x


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1e-30, 1.0, 1e30]))
def test_an_element_is_off_by_two_roundings_at_most(seed: int, scale: float) -> None:
    x = scale * np.random.default_rng(seed).standard_normal((4, 5))
    stored = np.abs(noise(seed).store(x) - x)
    assert stored.max() > 0
    assert np.all(stored <= FLOAT32 * np.abs(x) * (1 + 1e-6))
    for size in (np.abs(x), np.full_like(x, 10 * scale)):
        error = np.abs(noise(seed).each(x, size) - x)
        assert error.max() > 0
        assert np.all(error <= 2 * FLOAT32 * size * (1 + 1e-6))


def test_errors_of_a_run_lean_one_way_and_those_of_another_run_another() -> None:
    x = 1 + np.random.default_rng(0).random(1000)
    leanings = [np.mean(noise(seed).each(x) / x - 1) / FLOAT32 for seed in range(20)]
    assert min(leanings) < -0.5
    assert max(leanings) > 0.5
    stored = [np.mean(noise(seed).store(x) / x - 1) / FLOAT32 for seed in range(20)]
    assert np.abs(stored).max() < 0.1


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), terms=st.integers(2, 400))
def test_a_sum_is_off_by_the_sizes_of_its_terms_and_of_itself(seed: int, terms: int) -> None:
    x = np.random.default_rng(seed).standard_normal((terms, 3))
    result, right = noise(seed).sum(x, 0), x.sum(axis=0)
    size = terms * (
        np.linalg.norm(x, axis=0) + np.abs(right)
    )  # some pairs are of a term with itself
    assert np.all(np.abs(result - right) <= 2 * FLOAT32 * size * (1 + 1e-6))
    assert np.any(result != right)


def test_the_error_of_a_sum_of_equal_terms_grows_as_they_do() -> None:
    def largest(x: NDArray) -> float:
        return max(abs(noise(seed).sum(x, 0)[0] / x.sum() - 1) for seed in range(30)) / FLOAT32

    random = np.random.default_rng(0)
    for terms in (1000, 4000):
        different = largest(1 + random.random((terms, 1)))
        equal = largest(np.full((terms, 1), 1 / 3))
        assert 0.5 * np.sqrt(terms) < different < 4 * np.sqrt(terms)
        assert 0.5 * terms < equal < 4 * terms


def test_a_sum_that_cancels_is_off_by_the_size_of_its_terms() -> None:
    x = np.random.default_rng(0).standard_normal((100, 1))
    x[50:] = -x[:50]
    assert abs(x.sum()) < 1e-13
    errors = [abs(noise(seed).sum(x, 0)[0]) for seed in range(20)]
    assert 1e-8 < max(errors) < 4 * FLOAT32 * 10 * np.linalg.norm(x)


@pytest.mark.parametrize("values", [[100.0] * 32, [10000 + k / 16 for k in range(32)], [0.0] * 5])
def test_what_adds_up_exactly_in_float32_has_no_noise(values: list[float]) -> None:
    x = np.array(values)[:, None]
    assert noise().sum(x, 0)[0] == x.sum()
    assert noise().sum(x, 0, keepdims=True).shape == (1, 1)


def test_what_does_not_add_up_exactly_has_noise() -> None:
    x = np.array([10000 + k / 4096 for k in range(4096)])[:, None]
    assert noise().sum(x, 0)[0] != x.sum()


def test_equal_values_are_rounded_alike_and_others_are_not() -> None:
    x = np.array([0.3, 0.7, 0.3, 0.1, 0.7])
    for error in (noise().each(x) - x, noise().store(x) - x):
        assert error[0] == error[2] != error[3]
        assert error[1] == error[4]


@given(seed=st.integers(0, 2**32 - 1), places=st.integers(0, 8))
@settings(max_examples=20, deadline=None)
def test_errors_are_uniform_also_for_values_of_few_digits(seed: int, places: int) -> None:
    x = 1 + np.unique(np.round(np.random.default_rng(seed).random(4000), places + 3))
    errors = (noise(seed).store(x) / x - 1) / FLOAT32
    counts, _ = np.histogram(errors, bins=8, range=(-1, 1))
    assert counts.min() > 0.5 * len(x) / 8
    assert counts.max() < 1.6 * len(x) / 8


def test_zeros_stay_zeros() -> None:
    x = np.zeros((3, 4))
    for result in (noise().each(x), noise().store(x), noise().sum(x, 0)):
        assert not result.any()
    assert not noise().product(x, 4, lambda: np.zeros((3, 4))).any()


def largest_error(result: NDArray, x: NDArray) -> float:
    return float(np.abs(result / x - 1).max())


def test_beside_coarse_products_norms_loss_and_update_are_float32() -> None:
    x, unit = 1 + np.random.default_rng(0).random(1000), 2.0**-8
    coarse = noisy("bfloat16", np.random.default_rng(0))
    for result in (coarse.each(x), coarse.function(x), coarse.result(x), coarse.operand(x)):
        assert 0.3 * unit < largest_error(result, x) <= 2 * unit
    whole = coarse.float32
    for result in (whole.each(x), whole.function(x), whole.result(x), whole.operand(x)):
        assert largest_error(result, x) <= 8 * FLOAT32
    nearest, _ = ROUNDED["bfloat16"]
    assert (nearest.float32, nearest.result(np.array([1 + 2.0**-9]))) == (EXACT, 1)


def test_coarse_errors_of_an_operation_lean_and_those_of_the_next_another_way() -> None:
    x = np.concatenate([1 + np.random.default_rng(0).random(1000)] * 2)
    x[1000:] *= -1
    coarse = noisy("bfloat16", np.random.default_rng(0))
    leanings = [np.mean(coarse.each(x, np.full(2000, 1.5)) / x - 1) * 2**8 for _ in range(20)]
    assert min(leanings) < -0.4
    assert max(leanings) > 0.4
