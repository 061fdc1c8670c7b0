"""Planted faults of tokens, positions, attention and labels a step are caught; some get a hint.

Here they are planted in the reference; tests/frameworks/test_mutations.py plants them in frameworks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from frameworks.reference import adapter as reference
from frameworks.reference.arithmetic import EXACT, Arithmetic
from frameworks.reference.losses import cross_entropy
from frameworks.reference.transformer import Attention, Embedding, Positions
from harness.diagnosis import hint
from harness.parity import judge
from harness.verdicts import EQUIVALENT, NOT_EQUIVALENT
from tests.frameworks.transformer_mutants import NATIVE_TRANSFORMED, TRANSFORMED, WORKLOAD
from tests.harness.parity.cases import Single, answered, run_of
from workloads import spec
from workloads.layers import Layer, sinusoids
from workloads.spec import Placed

NET = spec.load(str(WORKLOAD))

HINTS = {
    "attention sees what comes": "attention is not causal",
    "positions are shifted by one step": "positions are shifted",
    "the row of the padding token is trained": "padding token has a gradient",
    "sinusoidal positions are left out": "positions are left out",
    "steps that are padding count in the loss": "labelled -1 count",
}


class WithPart(Single):
    """The reference in float32 with a function of its own for some kind of layer."""

    parts: dict[type, Callable[..., Any]]

    def _function(self, place: Placed) -> Any:
        part = self.parts.get(type(place.layer))
        if part is None:
            return super()._function(place)
        names = place.layer.parameters(place.input)
        weights = {short: self._parameters[f"{place.name}.{short}"] for short in names}
        return part(place.layer, weights, {}, self._arithmetic)


class OffByOne(Attention):
    def _softmax(self, scores: NDArray) -> NDArray:
        seen = np.tri(scores.shape[-1], k=1, dtype=bool)
        powers = np.where(seen, np.exp(scores - scores.max(-1, keepdims=True)), 0)
        return powers / powers.sum(-1, keepdims=True)


class ByHeads(Attention):
    @property
    def _scale(self) -> float:
        return float(self.layer.heads**-0.5)


class OverQueries(Attention):
    def _softmax(self, scores: NDArray) -> NDArray:
        seen = np.tri(scores.shape[-1], dtype=bool)
        scores = np.where(seen, scores, -np.inf)
        powers = np.exp(scores - scores.max(-2, keepdims=True))
        return powers / powers.sum(-2, keepdims=True)


class SinesFirst(Positions):
    def forward(self, x: NDArray) -> NDArray:
        if self.parameters:
            return super().forward(x)
        table = sinusoids(*x.shape[1:]).astype(x.dtype)
        return x + np.concatenate([table[:, ::2], table[:, 1::2]], axis=1)


class LastPlace(Embedding):
    def backward(self, dy: NDArray) -> NDArray:
        dx = super().backward(dy)
        gradient = np.zeros_like(self.gradients["weight"])
        gradient[self.x.ravel()] = dy.reshape(-1, dy.shape[2])
        self.gradients = {"weight": gradient}
        return dx


def _with(kind: type[Layer], part: Any) -> type[Single]:
    return type("Planted", (WithPart,), {"parts": {kind: part}})


NATIVE: dict[str, type[Single]] = {
    "the causal mask is off by one: a step sees the next": _with(spec.KINDS["attention"], OffByOne),
    "scores are scaled by the number of heads for the head's size": _with(
        spec.KINDS["attention"], ByHeads
    ),
    "the softmax is over the steps of q for those of k": _with(
        spec.KINDS["attention"], OverQueries
    ),
    "of a token that comes several times one place has a gradient": _with(
        spec.KINDS["embedding"], LastPlace
    ),
}


def mean_of_sequences(
    logits: NDArray, labels: NDArray, smoothing: float = 0.0, arithmetic: Arithmetic = EXACT
) -> tuple[float, NDArray]:
    pairs = [
        cross_entropy(z[None], y[None], smoothing, arithmetic)
        for z, y in zip(logits, labels, strict=True)
    ]
    gradient = np.concatenate([gradient for _, gradient in pairs]) / len(pairs)
    return float(np.mean([loss for loss, _ in pairs])), gradient


def test_the_honest_reference_is_not_caught() -> None:
    run = run_of(NET)
    assert judge(answered(run), run, "float32").value == EQUIVALENT
    assert (run.batches[0].labels < 0).any() and run.batches[0].masks


@pytest.mark.parametrize("fault", TRANSFORMED)
def test_a_planted_fault_is_caught(fault: str) -> None:
    run = run_of(NET)
    answers = answered(run, lambda *rest: TRANSFORMED[fault](Single, *rest))
    verdict = judge(answers, run, "float32")
    assert verdict.value == NOT_EQUIVALENT
    assert HINTS.get(fault, "") in (hint(answers, run, verdict) or "")


@pytest.mark.parametrize("fault", NATIVE)
def test_a_fault_of_a_layer_s_own_code_is_caught(fault: str) -> None:
    run = run_of(NET)
    with np.errstate(all="ignore"):  # some trainings diverge
        verdict = judge(answered(run, NATIVE[fault]), run, "float32")
    assert verdict.value == NOT_EQUIVALENT


def test_sines_before_cosines_are_caught_and_named() -> None:
    run = run_of(NET)
    answers = answered(run, _with(spec.KINDS["positions"], SinesFirst))
    verdict = judge(answers, run, "float32")
    assert verdict.value == NOT_EQUIVALENT
    assert "all sines before all cosines" in (hint(answers, run, verdict) or "")


@pytest.mark.parametrize("fault", list(NATIVE)[:1])
def test_a_mask_that_is_off_by_one_is_named(fault: str) -> None:
    run = run_of(NET)
    answers = answered(run, NATIVE[fault])
    assert "off by one" in (hint(answers, run, judge(answers, run, "float32")) or "")


def test_a_mean_of_means_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(NET)
    monkeypatch.setitem(reference.LOSSES, "cross-entropy", mean_of_sequences)
    assert judge(answered(run), run, "float32").value == NOT_EQUIVALENT


def test_every_native_fault_is_tried_here_too() -> None:
    means = "the loss is the mean over each sequence, and then over those"
    assert {*NATIVE, means} == {*NATIVE_TRANSFORMED}
