"""What optimisers can do wrong is caught: each fault is planted in the reference in float32."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness.diagnosis import hint
from harness.parity import judge
from harness.verdicts import EQUIVALENT, NOT_EQUIVALENT
from tests.harness.parity.cases import Single, answered, net, run_of
from workloads.spec import Workload


def trained(schedule: dict[str, Any] | None = None, **optimiser: Any) -> Workload:
    """A small net with biases and a norm, trained by an optimiser."""
    layers = (
        {"kind": "flatten"},
        {"kind": "dense", "units": 12},
        {"kind": "tanh"},
        {"kind": "layernorm"},
    )
    return net(*layers, optimiser=optimiser, schedule=schedule or {"kind": "constant"})


SGD: dict[str, Any] = {"kind": "sgd", "lr": 0.1, "momentum": 0.9}
FALLING = {"kind": "step", "every": 1, "gamma": 0.1}
WORKLOADS = {
    "nesterov": trained(**SGD, nesterov=True),
    "momentum, falling": trained(FALLING, **SGD),
    "kernels": trained(**SGD, weight_decay=0.1, decay="kernels"),
    "norm": trained(**SGD, clip_norm=0.3),
    "value": trained(**SGD, clip_value=0.02),
    "rmsprop": trained(kind="rmsprop", lr=0.01, epsilon=1e-3),
    "rmsprop, momentum": trained(
        kind="rmsprop", lr=0.01, momentum=0.9, weight_decay=0.1, clip_value=0.01
    ),
    "accumulated": trained(**SGD, accumulate=3),
    "adam, accumulated": trained(kind="adam", lr=0.01, accumulate=2, clip_norm=0.1, average=0.9),
    "averaged": trained(**SGD, average=0.999),
}


@pytest.mark.parametrize("name", WORKLOADS)
def test_an_honest_optimiser_is_equivalent(name: str) -> None:
    run = run_of(WORKLOADS[name])
    verdict = judge(answered(run), run, "float32")
    assert verdict.value == verdict.sentence() == EQUIVALENT


class Wrong(Single):
    """The reference in float32 with a part of its optimiser exchanged."""

    def mend(self, update: Any) -> None:
        """Exchange it."""

    def load(self, weights: Any) -> None:
        super().load(weights)
        self.mend(self._update)


def changed(**changes: Any) -> type[Wrong]:
    """The reference in float32 whose optimiser is another."""

    class Changed(Wrong):
        def mend(self, update: Any) -> None:
            other = dataclasses.replace(update.optimiser, **changes)
            update.__init__(other, self._parameters)

    return Changed


class LookaheadOfV(Wrong):
    """w -= rate (1 + momentum) v"""

    def mend(self, update: Any) -> None:
        momentum = self._workload.optimiser.momentum  # type: ignore[attr-defined]
        update.nesterov = False
        move = update.move
        update.move = lambda gradients, rate: move(gradients, (1 + momentum) * rate)


class RateInMemory(Wrong):
    """v = momentum v + rate g;  w -= v"""

    def mend(self, update: Any) -> None:
        move = update.move
        update.move = lambda gradients, rate: move(
            {name: np.float32(rate) * g for name, g in gradients.items()}, 1.0
        )


class ClippedByTensor(Wrong):
    """each tensor is clipped by its own norm"""

    def mend(self, update: Any) -> None:
        clipped = update.clipped
        update.clipped = lambda gradients: {
            name: clipped({name: g})[name] for name, g in gradients.items()
        }


class EpsilonInside(Wrong):
    """g / sqrt(s + epsilon)"""

    def mend(self, update: Any) -> None:
        move, epsilon = update.move, update.epsilon

        def inside(gradients: Any, rate: float) -> None:
            factors = {}
            for name, g in gradients.items():
                s = update.rho * update.s[name] + (1 - update.rho) * g * g
                factors[name] = (np.sqrt(s) + epsilon) / np.sqrt(s + epsilon)
            before = {name: w.copy() for name, w in update.weights.items()}
            move(gradients, rate)
            for name, w in update.weights.items():
                w[...] = before[name] + factors[name] * (w - before[name])

        update.move = inside


class DecayClipped(Wrong):
    """weight decay is clipped with the gradient"""

    def mend(self, update: Any) -> None:
        clipped, decay = update.clipped, update.decay
        update.clipped = lambda gradients: clipped(
            {name: g + decay[name] * update.weights[name] for name, g in gradients.items()}
        )
        update.decay = dict.fromkeys(decay, np.float32(0))


class Summed(Wrong):
    """gradients are summed over the batches"""

    def mend(self, update: Any) -> None:
        clipped, count = update.clipped, np.float32(update.optimiser.accumulate)
        update.clipped = lambda gradients: clipped(
            {name: count * g for name, g in gradients.items()}
        )


class LastOnly(Wrong):
    """an update takes the last batch's gradient only"""

    def mend(self, update: Any) -> None:
        take, count = update.take, np.float32(update.optimiser.accumulate)

        def last(gradients: Any, rate: float | None) -> None:
            part = np.float32(0) if rate is None else count
            take({name: part * g for name, g in gradients.items()}, rate)

        update.take = last


class EveryBatch(Wrong):
    """every batch ends with an update"""

    def update(self, gradients: Any) -> None:
        self._update.move(gradients, self._workload.rates(self._taken, 1)[0])
        self._taken += 1


class Unaveraged(Wrong):
    """predictions are by the weights and not by their average"""

    def predict(self, inputs: Any) -> Any:
        return np.concatenate([self._model.infer(x) for x in inputs])


class AverageOfStart(Wrong):
    """the average takes in the weights of before the update"""

    def mend(self, update: Any) -> None:
        move = update.move

        def late(gradients: Any, rate: float) -> None:
            share = np.float32(1 - update.optimiser.average)
            before = {name: w.copy() for name, w in update.weights.items()}
            move(gradients, rate)
            for name, w in update.weights.items():
                update.average[name] -= share / (1 - share) * (w - before[name])

        update.move = late


FAULTS: dict[str, tuple[str, Callable[..., Any]]] = {
    "nesterov is ignored": ("nesterov", changed(nesterov=False)),
    "nesterov of another form": ("nesterov", LookaheadOfV),
    "the rate in the memory": ("momentum, falling", RateInMemory),
    "biases decay": ("kernels", changed(decay="all")),
    "kernels do not decay": ("kernels", changed(weight_decay=0.0)),
    "by value for the norm": ("norm", changed(clip_norm=0.0, clip_value=0.3)),
    "by each tensor's norm": ("norm", ClippedByTensor),
    "not clipped": ("value", changed(clip_value=0.0)),
    "by norm for the value": ("value", changed(clip_norm=0.02, clip_value=0.0)),
    "epsilon inside the root": ("rmsprop", EpsilonInside),
    "decay is clipped": ("rmsprop, momentum", DecayClipped),
    "rmsprop without momentum": ("rmsprop, momentum", changed(momentum=0.0)),
    "summed": ("accumulated", Summed),
    "the last batch only": ("accumulated", LastOnly),
    "an update each batch": ("accumulated", EveryBatch),
    "predictions by the weights": ("averaged", Unaveraged),
    "an average that is late": ("averaged", AverageOfStart),
}

HINTS = {
    "nesterov is ignored": "without Nesterov",
    "biases decay": "are to be spared",
    "kernels do not decay": "a weight decay of 0.1 is left out",
    "summed": "summed over the 3 batches",
    "an update each batch": "before 3 batches are gathered",
    "predictions by the weights": "not by their average",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_optimiser_is_not_equivalent(fault: str) -> None:
    name, kind = FAULTS[fault]
    run = run_of(WORKLOADS[name])
    answers = answered(run, kind)
    verdict = judge(answers, run, "float32")
    assert verdict.value == NOT_EQUIVALENT
    assert HINTS.get(fault, "") in (hint(answers, run, verdict) or "")
