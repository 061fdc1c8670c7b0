"""Start weights and batch order are decided by the seed, and distributed as said."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads import init, spec
from workloads.initialisers import Init, Initialiser
from workloads.layers import Dense, Layer, Shape
from workloads.spec import Workload

FIRST_RELEASE = [0.1257302165031433, -0.13210485875606537]
FIRST_ORDER = [708, 84, 587, 1070]

WIDE = spec.load("mlp-cifar")


def drawn(kind: str, **more: float) -> np.ndarray:
    workload = dataclasses.replace(WIDE, init=Init(kind, **more))
    return init.start_weights(workload)["dense1.weight"]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    one, again = init.start_weights(WIDE), init.start_weights(WIDE)
    assert {k: w.tobytes() for k, w in one.items()} == {k: w.tobytes() for k, w in again.items()}
    other = init.start_weights(WIDE.with_data(seed=1))
    assert not np.array_equal(one["dense1.weight"], other["dense1.weight"])


def test_the_bytes_are_those_of_the_first_release() -> None:
    # Whoever changes these changes every stored comparison: then say so in the CHANGELOG.
    weights = init.start_weights(spec.load("mlp-2-3-2"))
    assert weights["dense1.weight"].dtype == np.float32
    assert weights["dense1.weight"][0].tolist() == pytest.approx(FIRST_RELEASE, rel=1e-7)
    assert init.batch_order(spec.load("mlp-digits"), 1437, 1)[0, :4].tolist() == FIRST_ORDER


FAN_IN, FAN_OUT = 3072, 1024


@pytest.mark.parametrize(
    ("kind", "variance"),
    [
        ("uniform-fan-in", 1 / (3 * FAN_IN)),
        ("xavier-uniform", 2 / (FAN_IN + FAN_OUT)),
        ("xavier-normal", 2 / (FAN_IN + FAN_OUT)),
        ("he-uniform", 2 / FAN_IN),
        ("he-normal", 2 / FAN_IN),
    ],
)
def test_the_variance_is_the_formulas(kind: str, variance: float) -> None:
    # Of 3 million draws the sample variance is within 1% by far more than six sigma.
    assert drawn(kind).var() == pytest.approx(variance, rel=0.01)


def test_gaussian_takes_its_std() -> None:
    assert drawn("gaussian", std=0.3).std() == pytest.approx(0.3, rel=0.01)


def test_a_convolutions_fan_in_counts_its_kernel() -> None:
    cnn: Workload = spec.load("cifar-cnn")
    weights = init.start_weights(cnn)
    bound = 1 / math.sqrt(3 * 25)
    assert 0.95 * bound < abs(weights["conv1.weight"]).max() <= bound
    assert 0 < abs(weights["conv1.bias"]).max() <= bound


@pytest.mark.parametrize(
    ("kind", "variance"),
    [("he-truncated", 2 / FAN_IN), ("xavier-truncated", 2 / (FAN_IN + FAN_OUT))],
)
def test_a_truncated_normal_has_the_variance_and_nothing_beyond(kind: str, variance: float) -> None:
    weights = drawn(kind)
    assert weights.var() == pytest.approx(variance, rel=0.01)
    std = math.sqrt(variance) / 0.87962566103423978
    assert 1.99 * std < abs(weights).max() <= 2 * std * (1 + 1e-6)
    # Of a normal cut at two sigma, 71.5% are within one.
    assert np.mean(abs(weights) < std) == pytest.approx(0.68269 / 0.95450, rel=0.01)


def test_truncated_cuts_at_two_of_its_std() -> None:
    weights = drawn("truncated", std=0.02)
    assert 0.0398 < abs(weights).max() <= 0.04 * (1 + 1e-6)
    assert weights.std() == pytest.approx(0.02 * 0.87962566103423978, rel=0.01)


@pytest.mark.parametrize("units", [7, 64, 100])
def test_an_orthogonal_matrix_has_orthonormal_rows_or_columns(units: int) -> None:
    net = spec.load("mlp-digits")
    layers = (net.layers[0], Dense(units), *net.layers[2:])
    initial = Init("orthogonal", gain=1.5)
    weight = init.start_weights(dataclasses.replace(net, layers=layers, init=initial))[
        "dense1.weight"
    ].astype(float)
    assert weight.shape == (units, 64)
    square = weight @ weight.T if units <= 64 else weight.T @ weight
    np.testing.assert_allclose(square, 1.5**2 * np.eye(min(units, 64)), atol=1e-6)


def test_a_parameter_takes_the_nearest_initialiser() -> None:
    one = Initialiser("constant", value=1.0)
    layers = {
        "dense1": Initialiser("constant", value=2.0),
        "dense2.bias": Initialiser("constant", value=3.0),
    }
    workload = dataclasses.replace(WIDE, init=Init("he-normal", bias=one, layers=layers))
    weights = init.start_weights(workload)
    assert set(weights["dense1.weight"].ravel()) == {2}
    assert set(weights["dense1.bias"]) == {1}  # a bias's own kind goes before its layer's
    assert set(weights["dense2.bias"]) == {3}
    assert len(set(weights["dense2.weight"].ravel())) > 1


def test_a_norm_begins_with_what_its_name_says_and_no_bias_of_all() -> None:
    net = spec.load("cifar-resnet20")
    zero = Initialiser("constant", value=0.0)
    name = next(n for n in net.parameters if "norm" in n and n.endswith("weight"))
    initial = Init("he-normal", bias=Initialiser("constant", value=1.0), layers={name: zero})
    weights = init.start_weights(dataclasses.replace(net, init=initial))
    assert not weights[name].any()
    assert not weights[name.replace("weight", "bias")].any()


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"kind": "he-truncatd"}, 'did you mean "he-truncated"'),
        ({"kind": "orthogonal", "gain": 0}, "gain = 0.0: has to be more than 0"),
        (
            {"bias": {"kind": "orthogonal"}},
            "orthogonal: dense1.bias has shape (3,), needs two axes",
        ),
        ({"layers": {"dense3": {"kind": "he-normal"}}}, '(did you mean "dense2"?)'),
        ({"layers": {"dense1.wait": {"kind": "he-normal"}}}, '(did you mean "dense1.weight"?)'),
        ({"layers": {"sigmoid1": {"kind": "he-normal"}}}, '"sigmoid1" is no layer with weights'),
    ],
)
def test_an_init_that_does_not_fit_is_refused(table: dict, says: str) -> None:
    net = spec.load("mlp-2-3-2").to_dict()
    with pytest.raises(spec.SpecError, match=r"^here: \[init\]") as error:
        spec.from_dict({**net, "init": {**net["init"], **table}}, "here")
    assert says in str(error.value)


@pytest.mark.parametrize("kind", ["gaussian", "xavier-normal", "he-uniform"])
def test_biases_start_at_zero_where_the_formula_has_none(kind: str) -> None:
    workload = dataclasses.replace(WIDE, init=Init(kind))
    assert not init.start_weights(workload)["dense1.bias"].any()


class Scale(Layer):
    kind = group = "scale"
    initial_values: ClassVar[dict[str, float]] = {"weight": 2.5}

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": shape}

    def state(self, shape: Shape) -> dict[str, Shape]:
        return {"seen": (1,)}


def test_a_layer_says_what_is_not_drawn() -> None:
    net = spec.load("mlp-2-3-2")
    weights = init.start_weights(dataclasses.replace(net, layers=(Dense(3), Scale(), Dense(2))))
    assert weights["scale1.weight"].tolist() == [2.5] * 3
    assert weights["scale1.seen"].tolist() == [0]
    assert weights["dense1.weight"].tolist() == init.start_weights(net)["dense1.weight"].tolist()


def test_a_layer_that_is_drawn_and_has_no_fans_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scale, "initial_values", {})
    net = dataclasses.replace(spec.load("mlp-2-3-2"), layers=(Scale(), Dense(2)))
    with pytest.raises(NotImplementedError, match=r"^scale: .* no fans"):
        init.start_weights(net)


@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 40), st.integers(0, 5))
def test_an_epoch_sees_no_example_twice(examples: int, batch: int, steps: int, seed: int) -> None:
    workload = WIDE.with_data(batch=batch, seed=seed)
    if batch > examples:
        with pytest.raises(ValueError, match="smaller batch"):
            init.batch_order(workload, examples, steps)
        return
    order = init.batch_order(workload, examples, steps)
    assert order.shape == (steps, batch)
    assert order.dtype == np.int64
    per_epoch = examples // batch
    for start in range(0, steps, per_epoch):
        seen = order[start : start + per_epoch].ravel()
        assert len(set(seen.tolist())) == len(seen)
        assert 0 <= seen.min() <= seen.max() < examples


def test_a_longer_run_begins_as_a_shorter_one() -> None:
    workload = spec.load("mlp-digits")
    short, long = (init.batch_order(workload, 1437, steps) for steps in (10, 200))
    assert np.array_equal(short, long[:10])
