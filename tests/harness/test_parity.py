"""The proof passes what is right to rounding, fails what is wrong, and says what it looks like."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameworks.contract import Answers, Options, Weights, answers
from frameworks.reference.adapter import Reference
from frameworks.reference.rounding import EXACT, ROUNDINGS
from harness.bounds import UNIT_ROUNDOFF, Bounds
from harness.hints import hint
from harness.parity import Standard, judge, rehearse, rehearse_once
from tests.frameworks.mutants import COMMON, Mutant
from workloads import init, layers, spec
from workloads.batches import Batch
from workloads.spec import Workload

STEPS = 6


@cache
def standard(name: str = "cnn-digits", seed: int = 7) -> Standard:
    workload, random = spec.load(name).with_data(batch=8), np.random.default_rng(seed)
    shape = (8, *workload.input_shape)
    batches = [
        Batch(
            random.standard_normal(shape, dtype=np.float32), random.integers(0, workload.classes, 8)
        )
        for _ in range(STEPS)
    ]
    return rehearse(workload, init.start_weights(workload), batches)


class Single(Reference):
    """The reference in float32: as right as a framework can be."""

    def __init__(self, workload: Workload, weights: Weights, options: Options) -> None:
        super().__init__(workload, weights, options, np.float32)


def answered(kind: type[Mutant], name: str = "cnn-digits") -> Answers:
    one = standard(name)
    mutant = kind(Single, one.workload, one.start, Options("numpy"))
    return answers(mutant, one.start, one.batches)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["cnn-digits", "mlp-digits", "mlp-2-3-2"])
def test_the_reference_in_float32_takes_the_same_step(name: str) -> None:
    verdict = judge(answered(Mutant, name), standard(name), "float32")
    assert verdict.ok, verdict.sentence()
    assert verdict.sentence() == "same maths"


@pytest.mark.parametrize("fault", COMMON)
def test_planted_faults_are_refuted(fault: str) -> None:
    verdict = judge(answered(COMMON[fault]), standard(), "float32")
    assert not verdict.ok
    assert verdict.sentence().startswith("not the same maths: ")
    assert "(bound " in verdict.sentence()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("the learning rate is off by 1%", "1.01 times"),
        ("momentum with dampening: v = m v + (1 - m) g", "dampening"),
        ("weight decay of 5e-4 sneaked in", "weight decay of 0.0005"),
        ("the loss is summed and not averaged", "summed over the batch"),
        ("the loss is scaled by 1.001", "a scaled loss"),
        ("biases are dropped", "biases are left out"),
        ("kernels are transposed", "kernels are transposed"),
        ("flatten takes NHWC order", "flatten takes (height, width, channels)"),
        ("max pooling is replaced by averages", "replaced by averages"),
        ("momentum is left out", "another momentum"),
    ],
)
def test_a_known_pattern_gets_its_hint(fault: str, says: str) -> None:
    found = answered(COMMON[fault])
    words = hint(found, standard(), judge(found, standard(), "float32"))
    assert words is not None
    assert says in words


def test_what_is_right_gets_no_hint() -> None:
    found = answered(Mutant)
    assert hint(found, standard(), judge(found, standard(), "float32")) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "key", ["logits", "loss", "gradient/conv1.weight", "last/dense1.bias", "losses"]
)
def test_what_is_not_finite_never_passes(bad: float, key: str) -> None:
    found = answered(Mutant)
    array = np.array(found[key], np.float64)
    array.ravel()[-1] = bad
    verdict = judge({**found, key: array}, standard(), "float32")
    assert not verdict.ok
    words = hint({**found, key: array}, standard(), verdict)
    assert words is not None
    assert "not finite" in words


@pytest.mark.parametrize("key", ["logits", "gradient/conv1.weight", "first/dense1.bias", "losses"])
def test_what_is_missing_or_of_another_shape_never_passes(key: str) -> None:
    found = answered(Mutant)
    missing = {name: one for name, one in found.items() if name != key}
    assert not judge(missing, standard(), "float32").ok
    assert not judge({**found, key: found[key][..., :-1]}, standard(), "float32").ok
    assert not judge({}, standard(), "float32").ok


def test_the_verdict_names_the_tensor_the_size_the_bound_and_the_moment() -> None:
    found = answered(Mutant)
    wrong = {**found, "gradient/conv2.weight": found["gradient/conv2.weight"] * 1.031}
    sentence = judge(wrong, standard(), "float32").sentence()
    assert sentence.startswith("not the same maths: gradient of conv2.weight differs by 3.1e-02")
    assert sentence.endswith("at step 1")


def test_an_early_difference_is_named_before_a_larger_later_one() -> None:
    found = answered(Mutant)
    wrong = {
        **found,
        "logits": found["logits"] * 1.001,
        "last/conv1.bias": 9 + found["last/conv1.bias"],
    }
    assert judge(wrong, standard(), "float32").worst.tensor == "logits"


def test_a_single_wrong_element_is_seen() -> None:
    found = answered(Mutant)
    gradient = found["gradient/dense1.weight"].copy()
    gradient[0, 0] += 0.1 * abs(gradient).max()
    assert not judge({**found, "gradient/dense1.weight": gradient}, standard(), "float32").ok


def test_the_first_step_alone_can_be_judged_again() -> None:
    one = standard()
    first = one.first_step()
    found = answered(Mutant)
    verdict = judge({k: v for k, v in found.items() if k != "losses"} | {"losses": found["losses"][:1]},
                    first, "float32")  # fmt: skip
    assert verdict.ok
    assert not any("step 6" in check.when for check in verdict.checks)


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(["gradient/conv1.weight", "logits", "first/dense2.weight"]), st.floats(0, 1))
def test_a_larger_error_never_passes_where_a_smaller_fails(key: str, share: float) -> None:
    found, one = answered(Mutant), standard()
    noise = np.random.default_rng(0).standard_normal(found[key].shape)
    noise *= np.linalg.norm(found[key]) / np.linalg.norm(noise)
    sizes = (1e-2 * share, 1e-2)
    passes = [judge({**found, key: found[key] + size * noise}, one, "float32").ok for size in sizes]
    assert passes[0] >= passes[1]


def test_coarser_precisions_have_wider_bounds_but_not_for_longer_sums() -> None:
    workload = spec.load("cifar-cnn")
    bounds = {name: Bounds(workload, name).of("logits", "", 1) for name in UNIT_ROUNDOFF}
    assert bounds["float64"] < bounds["float32"] < bounds["tf32"] < bounds["bfloat16"]
    # Operands are rounded once, and added up in float32.
    wide = Bounds(spec.load("mlp-cifar"), "tf32").of("logits", "", 1)
    narrow = Bounds(spec.load("mlp-digits"), "tf32").of("logits", "", 1)
    assert wide == pytest.approx(narrow, rel=0.02)


def test_products_are_rehearsed_as_coarser_arithmetic_rounds_them() -> None:
    x = np.array([1 + 2.0**-11, 1 + 2.0**-10, -(1 + 2.0**-9 - 2.0**-12), 3e-40, 0.0])
    assert EXACT.operand(x) is x
    nearest, truncated = (one.operand(x) for one in ROUNDINGS["tf32"])
    assert nearest.tolist() == [1, 1 + 2.0**-10, -(1 + 2.0**-9), nearest[3], 0]
    assert truncated.tolist() == [1, 1 + 2.0**-10, -(1 + 2.0**-10), truncated[3], 0]
    assert np.abs(nearest - x)[:3].max() <= UNIT_ROUNDOFF["tf32"]
    operand = ROUNDINGS["bfloat16"][0].operand(np.array([1 + 2.0**-7, 1 + 2.0**-8 + 2.0**-20]))
    assert operand.tolist() == [1 + 2.0**-7, 1 + 2.0**-7]


@pytest.mark.parametrize("precision", ROUNDINGS)
def test_a_coarse_computation_passes_its_own_bounds_and_no_finer_ones(precision: str) -> None:
    one = standard()
    one = rehearse(one.workload, one.start, one.batches, [precision])
    found = rehearse_once(one, rounding=ROUNDINGS[precision][0], dtype=np.float64)
    assert judge(found, one, precision).ok
    assert not judge(found, one, "float32").ok
    # What is wrong by half is no rounding.
    found["gradient/dense2.weight"] = 1.5 * found["gradient/dense2.weight"]
    assert not judge(found, one, precision).ok
    with pytest.raises(ValueError, match="was not rehearsed"):
        judge(found, standard(), precision)


def test_longer_sums_and_more_steps_have_wider_bounds() -> None:
    small, large = (
        Bounds(spec.load("mlp-digits"), "float32"),
        Bounds(spec.load("mlp-cifar"), "float32"),
    )
    assert small.of("logits", "", 1) < large.of("logits", "", 1)
    assert small.of("last", "dense1.weight", 4) == 2 * small.of("last", "dense1.weight", 1)


NORMED = {
    "name": "normed",
    "title": "A net with batch norm and decay",
    "loss": "cross-entropy",
    "layers": [
        {"kind": "conv2d", "filters": 4, "kernel": 3, "bias": False},
        {"kind": "batchnorm"},
        {"kind": "tanh"},
        {"kind": "flatten"},
        {"kind": "dense", "units": 10},
    ],
    "data": {"dataset": "digits", "batch": 8, "epochs": 1},
    "init": {"kind": "he-normal"},
    "optimiser": {"kind": "sgd", "lr": 0.1, "momentum": 0.9},
}


class OldShare(Mutant):
    def spec(self, workload: Workload) -> Workload:
        turned = [
            layers.BatchNorm(x.epsilon, 1 - x.momentum) if isinstance(x, layers.BatchNorm) else x
            for x in workload.layers
        ]
        return dataclasses.replace(workload, layers=tuple(turned))


class Biased(Mutant):
    def returned(self, weights: Weights) -> Weights:
        count = 8 * 6 * 6
        moved = {
            name: 0.9 + (w - 0.9) * (count - 1) / count if name.endswith(".variance") else w
            for name, w in weights.items()
        }
        return moved if self.stepped else weights

    stepped = False

    def train(self, batches: Sequence[Batch]) -> np.ndarray:
        self.stepped = True
        return super().train(batches)


@pytest.mark.parametrize(
    ("mutant", "says"),
    [
        (OldShare, "batch norm's momentum is taken for the share of the old value"),
        (Biased, "running variance takes the biased variance"),
    ],
)
def test_batch_norms_conventions_get_their_hint(mutant: type[Mutant], says: str) -> None:
    workload, random = spec.from_dict(NORMED, "test"), np.random.default_rng(1)
    batches = [
        Batch(random.standard_normal((8, 1, 8, 8), np.float32), random.integers(0, 10, 8))
        for _ in range(STEPS)
    ]
    one = rehearse(workload, init.start_weights(workload), batches)
    honest = answers(Mutant(Single, workload, one.start, Options("numpy")), one.start, batches)  # type: ignore[arg-type]
    assert judge(honest, one, "float32").ok
    found = answers(mutant(Single, workload, one.start, Options("numpy")), one.start, batches)  # type: ignore[arg-type]
    verdict = judge(found, one, "float32")
    assert not verdict.ok
    assert says in (hint(found, one, verdict) or "")
