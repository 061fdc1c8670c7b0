"""A cell that fails gets the hint that names its fault."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import pytest

from frameworks.contract import Step, Weights
from frameworks.reference.adapter import Reference
from frameworks.reference.arithmetic import ROUNDED, Arithmetic
from harness.diagnosis import hint
from harness.diagnosis.relations import coarse
from harness.parity import Verdict, judge, run_reference
from harness.verdicts import NOT_EQUIVALENT
from tests.frameworks.mutants import COMMON, Mutant
from tests.harness.parity.cases import NORMED, Single, answered, batches, catalogue, net, run_of
from workloads import init, layers
from workloads.batches import Batch
from workloads.spec import Workload

CNN = catalogue("cnn-digits")


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
        ("momentum is left out", "momentum is left out"),
    ],
)
def test_a_known_pattern_gets_its_hint(fault: str, says: str) -> None:
    run = run_of(CNN)
    answers = answered(run, lambda *rest: COMMON[fault](Single, *rest))
    words = hint(answers, run, judge(answers, run, "float32"))
    assert words is not None
    assert says in words


@pytest.mark.parametrize(
    ("key", "title"),
    [
        ("loss", "loss"),
        ("losses", "losses"),
        ("gradient/conv1.weight", "gradient of conv1.weight"),
        ("weights/6/dense1.bias", "weights of 6 of dense1.bias"),
    ],
)
def test_what_is_not_finite_is_named(key: str, title: str) -> None:
    run = run_of(CNN)
    answers = answered(run)
    answers = {**answers, key: np.full_like(np.asarray(answers[key]), np.nan)}
    words = hint(answers, run, judge(answers, run, "float32"))
    assert words == f"{title} has values that are not finite"


@pytest.mark.parametrize(("precision", "name"), [("tf32", "TF32"), ("bfloat16", "bfloat16")])
def test_a_coarse_precision_is_named(precision: str, name: str) -> None:
    run = run_of(CNN)

    def in_arithmetic(arithmetic: Arithmetic) -> np.ndarray:
        return run.reference(arithmetic=arithmetic).step(run.batches[0]).logits

    expected = run.answers["logits"]
    for arithmetic in ROUNDED[precision]:
        (words,) = coarse(in_arithmetic(arithmetic), expected, in_arithmetic)
        assert words == f"errors are of the size of {name}'s rounding: {name} or float16 is in use"
    assert not [*coarse(expected, expected, in_arithmetic)]
    assert not [*coarse(1.1 * expected, expected, in_arithmetic)]


def test_a_training_in_bfloat16_is_named() -> None:
    run = run_of(CNN)
    for arithmetic in ROUNDED["bfloat16"]:
        answers = answered(run, functools.partial(Reference, arithmetic=arithmetic))
        verdict = judge(answers, run, "float32")
        assert verdict.value == NOT_EQUIVALENT
        assert "bfloat16 or float16 is in use" in (hint(answers, run, verdict) or "")


def test_float16_is_as_coarse_as_tf32() -> None:
    run = run_of(CNN)
    mutant = COMMON["float16 where float32 is promised"]
    answers = answered(run, lambda *rest: mutant(Single, *rest))
    words = hint(answers, run, judge(answers, run, "float32"))
    assert words is not None and "TF32 or float16 is in use" in words


def test_what_is_right_gets_no_hint() -> None:
    run = run_of(CNN)
    answers = answered(run)
    assert hint(answers, run, judge(answers, run, "float32")) is None


class OldShare(Mutant):
    def spec(self, workload: Workload) -> Workload:
        turned = [
            layers.BatchNorm(x.epsilon, 1 - x.momentum) if isinstance(x, layers.BatchNorm) else x
            for x in workload.layers
        ]
        return dataclasses.replace(workload, layers=tuple(turned))


class Biased(Mutant):
    stepped = False

    def returned(self, weights: Weights) -> Weights:
        count = 8 * 6 * 6
        moved = {
            name: 0.9 + (w - 0.9) * (count - 1) / count if name.endswith(".variance") else w
            for name, w in weights.items()
        }
        return moved if self.stepped else weights

    def train(self, batches: Sequence[Batch]) -> np.ndarray:
        self.stepped = True
        return super().train(batches)


def judged(mutant: type[Mutant]) -> tuple[Verdict, str]:
    """Return the verdict on a mutant's answers for a net with batch norms, and the hint."""
    run = run_of(NORMED)
    answers = answered(run, lambda *rest: mutant(Single, *rest))
    verdict = judge(answers, run, "float32")
    return verdict, hint(answers, run, verdict) or ""


@pytest.mark.parametrize(
    ("mutant", "says"),
    [
        (OldShare, "batch norm's momentum is taken for the share of the old value"),
        (Biased, "running variance takes the biased variance"),
    ],
)
def test_batch_norms_conventions_get_their_hint(mutant: type[Mutant], says: str) -> None:
    verdict, advice = judged(mutant)
    assert verdict.value == NOT_EQUIVALENT
    assert says in advice


class Inference(Mutant):
    """An adapter that is right but for its predictions."""

    def predict(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        return self.wrong(inputs, self.inner.predict(inputs))

    def wrong(self, inputs: Sequence[np.ndarray], logits: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class ToATenth(Inference):
    def wrong(self, inputs: Sequence[np.ndarray], logits: np.ndarray) -> np.ndarray:
        return np.round(logits, 1)


class Neighbours(Inference):
    def wrong(self, inputs: Sequence[np.ndarray], logits: np.ndarray) -> np.ndarray:
        return np.roll(logits, 1, axis=0)


class Scaled(Inference):
    def wrong(self, inputs: Sequence[np.ndarray], logits: np.ndarray) -> np.ndarray:
        return 1.001 * logits


class BatchStatistics(Inference):
    def wrong(self, inputs: Sequence[np.ndarray], logits: np.ndarray) -> np.ndarray:
        steps: list[Step] = []
        for x in inputs:
            masks = (np.full((len(x), 4, 6, 6), 0.75),)
            steps.append(self.inner.step(Batch(x, np.zeros(len(x), np.int64), masks)))
        return np.concatenate([step.logits for step in steps])


class Coarse(Inference):
    def predict(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        return self._rounded(self.inner.predict([self._rounded(x) for x in inputs]))

    def _rounded(self, x: np.ndarray) -> np.ndarray:
        bits = x.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
        return bits.view(np.float32)


class Stale(Inference):
    """Predicts by the weights of the start for ever."""

    def __init__(self, *rest: object) -> None:
        super().__init__(*rest)  # type: ignore[arg-type]
        self.first = self.inner.weights()

    def predict(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        now, memory = self.inner.weights(), self.inner.memory()
        self.inner.load(self.first)
        logits = self.inner.predict(inputs)
        self.inner.load(now)
        self.inner.restore(memory)
        return logits


@pytest.mark.parametrize(
    ("mutant", "says"),
    [
        (ToATenth, "rounded to multiples of 0.1"),
        (Neighbours, "is answered by the logits of example"),
        (Scaled, "logits are 1.001 times what is right"),
        (BatchStatistics, "the batch's own statistics and not by the running ones"),
        (Coarse, "bfloat16"),
        (Stale, "by the weights of the start"),
    ],
)
def test_wrong_predictions_get_their_hint(mutant: type[Mutant], says: str) -> None:
    verdict, advice = judged(mutant)
    assert verdict.value == NOT_EQUIVALENT
    assert all(check.tensor.startswith("prediction") for check in verdict.checks if not check.ok)
    assert says in advice


class OnePass(Single):
    """E[x^2] - E[x]^2 in float32, with the digits that it loses."""

    def step(self, batch: Batch) -> Step:
        norm = self.layer("norm1")
        forward = type(norm).forward

        def one_pass(x: np.ndarray) -> np.ndarray:
            forward(norm, x)
            squares, mean = np.square(x).mean(axis=0), x.mean(axis=0)
            norm.variance = np.maximum(squares - np.square(mean), 0)  # type: ignore[attr-defined]
            norm.deviation = np.sqrt(norm.variance + norm.layer.epsilon)  # type: ignore[attr-defined]
            norm.h = (x - mean) / norm.deviation  # type: ignore[attr-defined]
            return norm.h  # type: ignore[attr-defined, no-any-return]

        norm.forward = one_pass  # type: ignore[method-assign]
        return super().step(batch)


def test_a_one_pass_variance_is_named() -> None:
    workload = net({"kind": "flatten"}, {"kind": "batchnorm"})
    start = init.start_weights(workload)
    far = [batch._replace(inputs=batch.inputs / 10 + 300) for batch in batches(workload, 3)]
    run = run_reference(workload, start, far)
    honest = answered(run)
    assert judge(honest, run, "float32").value != NOT_EQUIVALENT
    answers = answered(run, OnePass)
    verdict = judge(answers, run, "float32")
    assert verdict.value == NOT_EQUIVALENT
    assert "a one-pass variance" in (hint(answers, run, verdict) or "")
