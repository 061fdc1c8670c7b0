"""The smallest error that the parity check sees."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks import tightness
from benchmarks.tightness import HALVINGS, ParityCheck, Scaled
from frameworks.contract import Options
from frameworks.reference.adapter import Reference
from workloads import init, spec
from workloads.batches import Batch

NET = spec.load("mlp-2-3-2")


class Thresholds:
    """A check that catches what is at least so large, and whose bounds are half of that."""

    def __init__(self, **smallest: float) -> None:
        self.smallest = smallest

    def catches(self, tensor: str, x: float) -> bool:
        return x >= self.smallest[tensor]

    def bound(self, tensor: str) -> float:
        return self.smallest[tensor] / 2

    def caught_by(self, tensor: str, x: float) -> str:
        return f"{tensor} at step 1"


def test_bisection_finds_the_threshold() -> None:
    check: ParityCheck = Thresholds(a=3e-5, b=0.9, never=2.0, rounding=1e-9)  # type: ignore[assignment]
    for name, smallest in (("a", 3e-5), ("b", 0.9)):
        row = tightness.tightness(check, name)
        step = (tightness.LARGEST / tightness.SMALLEST) ** (2.0**-HALVINGS)
        assert smallest <= row.smallest <= smallest * step
        assert row.in_bounds == pytest.approx(2, rel=step - 1)
        assert row.caught_by == f"{name} at step 1"
    assert tightness.tightness(check, "never").smallest == math.inf
    with pytest.raises(ValueError, match="rounding: x = 1e-07 is caught"):
        tightness.tightness(check, "rounding")


def test_the_gradient_is_scaled_where_it_is_seen_and_where_it_moves_weights() -> None:
    start = init.start_weights(NET)
    random = np.random.default_rng(0)
    inputs = random.standard_normal((NET.data.batch, *NET.input_shape), dtype=np.float32)
    batch = Batch(inputs, random.integers(0, NET.classes, NET.data.batch))
    scaled, honest = (
        kind(NET, start, Options("numpy"), dtype=np.float32) for kind in (Scaled, Reference)
    )
    scaled.tensor, scaled.factor = "dense1.weight", 1.5  # type: ignore[attr-defined]
    step, right = scaled.step(batch), honest.step(batch)
    for name, gradient in right.gradients.items():
        factor = np.float32(1.5 if name == "dense1.weight" else 1.0)
        assert np.array_equal(step.gradients[name], factor * gradient)
    assert step.loss == right.loss
    for adapter in (scaled, honest):
        adapter.train([batch])
    moved, rightly = (
        adapter.weights()["dense1.weight"] - start["dense1.weight"] for adapter in (scaled, honest)
    )
    assert np.allclose(moved, 1.5 * rightly, rtol=1e-3) and np.any(moved)


def test_the_check_is_that_of_a_run(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path_factory.mktemp("cache")))
    row = tightness.tightness(ParityCheck(NET, 2), "dense2.weight")
    assert 1e-7 < row.smallest < 1e-3
    assert row.in_bounds == pytest.approx(1, rel=0.5)
    assert "dense2.weight" in row.caught_by
