"""Hints name the kind of a fault: a number, a formula, a way to train, and not what only comes near."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from frameworks.contract import Memory, Step
from frameworks.reference.adapter import Reference
from harness.diagnosis import hint
from harness.parity import judge, run_reference
from harness.verdicts import EQUIVALENT, NOT_EQUIVALENT
from tests.frameworks.formula_mutants import MemoryLost, ScheduleAhead, ShortLeftOut
from tests.frameworks.mutants import Mutant
from tests.harness.parity.cases import STEPS, Single, answered, batches, net, run_of
from workloads import init, layers, optimisers
from workloads.batches import Batch
from workloads.spec import Workload

PICTURES = net(
    {"kind": "conv2d", "filters": 4, "kernel": 3, "padding": "same"},
    {"kind": "batchnorm", "epsilon": 1e-3, "momentum": 0.01},
    {"kind": "leakyrelu", "slope": 0.1},
    {
        "kind": "branches",
        "join": "concat",
        "branches": [[{"kind": "conv2d", "filters": 4, "kernel": 1}, {"kind": "elu"}], []],
    },
    {"kind": "groupnorm", "groups": 2},
    {"kind": "silu"},
    {"kind": "residual", "body": [{"kind": "conv2d", "filters": 8, "kernel": 3, "padding": 1}]},
    {"kind": "avgpool", "size": 3, "stride": 2, "padding": 1, "ceil": True},
    {"kind": "flatten"},
    {"kind": "layernorm"},
    {"kind": "dropout", "rate": 0.2},
    label_smoothing=0.1,
)
TOKENS = net(
    layers=[
        {"kind": "embedding", "tokens": 64, "units": 6},
        {"kind": "positions", "encoding": "sinusoidal"},
        {"kind": "attention", "heads": 2, "causal": True},
        {"kind": "lstm", "units": 4, "direction": "bidirectional"},
        {"kind": "gru", "units": 4},
        {"kind": "rmsnorm"},
        {"kind": "dense", "units": 64},
    ],
    data={"dataset": "text", "batch": 2, "epochs": 1},
    init={"kind": "xavier-normal", "bias": {"kind": "gaussian", "std": 0.3}},
)


def trained(optimiser: dict[str, Any], schedule: dict[str, Any] | None = None) -> Workload:
    """A small net with that optimiser; its second batch is short where batches are kept."""
    small = ({"kind": "flatten"}, {"kind": "dense", "units": 12}, {"kind": "tanh"})
    tables = {"optimiser": optimiser, "schedule": schedule or {"kind": "constant"}}
    data = {"dataset": "digits", "batch": 8, "epochs": 1, "last": "keep"}
    return net(*small, {"kind": "layernorm"}, data=data, **tables)


ADAM = {"kind": "adam", "lr": 0.01, "weight_decay": 0.1}
SGD = {"kind": "sgd", "lr": 0.1, "momentum": 0.9, "clip_norm": 0.2, "average": 0.9}
WARM = {"kind": "cosine", "steps": 4, "warmup": 2}
GATHERED = trained({**SGD, "accumulate": 2}, {"kind": "step", "every": 1, "gamma": 0.5})


def advice(workload: Workload, kind: Any) -> str:
    """The hint about an adapter that has to fail; the reference in float32 has to be equivalent."""
    run = run_of(workload)
    if workload.data.last == "keep":
        taken = batches(workload, STEPS)
        taken[1] = Batch(
            taken[1].inputs[:3], taken[1].labels[:3], tuple(m[:3] for m in taken[1].masks)
        )
        run = run_reference(workload, init.start_weights(workload), taken)
    assert judge(answered(run), run, "float32").value == EQUIVALENT
    answers = answered(run, kind)
    verdict = judge(answers, run, "float32")
    assert verdict.value == NOT_EQUIVALENT
    return hint(answers, run, verdict) or ""


def with_layers(change: Callable[[Any], layers.Layer], **workload: Any) -> Callable[..., Any]:
    """What builds the reference in float32 on other layers than it is given."""

    def build(given: Workload, *rest: Any) -> Reference:
        return Single(replace(given, layers=layers.changed(given.layers, change)), *rest)

    return build


def other(kind: type[layers.Layer], **changes: Any) -> Callable[..., Any]:
    return with_layers(lambda x: replace(x, **changes) if isinstance(x, kind) else x)


def put(kind: type[layers.Layer], by: layers.Layer) -> Callable[..., Any]:
    return with_layers(lambda x: by if isinstance(x, kind) else x)


def on(**changes: Any) -> Callable[..., Any]:
    return lambda given, *rest: Single(replace(given, **changes), *rest)


def optimised(**changes: Any) -> Callable[..., Any]:
    def build(given: Workload, *rest: Any) -> Reference:
        return Single(replace(given, optimiser=replace(given.optimiser, **changes)), *rest)

    return build


LAYERS: dict[str, tuple[Workload, Callable[..., Any]]] = {
    "batchnorm: epsilon is about 1e-05, not 0.001": (
        PICTURES,
        other(layers.BatchNorm, epsilon=1e-5),
    ),
    "groupnorm: epsilon is about 0.001, not 1e-05": (
        PICTURES,
        other(layers.GroupNorm, epsilon=1e-3),
    ),
    "layernorm: epsilon is about 0.001, not 1e-05": (
        PICTURES,
        other(layers.LayerNorm, epsilon=1e-3),
    ),
    "batchnorm: momentum is about 0.1, not 0.01": (PICTURES, other(layers.BatchNorm, momentum=0.1)),
    "leakyrelu: slope is about 0.01, not 0.1": (PICTURES, other(layers.LeakyRelu, slope=0.01)),
    "elu: alpha is about 0.5, not 1": (PICTURES, other(layers.Elu, alpha=0.5)),
    "groupnorm takes 4 groups": (PICTURES, other(layers.GroupNorm, groups=4)),
    "silu is replaced by gelu": (PICTURES, put(layers.Silu, layers.Gelu())),
    "averages count the padding": (PICTURES, other(layers.AvgPool, count_padding=True)),
    "label smoothing is left out": (PICTURES, on(label_smoothing=0.0)),
    "label smoothing is about 0.05, not 0.1": (PICTURES, on(label_smoothing=0.05)),
    "attention takes 3 heads": (TOKENS, other(layers.Attention, heads=3)),
    "gru goes through the steps the other way": (
        TOKENS,
        other(layers.Gru, direction=layers.REVERSE),
    ),
}


@pytest.mark.parametrize("says", LAYERS)
def test_another_layer_is_named(says: str) -> None:
    assert says in advice(*LAYERS[says])


class Own(Single):
    """The reference in float32 with a layer's own code."""

    name: str

    def __init__(self, *rest: Any) -> None:
        super().__init__(*rest)
        self.mend(self.layer(self.name))

    def mend(self, layer: Any) -> None:
        raise NotImplementedError


class Unscaled(Own):
    name = "attention1"

    def mend(self, layer: Any) -> None:
        project = layer._project

        def larger(x: NDArray, part: str) -> NDArray:
            y: NDArray = project(x, part) * (np.float32(3**0.5) if part == "q" else 1)
            return y

        layer._project = larger


class SeesAhead(Own):
    name = "attention1"

    def mend(self, layer: Any) -> None:
        layer.seen = lambda steps: np.tri(steps, k=1, dtype=bool)


class CosinesFirst(Own):
    name = "positions1"

    def mend(self, layer: Any) -> None:
        table = layer.table

        def turned(x: NDArray) -> NDArray:
            right: NDArray = table(x)
            return np.stack([right[:, 1::2], right[:, ::2]], axis=2).reshape(right.shape)

        layer.table = turned


class BackFirst(Own):
    name = "recurrent1"

    def mend(self, layer: Any) -> None:
        forward = layer.forward
        layer.forward = lambda x: np.roll(forward(x), 4, axis=2)


class NoTanh(Own):
    name = "recurrent1"

    def mend(self, layer: Any) -> None:
        way = layer.way

        class Other(way):  # type: ignore[valid-type, misc]
            def step(self, from_x: NDArray, from_h: NDArray, h: NDArray) -> NDArray:
                super().step(from_x, from_h, h)
                o: NDArray = self.seen[-1][3]
                return o * self.c

        layer.way = Other


class NotScaledUp(Own):
    name = "dropout1"

    def mend(self, layer: Any) -> None:
        layer.forward = lambda x: x * layer.mask


FORMULAS = {
    "attention's scores are not scaled": (TOKENS, Unscaled),
    "a step sees the next": (TOKENS, SeesAhead),
    "each cosine before its sine": (TOKENS, CosinesFirst),
    "lstm: the way back comes first in the output": (TOKENS, BackFirst),
    "lstm: h is o c, without the tanh": (TOKENS, NoTanh),
    "dropout does not scale up what it lets pass": (PICTURES, NotScaledUp),
}


@pytest.mark.parametrize("says", FORMULAS)
def test_another_formula_of_a_layer_is_named(says: str) -> None:
    assert says in advice(*FORMULAS[says])


class Restarted(Mutant):
    """Steps are counted from each call on."""

    def train(self, batches: Sequence[Batch]) -> np.ndarray:
        memory = self.inner.memory()
        self.inner.restore(Memory(0, memory.slots))
        return super().train(batches)


class ShortWeighed(Single):
    """A short batch's loss is divided by 8."""

    def step(self, batch: Batch) -> Step:
        step, share = super().step(batch), len(batch.labels) / 8
        gradients = {name: share * g for name, g in step.gradients.items()}
        return replace(step, loss=share * step.loss, gradients=gradients)


class Uncorrected(Single):
    """Adam without bias correction."""

    def load(self, weights: Any) -> None:
        super().load(weights)
        update: Any = self._update
        take, count = update.take, [0]

        def other_rate(gradients: Any, rate: Any) -> None:
            count[0] += 1
            beta1, beta2 = (1 - update.scalar(b) ** count[0] for b in (0.9, 0.999))
            epsilon, update.epsilon = update.epsilon, update.epsilon / np.sqrt(beta2)
            take(gradients, rate * float(beta1 / np.sqrt(beta2)))
            update.epsilon = epsilon

        update.take = other_rate


def mutant(kind: type[Mutant]) -> Callable[..., Any]:
    return lambda *rest: kind(Single, *rest)


UPDATES: dict[str, tuple[Workload, Callable[..., Any]]] = {
    "weight decay is decoupled": (
        trained(ADAM),
        lambda given, *rest: Single(
            replace(given, optimiser=optimisers.AdamW(**vars(given.optimiser))), *rest
        ),
    ),
    "adam: epsilon is about 0.001, not 1e-08": (trained(ADAM), optimised(epsilon=1e-3)),
    "adam: beta1 is about 0.5, not 0.9": (trained(ADAM), optimised(beta1=0.5)),
    "adam: beta2 is about 0.9, not 0.999": (trained(ADAM), optimised(beta2=0.9)),
    "the bias correction is left out": (trained({"kind": "adam", "lr": 0.01}), Uncorrected),
    "sgd: momentum is about 0.8, not 0.9": (trained(SGD), optimised(momentum=0.8)),
    "average is about 0.99, not 0.9": (trained(SGD), optimised(average=0.99)),
    "an update takes 4 batches": (GATHERED, optimised(accumulate=4)),
    "the schedule counts batches": (
        GATHERED,
        on(schedule=optimisers.Stairs(every=1, gamma=0.25)),
    ),
    "the warm-up of 2 is left out": (trained(ADAM, WARM), on(schedule=optimisers.Cosine(4))),
    "the schedule is an update ahead": (trained(ADAM, WARM), mutant(ScheduleAhead)),
    "the schedule begins anew with each call": (trained(SGD, WARM), mutant(Restarted)),
    "without the optimiser's memory": (trained({**SGD, "nesterov": True}), mutant(MemoryLost)),
    "a short batch makes no step": (trained(SGD), mutant(ShortLeftOut)),
    "a short batch's loss is divided by a whole batch's size": (trained(SGD), ShortWeighed),
}


@pytest.mark.parametrize("says", UPDATES)
def test_another_way_to_train_is_named(says: str) -> None:
    assert says in advice(*UPDATES[says])


class DropsInInference(Mutant):
    random = np.random.default_rng(3)

    def predict(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        random, logits = self.random, []
        for x in inputs:
            shapes = init.dropouts(self.workload, len(x))
            masks = tuple((random.random(s) >= rate).astype(np.uint8) for rate, s in shapes)
            logits.append(self.inner.step(Batch(x, np.zeros(len(x), np.int64), masks)).logits)
        return np.concatenate(logits)


class OtherEpsilon(Mutant):
    """Batch norm has another epsilon in inference."""

    def predict(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        second = other(layers.BatchNorm, epsilon=1e-2)(
            self.workload, self.inner.weights(), self.options
        )
        logits: np.ndarray = second.predict(inputs)
        return logits

    def __init__(self, *rest: Any) -> None:
        super().__init__(*rest)
        self.options = rest[-1]


class StateOfStart(OtherEpsilon):
    """Predictions have batch norm's state of the start."""

    def predict(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        weights = self.inner.weights()
        state = {n: w for n, w in init.start_weights(self.workload).items() if n in self.state}
        return Single(self.workload, {**weights, **state}, self.options).predict(inputs)

    @property
    def state(self) -> set[str]:
        return {*self.workload.state}


PREDICTIONS = {
    "dropout is on in inference": DropsInInference,
    "batchnorm: epsilon is about 0.01, not 0.001, in inference": OtherEpsilon,
    "by batch norm's state of the start": StateOfStart,
}


def test_a_fault_of_inference_is_named_after_timing_where_no_list_is_predicted() -> None:
    run = run_of(PICTURES).first_step()
    answers = answered(run, mutant(OtherEpsilon))
    verdict = judge(answers, run, "float32")
    assert verdict.value == NOT_EQUIVALENT
    assert "epsilon is about 0.01" in (hint(answers, run, verdict) or "")


@pytest.mark.parametrize("says", PREDICTIONS)
def test_a_fault_of_inference_is_named_and_not_taken_for_coarse_rounding(says: str) -> None:
    assert says in advice(PICTURES, mutant(PREDICTIONS[says]))
