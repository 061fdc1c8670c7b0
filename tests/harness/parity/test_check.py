"""The parity check passes what is right to rounding, fails what is wrong, and says what it looks like."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameworks.answers import first_step
from frameworks.reference.arithmetic import ROUNDED
from harness.parity import judge, run_reference
from harness.verdicts import EQUIVALENT, NOT_EQUIVALENT, UNDECIDED
from tests.frameworks.mutants import COMMON
from tests.harness.parity.cases import NORMED, Single, answered, catalogue, net, run_of

CNN = catalogue("cnn-digits")


@pytest.mark.parametrize("name", ["cnn-digits", "mlp-digits", "mlp-2-3-2"])
def test_the_reference_in_float32_is_equivalent(name: str) -> None:
    run = run_of(catalogue(name))
    verdict = judge(answered(run), run, "float32")
    assert verdict.value == verdict.sentence() == EQUIVALENT
    assert verdict.decided_steps == run.steps
    assert 0 < verdict.worst.share < 0.6


@pytest.mark.parametrize("fault", COMMON)
def test_a_planted_fault_is_not_equivalent(fault: str) -> None:
    run = run_of(CNN)
    kind = COMMON[fault]
    answers = answered(run, lambda *rest: kind(Single, *rest))
    verdict = judge(answers, run, "float32")
    assert verdict.value == NOT_EQUIVALENT
    assert verdict.sentence().startswith("not equivalent: ")
    assert "(bound " in verdict.sentence()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "key",
    [
        "logits",
        "loss",
        "gradient/conv1.weight",
        "weights/6/dense1.bias",
        "losses",
        "predicted/0/one",
        "predicted/6/list",
    ],
)
def test_what_is_not_finite_is_never_equivalent(bad: float, key: str) -> None:
    run = run_of(CNN)
    answers = answered(run)
    array = np.array(answers[key], np.float64)
    array.ravel()[-1] = bad
    verdict = judge({**answers, key: array}, run, "float32")
    assert verdict.value == NOT_EQUIVALENT
    assert "is not finite, or missing" in verdict.sentence()


@pytest.mark.parametrize(
    "key",
    ["logits", "gradient/conv1.weight", "weights/1/dense1.bias", "losses", "predicted/2/batch"],
)
def test_what_is_missing_or_of_another_shape_is_never_equivalent(key: str) -> None:
    run = run_of(CNN)
    answers = answered(run)
    missing = {name: array for name, array in answers.items() if name != key}
    cut = {**answers, key: answers[key][..., :-1]}
    for wrong in (missing, cut, {}):
        assert judge(wrong, run, "float32").value == NOT_EQUIVALENT


def test_the_sentence_names_the_tensor_the_size_the_bound_and_the_moment() -> None:
    run = run_of(CNN)
    answers = answered(run)
    wrong = {**answers, "gradient/conv2.weight": answers["gradient/conv2.weight"] * 1.031}
    sentence = judge(wrong, run, "float32").sentence()
    assert sentence.startswith("not equivalent: gradient of conv2.weight differs by 3.1e-02 (bound")
    assert sentence.endswith("at step 1")


def test_an_early_difference_is_named_before_a_larger_later_one() -> None:
    run = run_of(CNN)
    answers = answered(run)
    wrong = {
        **answers,
        "logits": answers["logits"] * 1.001,
        "weights/6/conv1.bias": 9 + answers["weights/6/conv1.bias"],
    }
    assert judge(wrong, run, "float32").worst.tensor == "logits"


def test_a_single_wrong_element_is_seen() -> None:
    run = run_of(CNN)
    answers = answered(run)
    gradient = answers["gradient/dense1.weight"].copy()
    gradient[0, 0] += 0.1 * abs(gradient).max()
    wrong = {**answers, "gradient/dense1.weight": gradient}
    assert judge(wrong, run, "float32").value == NOT_EQUIVALENT


@pytest.mark.parametrize("probe", ["one", "batch", "list"])
@pytest.mark.parametrize("steps", [0, 6])
def test_predictions_are_checked_in_every_way_and_after_training(probe: str, steps: int) -> None:
    run = run_of(CNN)
    answers, key = answered(run), f"predicted/{steps}/{probe}"
    wrong = {**answers, key: np.round(answers[key], 1)}
    verdict = judge(wrong, run, "float32")
    assert verdict.value == NOT_EQUIVALENT
    assert verdict.worst.tensor.startswith("prediction of")


def test_the_first_step_alone_can_be_checked_again() -> None:
    run = run_of(CNN)
    verdict = judge(answered(run.first_step()), run.first_step(), "float32")
    assert verdict.value == EQUIVALENT
    assert {check.steps for check in verdict.checks} == {0, 1}


@settings(deadline=None, max_examples=20)
@given(
    st.sampled_from(["gradient/conv1.weight", "logits", "weights/1/dense2.weight"]),
    st.floats(0, 1),
)
def test_a_larger_error_never_passes_where_a_smaller_fails(key: str, share: float) -> None:
    run = run_of(CNN)
    answers = answered(run)
    noise = np.random.default_rng(0).standard_normal(answers[key].shape)
    noise *= np.linalg.norm(answers[key]) / np.linalg.norm(noise)
    smaller, larger = (
        judge({**answers, key: answers[key] + size * noise}, run, "float32").value == EQUIVALENT
        for size in (1e-2 * share, 1e-2)
    )
    assert smaller >= larger


def test_a_gradient_that_is_exactly_zero_is_compared_on_the_scale_of_its_terms() -> None:
    run = run_of(NORMED)
    assert run.vanishing == {"conv1.bias"}
    answers, key = answered(run), "gradient/conv1.bias"
    assert judge(answers, run, "float32").value == EQUIVALENT
    terms = np.linalg.norm(run.answers["gradient/conv1.weight"])
    for size, value in ((1e-7, EQUIVALENT), (1e-3, NOT_EQUIVALENT)):
        gradient = np.full_like(answers[key], size * terms)
        verdict = judge({**answers, key: gradient}, run, "float32")
        assert verdict.value == value
    assert "where zero is right" in verdict.sentence()


@pytest.mark.parametrize("optimiser", [{"kind": "sgd", "lr": 1e-8}, {"kind": "sgd", "lr": 1e-30}])
def test_an_optimiser_that_does_next_to_nothing_is_undecided(optimiser: dict) -> None:
    run = run_of(net({"kind": "flatten"}, optimiser=optimiser))
    verdict = judge(answered(run), run, "float32")
    assert verdict.value == UNDECIDED
    assert "update of dense1.weight after step 1" in verdict.undecided
    assert verdict.sentence().startswith(
        "undecided: rounding alone may be half of update of dense1"
    )


def test_a_longer_check_says_up_to_which_step_it_decides() -> None:
    """At a rate at which errors grow from step to step, later steps show nothing."""
    wild = net(
        {"kind": "flatten"},
        {"kind": "dense", "units": 16},
        {"kind": "tanh"},
        {"kind": "dense", "units": 16},
        {"kind": "tanh"},
        optimiser={"kind": "sgd", "lr": 6.0, "momentum": 0.9},
    )
    run = run_of(wild, 100)
    verdict = judge(answered(run), run, "float32")
    assert verdict.value == EQUIVALENT
    assert 2 <= verdict.decided_steps < 100
    assert verdict.sentence() == (f"equivalent, decided up to step {verdict.decided_steps} of 100")


@pytest.mark.parametrize("precision", ROUNDED)
def test_a_coarse_computation_passes_its_own_bounds_and_no_finer_ones(precision: str) -> None:
    start = run_of(CNN)
    run = run_reference(start.workload, start.start, start.batches, [precision])
    coarse = run.reference(arithmetic=ROUNDED[precision][0])
    step = dict(first_step(coarse.step(run.batches[0])))
    keys = {key: array for key, array in run.answers.items() if key in step}
    only = replace(run, answers=keys | {"losses": run.answers["losses"][:0]})
    answers = step | {"losses": np.empty(0)}
    assert judge(answers, only, precision).value != NOT_EQUIVALENT
    assert judge(answers, only, "float32").value == NOT_EQUIVALENT
    # What is wrong by half is no rounding.
    answers["gradient/dense2.weight"] = 1.5 * answers["gradient/dense2.weight"]
    assert judge(answers, only, precision).value == NOT_EQUIVALENT
    with pytest.raises(ValueError, match="has no bounds for"):
        judge(answers, start, precision)
