"""Each planted fault is what its sentence says, and nothing else: else "caught" would mean little."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.planted_faults.catalogue import FAULTS, HONEST
from benchmarks.planted_faults.fault import LONG, Fault
from benchmarks.planted_faults.inference import INFERENCE, in_bfloat16
from benchmarks.planted_faults.lists import LISTS, MOST
from benchmarks.planted_faults.training import LATE, TRAINING, OfLongLists
from frameworks.contract import Options
from tests.benchmarks.planted import (
    ALL,
    BATCHES,
    INPUTS,
    LIST,
    NET,
    START,
    Honest,
    honest,
    planted,
    same,
    trained,
)
from workloads.batches import Batch


def test_there_are_enough_faults_and_each_says_what_it_is() -> None:
    sentences = [FAULTS[name].__doc__ for name in ALL]
    assert len(ALL) == len(TRAINING) + len(LISTS) + len(INFERENCE) >= 16
    assert len({*sentences}) == len(sentences) and None not in sentences


def test_the_honest_mode_is_the_adapter_itself() -> None:
    adapter, right = planted(HONEST), honest()
    assert np.array_equal(adapter.train(LIST), right.train(LIST))
    assert same(adapter.weights(), right.weights())
    assert np.array_equal(adapter.predict(INPUTS), right.predict(INPUTS))
    assert np.array_equal(adapter.step(LIST[0]).logits, right.step(LIST[0]).logits)
    adapter.load(START)
    assert same(adapter.weights(), START)


@pytest.mark.parametrize("name", ALL)
def test_no_fault_shows_in_the_first_three_steps(name: str) -> None:
    adapter = planted(name)
    adapter.load(START)
    losses = np.append(adapter.train(BATCHES[:1]), adapter.train(BATCHES[1:3]))
    assert losses == pytest.approx(honest().train(BATCHES[:3]), rel=1e-6)  # some are float32
    assert same(adapter.weights(), trained(BATCHES[:3]))


@pytest.mark.parametrize("name", [n for n in ALL if issubclass(FAULTS[n], OfLongLists)])
def test_a_list_that_is_not_long_is_trained_as_it_should_be(name: str) -> None:
    adapter, right = planted(name), honest()
    assert np.array_equal(adapter.train(BATCHES[:LONG]), right.train(BATCHES[:LONG]))
    assert same(adapter.weights(), right.weights())


@pytest.mark.parametrize("name", [n for n in ALL if FAULTS[n] in INFERENCE])
def test_a_fault_of_predictions_trains_as_it_should(name: str) -> None:
    adapter, right = planted(name), honest()
    adapter.predict(INPUTS)
    assert np.array_equal(adapter.train(BATCHES), right.train(BATCHES))
    assert same(adapter.weights(), right.weights())


def joined(first: Batch, second: Batch) -> Batch:
    masks = [np.concatenate(pair) for pair in zip(first.masks, second.masks, strict=True)]
    inputs = np.concatenate([first.inputs, second.inputs])
    return Batch(inputs, np.concatenate([first.labels, second.labels]), tuple(masks))


def part(array: Any) -> Any:
    """The first half of a batch's examples, and the last of it in place of the others."""
    if isinstance(array, tuple):
        return tuple(map(part, array))
    return array[[0, 1, 2, 3, 3, 3, 3, 3]]


TRAINED_INSTEAD: dict[str, Callable[[list[Batch]], list[Batch]]] = {
    "every-second-batch": lambda b: [b[i] for i in range(0, len(b), 2)],
    "first-batch-again": lambda b: [b[0] for _ in b],
    "list-reversed": lambda b: [b[30 - i] for i in range(31)],
    "inputs-of-batch-before": lambda b: [
        Batch(b[max(i - 1, 0)].inputs, b[i].labels, b[i].masks) for i in range(len(b))
    ],
    "masks-reused": lambda b: [Batch(x.inputs, x.labels, b[0].masks) for x in b],
    "masks-ignored": lambda b: [
        Batch(x.inputs, x.labels, tuple(m * 0 + 1 for m in x.masks)) for x in b
    ],
    "remainder-left-out": lambda b: b[:16],
    "batches-accumulated": lambda b: [*(joined(b[i], b[i + 1]) for i in range(0, 30, 2)), b[30]],
    "last-batch-wrong": lambda b: [*b[:30], b[0]],
    "losses-of-step-before": lambda b: b,
    "losses-overwritten": lambda b: b,
    "losses-smoothed": lambda b: b,
    "half-batches": lambda b: [Batch(part(x.inputs), part(x.labels), part(x.masks)) for x in b],
}

"""By fault: what the honest adapter has to be given to do the same with LIST, which has 31 batches."""

LOSSES_REPORTED: dict[str, Callable[[NDArray], list[float]]] = {
    "every-second-batch": lambda losses: [losses[i // 2] for i in range(31)],
    "remainder-left-out": lambda losses: [losses[min(i, 15)] for i in range(31)],
    "batches-accumulated": lambda losses: [losses[i // 2] for i in range(31)],
    "losses-of-step-before": lambda losses: [losses[max(i - 1, 0)] for i in range(31)],
    "losses-overwritten": lambda losses: [losses[30]] * 31,
    "losses-smoothed": lambda losses: [
        2.0**-i * losses[0] + sum(2.0 ** (j - i - 1) * losses[j] for j in range(1, i + 1))
        for i in range(31)
    ],
}
"""By fault: what it makes of the losses of that; of the others, nothing."""


@pytest.mark.parametrize("name", TRAINED_INSTEAD)
def test_what_is_trained_instead_of_a_long_list(name: str) -> None:
    instead = TRAINED_INSTEAD[name](LIST)
    adapter, right = planted(name), honest()
    losses, of_instead = adapter.train(LIST), right.train(instead)
    reported = LOSSES_REPORTED.get(name, list)(of_instead)
    assert losses == pytest.approx(reported, rel=1e-12) and len(losses) == len(LIST)
    assert same(adapter.weights(), right.weights())
    if instead is not LIST:
        assert not same(right.weights(), trained(LIST))


SHORT = Batch(LIST[1].inputs[:3], LIST[1].labels[:3], tuple(m[:3] for m in LIST[1].masks))
WITH_SHORT = [LIST[0], SHORT, *LIST[2:]]


def test_what_becomes_of_a_short_batch_in_a_long_list() -> None:
    adapter = planted("short-batches-left-out")
    assert len(adapter.train(WITH_SHORT)) == len(LIST)
    assert same(adapter.weights(), trained([LIST[0], *LIST[2:]]))

    def filled(array: Any) -> Any:
        return np.concatenate([array, np.repeat(array[-1:], 5, axis=0)])

    masks = tuple(map(filled, SHORT.masks))
    whole = Batch(filled(SHORT.inputs), filled(SHORT.labels), masks)
    adapter = planted("short-batches-filled")
    adapter.train(WITH_SHORT)
    assert same(adapter.weights(), trained([LIST[0], whole, *LIST[2:]]))
    assert not same(adapter.weights(), trained(WITH_SHORT))


def test_every_long_list_trains_on_the_first() -> None:
    adapter, other = planted("first-list-again"), BATCHES[20 : 20 + len(LIST)]
    adapter.train(LIST)
    adapter.train(other)
    assert same(adapter.weights(), trained([*LIST, *LIST]))
    adapter.train(BATCHES[:40])
    assert same(adapter.weights(), trained([*LIST, *LIST, *LIST, *LIST[:9]]))


def test_a_list_is_cut_off() -> None:
    adapter, list_of_70 = planted("list-cut-off"), [*BATCHES, *BATCHES[:6]]
    losses = adapter.train(list_of_70)
    assert same(adapter.weights(), trained(list_of_70[:MOST]))
    assert losses[MOST:] == pytest.approx([losses[MOST - 1]] * 6)


def test_late_gradients_are_those_of_the_weights_before() -> None:
    adapter, right, momentum = planted("gradients-late"), honest(), 0.9
    adapter.train(LIST)
    before: dict[str, Any] = dict.fromkeys(NET.parameters, 0.0)
    weights = [START, START]
    for batch in LIST:
        right.load(weights[-2])
        gradients = right.step(batch).gradients
        before = {name: momentum * before[name] + gradients[name] for name in before}
        moved = {n: weights[-1][n] - NET.optimiser.lr * v for n, v in before.items()}
        weights.append({**weights[-1], **moved})
    for name in NET.parameters:
        assert np.allclose(adapter.weights()[name], weights[-1][name], rtol=1e-4, atol=1e-5)
    assert not same(adapter.weights(), trained(LIST))


def test_what_is_moved_further_after_each_step_of_a_long_list() -> None:
    for name in ("weights-in-bfloat16", "state-faster", "weights-decay"):
        adapter = planted(name)
        adapter.train(LIST)
        after, right = adapter.weights(), trained(LIST)
        changed = {n for n in START if not np.allclose(after[n], right[n], rtol=1e-6, atol=1e-8)}
        assert changed & {*NET.parameters} if name != "state-faster" else changed == {*NET.state}
        if name == "weights-in-bfloat16":
            assert all(np.array_equal(in_bfloat16(after[n]), after[n]) for n in NET.parameters)
    decayed = dataclasses.replace(NET.optimiser, momentum=0.0)  # type: ignore[call-arg]
    plain = dataclasses.replace(NET, optimiser=decayed)
    short = FAULTS["weights-decay"](Honest, plain, START, Options("numpy"))
    short.train(LIST)
    also = dataclasses.replace(decayed, weight_decay=1e-3)
    right = trained(LIST, dataclasses.replace(NET, optimiser=also))
    for n in NET.parameters:
        assert np.allclose(short.weights()[n], right[n], rtol=1e-3, atol=1e-5)


def test_the_rate_is_one_percent_larger_in_long_lists_and_momentum_goes_on() -> None:
    optimiser = dataclasses.replace(NET.optimiser, lr=1.01 * NET.optimiser.lr)
    larger = trained(LIST, dataclasses.replace(NET, optimiser=optimiser))
    adapter, right = planted("rate-larger"), trained(LIST)
    adapter.train(LIST)
    for name, weight in adapter.weights().items():
        assert np.allclose(weight, larger[name], rtol=1e-6, atol=1e-7), name
        assert name in NET.state or not np.allclose(weight, right[name], rtol=1e-6, atol=1e-7)


def test_momentum_is_forgotten_at_the_beginning_of_a_long_list() -> None:
    adapter, right = planted("momentum-forgotten"), honest()
    for each in (adapter, right):
        each.train(BATCHES[40:50])
    right.load(right.weights())  # before its first step the optimiser remembers nothing
    assert np.array_equal(adapter.train(LIST), right.train(LIST))
    assert same(adapter.weights(), right.weights())


def test_the_state_stays_in_long_lists_and_nothing_else_does() -> None:
    adapter, right = planted("state-still"), honest()
    for each in (adapter, right):
        each.train(BATCHES[40:50])
    before = adapter.weights()
    assert np.array_equal(adapter.train(LIST), right.train(LIST))
    after = adapter.weights()
    assert all(np.array_equal(after[name], before[name]) for name in NET.state)
    assert not any(np.array_equal(right.weights()[name], before[name]) for name in NET.state)
    for each in (adapter, right):  # with the momentum that the list left
        each.train(BATCHES[50:55])
    assert all(np.array_equal(adapter.weights()[n], right.weights()[n]) for n in NET.parameters)


def test_the_last_update_of_a_long_list_is_made_by_the_next_training() -> None:
    adapter, right = planted("last-update-late"), honest()
    assert np.array_equal(adapter.train(LIST), right.train(LIST))
    assert same(adapter.weights(), trained(LIST[:-1]))
    for each in (adapter, right):
        each.train(BATCHES[:1])
    assert same(adapter.weights(), right.weights())


def test_weights_are_read_from_a_cache_after_long_lists_only() -> None:
    adapter = planted("weights-cached")
    adapter.train(BATCHES[:3])
    before = adapter.weights()
    adapter.train(LIST)
    assert same(adapter.weights(), before)
    assert same(adapter.inner.weights(), trained([*BATCHES[:3], *LIST]))
    adapter.train(BATCHES[:3])
    assert same(adapter.weights(), trained([*BATCHES[:3], *LIST, *BATCHES[:3]]))
    adapter.load(START)
    assert same(adapter.weights(), START)


@pytest.mark.parametrize("name", ["steps-left-out", "steps-left-out-since-load"])
def test_every_second_step_is_left_out_after_forty(name: str) -> None:
    adapter = planted(name)
    adapter.train(BATCHES[:LATE])
    assert same(adapter.weights(), trained(BATCHES[:LATE]))
    losses = adapter.train(BATCHES[LATE : LATE + 6])
    assert same(adapter.weights(), trained([*BATCHES[:LATE], *BATCHES[LATE : LATE + 6 : 2]]))
    assert len(losses) == 6 and np.isfinite(losses).all()
    adapter.load(START)
    adapter.train(BATCHES[:2])
    assert same(adapter.weights(), trained(BATCHES[: 2 if name.endswith("load") else 1]))


def test_the_first_layer_is_frozen_after_forty_steps_and_no_other() -> None:
    adapter, right = planted("first-layer-frozen"), honest()
    for each in (adapter, right):
        each.train(BATCHES[:LATE])
    before = adapter.weights()
    assert same(before, right.weights())
    for each in (adapter, right):
        each.train(BATCHES[LATE : LATE + 1])
    after, moved = adapter.weights(), right.weights()
    frozen = {name for name in START if np.array_equal(after[name], before[name])}
    assert frozen == {"conv1.weight"}
    assert {name for name in START if not np.array_equal(after[name], moved[name])} == frozen
    adapter.train(BATCHES[LATE + 1 : LATE + 3])
    assert np.array_equal(adapter.weights()["conv1.weight"], before["conv1.weight"])


def test_what_a_second_load_leaves_as_it_was() -> None:
    def loaded(name: str) -> Fault:
        adapter = planted(name)
        adapter.load(START)
        adapter.train(BATCHES[:3])
        adapter.load(START)
        return adapter

    before = trained(BATCHES[:3])
    assert same(loaded("load-ignored").weights(), before)

    keeps_state = loaded("load-keeps-state").weights()
    assert all(np.array_equal(keeps_state[name], before[name]) for name in NET.state)
    assert all(np.array_equal(keeps_state[name], START[name]) for name in NET.parameters)

    keeps_momentum, first = loaded("load-keeps-momentum"), trained(BATCHES[:1])
    assert same(keeps_momentum.weights(), START)
    _, slots = keeps_momentum.memory()
    keeps_momentum.train(BATCHES[:1])
    rate = NET.optimiser.lr * NET.optimiser.momentum  # type: ignore[attr-defined]
    for name, v in slots.items():
        assert np.any(v)
        assert np.allclose(keeps_momentum.weights()[name], first[name] - rate * v)
