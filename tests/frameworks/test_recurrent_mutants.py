"""Planted faults of sequences, recurrent layers and activations are caught; some get a hint.

Here they are planted in the reference; tests/frameworks/test_mutations.py plants them in frameworks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from frameworks.reference.norms import LayerNorm
from frameworks.reference.recurrent import Gru, GruWay, Lstm
from frameworks.reference.sequences import LastStep
from harness.diagnosis import hint
from harness.parity import judge
from harness.verdicts import EQUIVALENT, NOT_EQUIVALENT
from tests.frameworks.recurrent_mutants import NATIVE_RECURRENT, RECURRENT, WORKLOAD
from tests.harness.parity.cases import Single, answered, run_of
from workloads import spec
from workloads.spec import Placed

NET = spec.load(str(WORKLOAD))

HINTS = {
    "gelu takes tanh for erf": "gelu takes the other",
    "LSTM's gates come in the order i, f, o, g": "the order i, f, o, g",
    "GRU's gates come in the order z, r, n": "the order z, r, n",
    "1 is added to the bias of LSTM's forget gate": "forget",
}


class ResetBefore(GruWay):
    def step(self, from_x: NDArray, from_h: NDArray, h: NDArray) -> NDArray:
        units = self.units
        r = self.gate(from_x[:, :units] + from_h[:, :units])
        n = (r * h) @ self.weight_h[2 * units :].T + self.parameters["bias_h"]
        super().step(from_x, from_h, h)
        _, z, _, q, before = self.seen.pop()
        n = np.tanh(from_x[:, 2 * units :] + n)
        self.seen.append((r, z, n, q, before))
        return (1 - z) * n + z * h


class ResetBeforeProduct(Gru):
    way = ResetBefore


class NotTurned(Lstm):
    def forward(self, x: NDArray) -> NDArray:
        there, back = np.split(super().forward(x), 2, axis=2)
        return np.concatenate([there, back[:, ::-1]], axis=2)


class Carried(GruWay):
    last: NDArray | None = None

    def forward(self, x: NDArray) -> NDArray:
        y = super().forward(x)
        if Carried.last is not None and Carried.last.shape == y[:, -1].shape:
            y = y + 0.1 * Carried.last[:, None]
        Carried.last = y[:, -1]
        return y


class StateCarried(Gru):
    way = Carried


class BothEnds(LastStep):
    def forward(self, x: NDArray) -> NDArray:
        last, units = super().forward(x), x.shape[2] // 2
        return np.concatenate([last[:, :units], x[:, 0, units:]], axis=1)


class OverSteps(LayerNorm):
    def _mean(self, x: NDArray) -> NDArray:
        return x.mean(axis=1, keepdims=True)


NATIVE: dict[str, tuple[str, Any]] = {
    "GRU's reset gate comes before the product": ("recurrent2", ResetBeforeProduct),
    "the way back leaves its outputs in the order in which it makes them": (
        "recurrent1",
        NotTurned,
    ),
    "the state is carried from batch to batch": ("recurrent2", StateCarried),
    "the last step of the way back is the one that it ends with": ("laststep1", BothEnds),
    "a layer norm is over the steps for the features": ("norm1", OverSteps),
}


def planted(name: str, part: Any) -> type[Single]:
    """The reference in float32 with a function of its own at one place."""

    class Planted(Single):
        def _function(self, place: Placed) -> Any:
            if place.name != name:
                return super()._function(place)
            shorts = place.layer.parameters(place.input)
            weights = {short: self._parameters[f"{name}.{short}"] for short in shorts}
            return part(place.layer, weights, {}, self._arithmetic)

    return Planted


def test_the_honest_reference_is_not_caught() -> None:
    run = run_of(NET)
    assert judge(answered(run), run, "float32").value == EQUIVALENT


@pytest.mark.parametrize("fault", RECURRENT)
def test_a_planted_fault_is_caught(fault: str) -> None:
    run = run_of(NET)
    answers = answered(run, lambda *rest: RECURRENT[fault](Single, *rest))
    verdict = judge(answers, run, "float32")
    assert verdict.value == NOT_EQUIVALENT
    assert HINTS.get(fault, "") in (hint(answers, run, verdict) or "")


@pytest.mark.parametrize("fault", NATIVE)
def test_a_fault_of_a_layer_s_own_code_is_caught(fault: str) -> None:
    run = run_of(NET)
    verdict = judge(answered(run, planted(*NATIVE[fault])), run, "float32")
    assert verdict.value == NOT_EQUIVALENT


def test_every_native_fault_is_tried_here_too() -> None:
    assert {*NATIVE} == {*NATIVE_RECURRENT}
