"""Timed slices that are what they should be are equivalent; wrong ones are not, with a hint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from frameworks.contract import Adapter
from frameworks.replays import (
    TimedTraining,
    put_back,
    replay_training,
    snapshot,
)
from harness.diagnosis.timed import training_hint
from harness.parity import Verdict
from harness.parity.timed import judge_training, reference_of
from harness.verdicts import EQUIVALENT, NOT_EQUIVALENT, UNDECIDED
from tests.harness.parity.cases import NORMED, Single, adapter_of, batches, net, run_of
from workloads import init
from workloads.batches import Batch

COUNT = 12


def timed_training(adapter: Adapter, count: int = COUNT, warm: int = 5) -> dict[str, NDArray]:
    """Train in one call after some steps, and replay that."""
    steps = batches(NORMED, warm + count)
    adapter.train(steps[:warm])
    before = snapshot(adapter)
    losses = adapter.train(steps[warm:])
    timed = TimedTraining(
        lambda: batches(NORMED, warm + count)[warm:], before, snapshot(adapter), losses
    )
    return replay_training(adapter, timed, seed=0)


def judged(arrays: dict[str, NDArray], workload: Any = NORMED) -> tuple[Verdict, str]:
    run = reference_of(arrays, workload, "float32")
    verdict = judge_training(arrays, run, "float32")
    return verdict, training_hint(arrays, run, verdict, init.start_weights(workload)) or ""


class Wrong(Single):
    """An adapter whose long lists are trained by `path`."""

    path: Callable[[Any, Sequence[Batch]], NDArray]
    long = 3

    def train(self, batches: Sequence[Batch]) -> NDArray:
        honest = partial(Single.train, self)
        return self.path(honest, batches) if len(batches) > self.long else honest(batches)


def test_an_honest_training_is_equivalent_and_goes_on_where_it_was() -> None:
    adapter = adapter_of(run_of(NORMED))
    verdict, hint = judged(timed_training(adapter))
    assert (verdict.value, hint) == (EQUIVALENT, "")
    places = {check.when for check in verdict.checks}
    assert f"in the timed list of {COUNT} batches" in places
    other = adapter_of(run_of(NORMED))
    other.train(batches(NORMED, 5))
    other.train(batches(NORMED, 5 + COUNT)[5:])
    assert np.array_equal(adapter.train(batches(NORMED, 1)), other.train(batches(NORMED, 1)))


def half(honest: Callable, steps: Sequence[Batch]) -> NDArray:
    return np.repeat(honest(steps[::2]), 2)[: len(steps)]


def again(honest: Callable, steps: Sequence[Batch]) -> NDArray:
    return honest([steps[0]] * len(steps))  # type: ignore[no-any-return]


def masks(honest: Callable, steps: Sequence[Batch]) -> NDArray:
    return honest([step._replace(masks=steps[0].masks) for step in steps])  # type: ignore[no-any-return]


def undropped(honest: Callable, steps: Sequence[Batch]) -> NDArray:
    whole = [tuple(np.full(m.shape, 0.75) for m in step.masks) for step in steps]
    return honest([step._replace(masks=w) for step, w in zip(steps, whole, strict=True)])  # type: ignore[no-any-return]


def last(honest: Callable, steps: Sequence[Batch]) -> NDArray:
    return honest([*steps[:-1], steps[0]])  # type: ignore[no-any-return]


def before(honest: Callable, steps: Sequence[Batch]) -> NDArray:
    losses = honest(steps)
    return np.concatenate([losses[:1], losses[:-1]])


def unfinished(honest: Callable, steps: Sequence[Batch]) -> NDArray:
    adapter = honest.args[0]  # type: ignore[attr-defined]
    losses = honest(steps[:-1])
    return np.append(losses, adapter.step(steps[-1]).loss)


def same(honest: Callable, steps: Sequence[Batch]) -> NDArray:
    return np.repeat(honest(steps)[-1:], len(steps))


def forgotten(honest: Callable, steps: Sequence[Batch]) -> NDArray:
    adapter = honest.args[0]  # type: ignore[attr-defined]
    memory = adapter.memory()
    empty = {name: np.zeros_like(array) for name, array in memory.slots["v"].items()}
    adapter.restore(memory._replace(slots={"v": empty}))
    return honest(steps)  # type: ignore[no-any-return]


def previous_inputs(honest: Callable, steps: Sequence[Batch]) -> NDArray:
    shifted = [b._replace(inputs=a.inputs) for a, b in pairwise(steps)]
    return honest([steps[0], *shifted])  # type: ignore[no-any-return]


def scaled(honest: Callable, steps: Sequence[Batch]) -> NDArray:
    return honest([s._replace(masks=tuple(map(np.ones_like, s.masks))) for s in steps])  # type: ignore[no-any-return]


def backwards(honest: Callable, steps: Sequence[Batch]) -> NDArray:
    return honest(steps[::-1])  # type: ignore[no-any-return]


def in_groups(honest: Callable, steps: Sequence[Batch]) -> NDArray:
    whole = len(steps) // 8 * 8 or len(steps)
    return np.pad(honest(steps[:whole]), (0, len(steps) - whole), mode="edge")


def faster(honest: Callable, steps: Sequence[Batch]) -> NDArray:
    adapter = honest.args[0]  # type: ignore[attr-defined]
    workload = adapter._workload
    optimiser = replace(workload.optimiser, lr=1.01 * workload.optimiser.lr)
    adapter._workload = replace(workload, optimiser=optimiser)
    losses = honest(steps)
    adapter._workload = workload
    return losses  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (half, "every second batch is left out"),
        (again, "the first batch is trained again and again"),
        (masks, "dropout's first masks are used for all batches"),
        (undropped, "dropout is off"),
        (last, "the last batch is another: step 12 is by batch 1"),
        (before, "each loss is that of the step before"),
        (unfinished, "the last update is not done when train returns"),
        (same, "all losses are the same"),
        (forgotten, "the optimiser's memory is lost at the start"),
        (previous_inputs, "every step has the inputs of the batch before"),
        (scaled, "dropout drops nothing, and scales as if it did"),
        (backwards, "the list is trained from its end to its begin"),
        (in_groups, "what remains of whole groups of 8 steps is not trained"),
        (faster, "the learning rate is 1.01 times what is right"),
    ],
)
def test_another_path_for_lists_is_named(path: Callable, says: str) -> None:
    adapter = adapter_of(run_of(NORMED), type("Planted", (Wrong,), {"path": staticmethod(path)}))
    verdict, hint = judged(timed_training(adapter))
    assert verdict.value == NOT_EQUIVALENT
    assert says in hint
    assert "in a list of 12 batches, and not one by one" in hint


class Faster(Single):
    """Moves 1% further in long lists."""

    def train(self, batches: Sequence[Batch]) -> NDArray:
        before, losses = self.weights(), super().train(batches)
        if len(batches) > 3:
            memory, after = self.memory(), self.weights()
            names = self._workload.parameters
            self.load(after | {n: after[n] + 0.01 * (after[n] - before[n]) for n in names})
            self.restore(memory)
        return losses


class Unmoved(Single):
    """Leaves batch norm's state as it was in long lists."""

    def train(self, batches: Sequence[Batch]) -> NDArray:
        before, losses = self.weights(), super().train(batches)
        if len(batches) > 3:
            memory, after = self.memory(), self.weights()
            self.load(after | {name: before[name] for name in self._workload.state})
            self.restore(memory)
        return losses


class Frozen(Single):
    """Its first layer stands still once 4 steps were taken."""

    def update(self, gradients: Any) -> None:
        start = self._parameters["conv1.weight"].copy()
        super().update(gradients)
        if self.memory().steps > 4:
            self._parameters["conv1.weight"][...] = start


class Skipping(Single):
    """Leaves out every second update once 4 steps were taken."""

    def update(self, gradients: Any) -> None:
        taken = self.memory().steps
        if taken < 5 or taken % 2 == 0:
            super().update(gradients)
        else:
            self._taken += 1


class Forgetful(Single):
    """Forgets its momentum at the end of long lists."""

    def train(self, batches: Sequence[Batch]) -> NDArray:
        losses = super().train(batches)
        if len(batches) > 3:
            memory = self.memory()
            empty = {name: np.zeros_like(v) for name, v in memory.slots["v"].items()}
            self.restore(memory._replace(slots={"v": empty}))
        return losses


def test_a_training_of_which_only_the_losses_are_known_is_checked_by_them() -> None:
    adapter, steps = adapter_of(run_of(NORMED)), batches(NORMED, COUNT)
    before = snapshot(adapter)
    losses = adapter.train(steps)
    for wrong, value in ((0.0, EQUIVALENT), (0.01, NOT_EQUIVALENT)):
        timed = TimedTraining(
            lambda: steps, before, None, losses * (1 + wrong * (np.arange(COUNT) > 8))
        )
        assert judged(replay_training(adapter, timed, seed=0))[0].value == value


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Forgetful, "weights are right and the optimiser's v is empty"),
        (Faster, "another learning rate"),
        (Unmoved, "norm1.mean is not moved, though all weights are right"),
        (Frozen, "conv1.weight does not move: a layer is frozen"),
        (Skipping, "every second step is left out"),
    ],
)
def test_a_wrong_update_is_named(kind: type[Single], says: str) -> None:
    verdict, hint = judged(timed_training(adapter_of(run_of(NORMED), kind)))
    assert verdict.value == NOT_EQUIVALENT
    assert says in hint


def test_a_replay_that_rounds_otherwise_is_equivalent_within_what_nudges_show() -> None:
    class Rounding(Single):
        """Lists end with another rounding than single batches."""

        def train(self, batches: Sequence[Batch]) -> NDArray:
            losses = super().train(batches)
            if len(batches) > 3:
                for weight in self._parameters.values():
                    weight[...] = np.nextafter(weight, np.float32(np.inf))
            return losses

    arrays = timed_training(adapter_of(run_of(NORMED), Rounding))
    assert any(key.startswith("nudged1/") for key in arrays)
    assert judged(arrays)[0].value == EQUIVALENT


def test_a_training_that_has_come_to_rest_is_undecided() -> None:
    layers, optimiser = {"kind": "flatten"}, {"kind": "sgd", "lr": 1e-9}
    rest = net(layers, optimiser=optimiser, init={"kind": "uniform-fan-in"})
    adapter, steps = adapter_of(run_of(rest)), batches(rest, 8)
    before = snapshot(adapter)
    losses = adapter.train(steps)
    timed = TimedTraining(lambda: steps, before, snapshot(adapter), losses)
    verdict, _ = judged(replay_training(adapter, timed, seed=0), rest)
    assert verdict.value == UNDECIDED
    assert "update of dense1.weight after step 5" in verdict.undecided


def test_a_snapshot_takes_an_adapter_back() -> None:
    adapter, steps = adapter_of(run_of(NORMED)), batches(NORMED, 6)
    adapter.train(steps[:2])
    taken = snapshot(adapter)
    losses = adapter.train(steps[2:])
    put_back(adapter, taken)
    assert np.array_equal(adapter.train(steps[2:]), losses)
