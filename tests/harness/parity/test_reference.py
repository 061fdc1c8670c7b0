"""The reference run: its answers are the reference's, its bounds hold what rounding and ties do."""

from __future__ import annotations

import numpy as np
import pytest

from frameworks.answers import answers, checkpoints
from frameworks.reference.adapter import Reference
from harness.parity import ReferenceDiverged, ReferenceRun, judge, run_reference
from harness.verdicts import EQUIVALENT, NOT_EQUIVALENT
from tests.harness.parity.cases import (
    NORMED,
    Single,
    adapter_of,
    answered,
    batches,
    catalogue,
    net,
    run_of,
    shared,
)
from workloads import init, spec
from workloads.batches import normalise


@pytest.mark.parametrize(
    ("steps", "marks"),
    [
        (1, [0, 1]),
        (2, [0, 1, 2]),
        (3, [0, 1, 2, 3]),
        (20, [0, 1, 2, 5, 10, 20]),
        (300, [0, 1, 2, 5, 10, 20, 50, 100, 200, 300]),
    ],
)
def test_checkpoints_get_further_apart(steps: int, marks: list[int]) -> None:
    assert checkpoints(steps) == marks


@pytest.mark.parametrize("workload", [NORMED, catalogue("cnn-digits")], ids=["normed", "cnn"])
def test_its_answers_are_those_of_the_reference_adapter(workload: spec.Workload) -> None:
    run = run_of(workload)
    right = answers(adapter_of(run, Reference), run.start, run.batches)
    assert right.keys() == run.answers.keys()
    for key, array in right.items():
        np.testing.assert_allclose(run.answers[key], array, rtol=1e-9, atol=1e-12, err_msg=key)
    assert run.bounds["float32"].keys() == run.answers.keys()


def test_it_is_the_same_each_time() -> None:
    first, second = (
        run_reference(NORMED, init.start_weights(NORMED), batches(NORMED)) for _ in "ab"
    )
    for key, bound in first.bounds["float32"].items():
        assert np.array_equal(bound, second.bounds["float32"][key])


def test_it_goes_on_from_the_middle_of_a_training() -> None:
    steps = batches(NORMED, 8)
    whole = run_of(NORMED).reference()
    whole.train(steps[:5])
    run = run_reference(NORMED, whole.weights(), steps[5:], memory=whole.memory(), samples=2)
    assert np.allclose(run.answers["losses"], whole.train(steps[5:]), rtol=1e-12)
    for name, weight in whole.weights().items():
        np.testing.assert_allclose(run.answers[f"weights/3/{name}"], weight, rtol=1e-12)


def test_a_tie_of_relu_is_within_the_bounds() -> None:
    """Two right computations may take different sides of a unit that is at zero but for rounding."""
    workload = net({"kind": "flatten"}, {"kind": "dense", "units": 6}, {"kind": "relu"})
    start, steps = init.start_weights(workload), batches(workload, 3)
    # The first unit of the first example comes out as next to 0.
    x = steps[0].inputs[0].ravel().astype(np.float64)
    start["dense1.bias"][0] = -(x @ start["dense1.weight"][0].astype(np.float64))
    run = run_reference(workload, start, steps)
    passes = reference_unit(run) > 0

    class Tied(Single):
        def __init__(self, *rest: object) -> None:
            super().__init__(*rest)  # type: ignore[arg-type]
            relu = self.kinked["relu1"]
            relu.side, relu.reach = (1 if passes else -1), 1e-6

    flipped = answered(run, Tied)
    honest = answered(run)
    moved = np.linalg.norm(flipped["gradient/dense1.weight"] - honest["gradient/dense1.weight"])
    assert moved > 1e-3 * np.linalg.norm(honest["gradient/dense1.weight"])
    for adapter_answers in (flipped, honest):
        assert judge(adapter_answers, run, "float32").value != NOT_EQUIVALENT


def reference_unit(run: ReferenceRun) -> float:
    reference = run.reference()
    reference.step(run.batches[0])
    unit = float(reference.kinked["relu1"].x[0, 0])
    assert 0 < abs(unit) < 1e-6
    return unit


def test_adams_step_for_a_gradient_near_zero_may_have_either_sign() -> None:
    """Where a bias goes straight into a norm, its gradient is rounding, and Adam's step is not."""
    layers = [{"kind": "dense", "units": 6}, {"kind": "batchnorm"}, {"kind": "tanh"}]
    workload = net({"kind": "flatten"}, *layers, optimiser={"kind": "adam", "lr": 0.001})
    run = run_of(workload)
    assert run.vanishing == {"dense1.bias"}

    class Noise(Single):
        def update(self, gradients: dict) -> None:  # type: ignore[override]
            noise = 3e-9 * np.sign(np.arange(6) - 2.5).astype(np.float32)
            super().update({**gradients, "dense1.bias": noise})

    for kind in (Single, Noise):
        verdict = judge(answered(run, kind), run, "float32")
        assert verdict.value == EQUIVALENT, verdict.sentence()
    assert abs(answered(run, Noise)["weights/1/dense1.bias"]).min() > 1e-4


def test_a_reference_that_diverges_is_said_with_its_step() -> None:
    workload = net(
        {"kind": "flatten"}, loss="mean-squared-error", optimiser={"kind": "sgd", "lr": 1e20}
    )
    with pytest.raises(
        ReferenceDiverged, match=r"not finite from step . on: lower the learning rate"
    ):
        run_of(workload)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("biasbn", EQUIVALENT),
        ("biasbn_sgd", EQUIVALENT),
        ("keras-bn", EQUIVALENT),
        ("offset", EQUIVALENT),
        ("tiny", "undecided"),
    ],
)
def test_nets_as_people_write_them(name: str, value: str) -> None:
    path = shared(f"cases/{name}.toml")
    if path is None:
        pytest.skip("the example workloads are not beside this checkout")
    workload = spec.load(str(path))
    raw = [
        batch._replace(inputs=_digits(workload, i)) for i, batch in enumerate(batches(workload, 5))
    ]
    run = run_reference(workload, init.start_weights(workload), raw)
    verdict = judge(answers(adapter_of(run), run.start, run.batches), run, "float32")
    assert verdict.value == value, verdict.sentence()


def _digits(workload: spec.Workload, seed: int) -> np.ndarray:
    """Grey values as the digits have them: 0 to 16, some pixels always 0, normalised."""
    random = np.random.default_rng(seed)
    raw = random.integers(0, 17, (workload.data.batch, 1, 8, 8))
    raw[:, :, :, 0] = 0
    return normalise(raw, workload.data)
