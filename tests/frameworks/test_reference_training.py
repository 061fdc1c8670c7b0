"""The reference's whole steps: gradients of nets, optimisers by hand, state, and runs that repeat."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from frameworks.contract import Memory, Options, Step, Weights
from frameworks.reference.adapter import Reference
from frameworks.reference.arithmetic import Noisy
from tests.frameworks.test_reference import numerical
from workloads import layers as spec
from workloads.batches import Batch
from workloads.init import dropout_masks, start_weights
from workloads.optimisers import (
    Adam,
    AdamW,
    Constant,
    Cosine,
    Optimiser,
    Schedule,
    Sgd,
    Stairs,
)
from workloads.spec import Data, Init, Workload


def net(shape: tuple[int, ...], *layers: spec.Layer, **changes: Any) -> Workload:
    last = layers[-1]
    assert isinstance(last, spec.Dense)
    values = {
        "loss": "cross-entropy",
        "label_smoothing": 0.0,
        "optimiser": Sgd(0.1, momentum=0.9),
        "schedule": Constant(),
    }
    data = Data("synthetic", batch=4, epochs=1)
    return Workload(
        name="net",
        title="net",
        data=data,
        layers=layers,
        init=Init("uniform-fan-in"),
        target_accuracy=0.0,
        input_shape=shape,
        classes=last.units,
        **{**values, **changes},
    )


def conv(filters: int, stride: int = 1) -> spec.Conv2d:
    return spec.Conv2d(filters, kernel=3, stride=stride, padding=1, bias=False)


DENSE = (spec.Dense(7), spec.Sigmoid(), spec.Dense(6), spec.Tanh(), spec.Dense(3))
SHORTCUT = (spec.AvgPool(1, stride=2), spec.PadChannels(4))
NETS = {
    "dense": net((5,), *DENSE, loss="mean-squared-error"),
    "conv": net(
        (3, 12, 9),
        *(spec.Conv2d(6, kernel=3, stride=2, padding=1), spec.Relu(), spec.MaxPool(2, stride=1)),
        *(spec.Conv2d(5, kernel=3, padding=2), spec.AvgPool(3, stride=2)),
        *(spec.Flatten(), spec.Dense(8), spec.Relu(), spec.Dense(4)),
    ),
    "residual": net(
        (2, 5, 4),
        *(conv(3), spec.BatchNorm(), spec.Tanh()),
        spec.Residual((conv(3), spec.BatchNorm(), spec.Relu(), conv(3))),
        spec.Residual((conv(4, stride=2), spec.BatchNorm(), spec.Dropout(0.25)), SHORTCUT),
        *(spec.GlobalAvgPool(), spec.LayerNorm(), spec.Dropout(0.5), spec.Dense(3)),
        label_smoothing=0.1,
    ),
}


def batches(workload: Workload, count: int) -> list[Batch]:
    random, rows = np.random.default_rng(5), workload.data.batch
    return [
        Batch(
            random.standard_normal((rows, *workload.input_shape)).astype(np.float32),
            random.integers(0, workload.classes, rows),
            dropout_masks(workload, step),
        )
        for step in range(count)
    ]


def reference(workload: Workload, **changes: Any) -> Reference:
    return Reference(workload, start_weights(workload), Options("numpy"), **changes)


def same(one: Weights, other: Weights) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in one.keys() | other.keys())


def same_memory(one: Memory, other: Memory) -> bool:
    slots = one.slots.keys() | other.slots.keys()
    return one.steps == other.steps and all(same(one.slots[s], other.slots[s]) for s in slots)


@pytest.mark.parametrize("name", NETS)
def test_a_whole_net_against_finite_differences(name: str) -> None:
    """Of two examples only: the more there are, the likelier is a kink of the loss within H."""
    workload = NETS[name].with_data(batch=2)
    batch = batches(workload, 1)[0]
    adapter = reference(workload)
    weights = adapter.weights()
    gradients = adapter.step(batch).gradients
    assert list(gradients) == list(workload.parameters)

    def loss() -> float:
        adapter.load(weights)
        return adapter.step(batch).loss

    for parameter, gradient in gradients.items():
        numbers = numerical(loss, weights[parameter])
        np.testing.assert_allclose(gradient, numbers, rtol=1e-5, atol=1e-8, err_msg=parameter)


Moved = list[NDArray[np.float64]]


def sgd_by_hand(w: NDArray, gradients: Moved, rates: list[float]) -> Moved:
    """Momentum 0.9 and coupled decay 0.01, written out for three steps."""
    v1 = gradients[0] + 0.01 * w
    w1 = w - rates[0] * v1
    v2 = 0.9 * v1 + gradients[1] + 0.01 * w1
    w2 = w1 - rates[1] * v2
    v3 = 0.9 * v2 + gradients[2] + 0.01 * w2
    return [w1, w2, w2 - rates[2] * v3]


def adam_by_hand(w: NDArray, gradients: Moved, rates: list[float], decoupled: bool) -> Moved:
    """Beta 0.9 and 0.99, epsilon 1e-3, decay 0.01, with the means written out as sums."""
    seen: Moved = []
    moved: Moved = []
    for t, (g, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        seen.append(g if decoupled else g + 0.01 * w)
        m = sum(0.1 * 0.9 ** (t - i) * old for i, old in enumerate(seen, 1))
        s = sum(0.01 * 0.99 ** (t - i) * old**2 for i, old in enumerate(seen, 1))
        shrunk = w * (1 - rate * 0.01) if decoupled else w
        w = shrunk - rate * (m / (1 - 0.9**t)) / (np.sqrt(s / (1 - 0.99**t)) + 1e-3)
        moved.append(w)
    return moved


@pytest.mark.parametrize(
    "optimiser",
    [
        Sgd(0.1, momentum=0.9, weight_decay=0.01),
        Adam(0.1, beta2=0.99, epsilon=1e-3, weight_decay=0.01),
        AdamW(0.1, beta2=0.99, epsilon=1e-3, weight_decay=0.01),
    ],
    ids=lambda optimiser: optimiser.kind,
)
def test_three_steps_by_hand_on_a_schedule(optimiser: Optimiser) -> None:
    """The rates are 0.1, 0.05, 0.025, over a call of one step and one of two."""
    workload = net((5,), *DENSE, optimiser=optimiser, schedule=Stairs(every=1, gamma=0.5))
    given_batches, adapter, told = batches(workload, 3), reference(workload), reference(workload)
    gradients = []
    for batch in given_batches:
        gradients.append(told.step(batch).gradients)
        told.train([batch])
    adapter.train(given_batches[:1])
    moved = [adapter.weights()]
    adapter.train(given_batches[1:])
    moved.append(adapter.weights())
    rates = [0.1, 0.05, 0.025]
    for name, w in start_weights(workload).items():
        gs = [g[name] for g in gradients]
        if isinstance(optimiser, Sgd):
            first, _, last = sgd_by_hand(w.astype(np.float64), gs, rates)
        else:
            decoupled = isinstance(optimiser, AdamW)
            first, _, last = adam_by_hand(w.astype(np.float64), gs, rates, decoupled)
        np.testing.assert_allclose(moved[0][name], first, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(moved[1][name], last, rtol=1e-12, atol=1e-14)


def test_train_moves_the_state_once_and_step_leaves_everything() -> None:
    workload, adapter = NETS["residual"], reference(NETS["residual"])
    start, batch = adapter.weights(), batches(NETS["residual"], 1)[0]
    assert list(start) == [*workload.parameters, *workload.state]
    adapter.step(batch)
    assert same(adapter.weights(), start)
    for other in (adapter, reference(workload)):  # an earlier step() has no part in it
        other.train([batch])
    assert same(adapter.weights(), other.weights())
    # The first norm's input is the first convolution's output, which the start weights tell.
    x = np.pad(batch.inputs.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))
    y = np.einsum("nchwij,fcij->fnhw", windows, start["conv1.weight"]).reshape(3, -1)
    moved = adapter.weights()
    np.testing.assert_allclose(moved["norm1.mean"], 0.1 * y.mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(moved["norm1.variance"], 0.9 + 0.1 * y.var(axis=1, ddof=1))


def test_predict_takes_the_state_and_no_masks() -> None:
    workload, adapter = NETS["residual"], reference(NETS["residual"])
    one, two = batches(workload, 2)
    before = adapter.predict([one.inputs, two.inputs])
    alone = adapter.predict([one.inputs[:1]])  # not the batch's statistics
    np.testing.assert_allclose(before[:1], alone, rtol=1e-12)
    weights = adapter.weights()
    weights["norm1.mean"] += 1
    adapter.load(weights)
    assert not np.allclose(adapter.predict([one.inputs, two.inputs]), before)


def test_masks_go_to_the_dropout_layers_in_order() -> None:
    layers = (spec.Dropout(0.5), spec.Dense(2), spec.Dropout(0.5), spec.Dense(2))
    workload = net((3,), *layers)
    batch = batches(workload, 1)[0]
    assert [mask.shape for mask in batch.masks] == [(4, 3), (4, 2)]
    w = start_weights(workload)
    x = batch.inputs * batch.masks[0] * 2 @ w["dense1.weight"].T + w["dense1.bias"]
    y = x * batch.masks[1] * 2 @ w["dense2.weight"].T + w["dense2.bias"]
    np.testing.assert_allclose(reference(workload).step(batch).logits, y, rtol=1e-4, atol=1e-6)


def test_a_batch_without_its_masks_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        reference(NETS["residual"]).step(batches(NETS["residual"], 1)[0]._replace(masks=()))


@pytest.mark.parametrize("optimiser", [Sgd(0.1, momentum=0.9), Adam(0.1)])
@given(before=st.integers(0, 3), seed=st.integers(0, 9))
@settings(max_examples=10, deadline=None)
def test_load_makes_a_run_repeat_bit_for_bit(optimiser: Optimiser, before: int, seed: int) -> None:
    schedule = Stairs(every=2, warmup=1)
    workload = net(
        NETS["residual"].input_shape,
        *NETS["residual"].layers,
        optimiser=optimiser,
        schedule=schedule,
    ).with_data(seed=seed)
    steps, fresh, used = batches(workload, 3), reference(workload), reference(workload)
    used.train(steps[:before])
    used.load(start_weights(workload))
    assert np.array_equal(used.train(steps), fresh.train(steps))
    assert same(used.weights(), fresh.weights())


OPTIMISERS = [
    Sgd(0.1),
    Sgd(0.1, momentum=0.9, weight_decay=0.01),
    Adam(0.1, weight_decay=0.01),
    AdamW(0.1, weight_decay=0.01),
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
@given(before=st.integers(0, 4), schedule=st.sampled_from([Constant(), Cosine(2, warmup=1)]))
@settings(max_examples=10, deadline=None)
def test_restore_takes_a_run_up_bit_for_bit(
    optimiser: Optimiser, dtype: type, before: int, schedule: Schedule
) -> None:
    layers = NETS["residual"].layers
    workload = net((2, 5, 4), *layers, optimiser=optimiser, schedule=schedule)
    steps = batches(workload, 5)
    whole, resumed = reference(workload, dtype=dtype), reference(workload, dtype=dtype)
    if before:
        whole.train(steps[:before])
    weights, memory = whole.weights(), whole.memory()
    assert memory.steps == before
    losses = whole.train(steps[before:])
    resumed.load(weights)
    resumed.restore(memory)
    assert same_memory(resumed.memory(), memory)
    assert np.array_equal(resumed.train(steps[before:]), losses)
    assert same(resumed.weights(), whole.weights())
    assert same_memory(resumed.memory(), whole.memory())


def test_the_memory_is_what_the_formulas_keep() -> None:
    """After one step from zeros, of a gradient with the coupled weight decay in it."""
    for optimiser in OPTIMISERS:
        workload = net((5,), *DENSE, optimiser=optimiser)
        adapter, batch = reference(workload), batches(workload, 1)[0]
        start, gradients = adapter.weights(), adapter.step(batch).gradients
        zeros = adapter.memory()
        adapter.train([batch])
        memory = adapter.memory()
        assert tuple(zeros.slots) == tuple(memory.slots) == optimiser.slots
        for name, shape in workload.parameters.items():
            decay = 0.0 if isinstance(optimiser, AdamW) else optimiser.weight_decay
            g = gradients[name] + decay * start[name]
            after_one = {"v": g, "m": 0.1 * g, "s": 0.001 * g**2}
            for slot in optimiser.slots:
                assert np.array_equal(zeros.slots[slot][name], np.zeros(shape))
                np.testing.assert_allclose(memory.slots[slot][name], after_one[slot], rtol=1e-12)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("optimiser", [Sgd(0.1, weight_decay=0.1), Adam(0.1), AdamW(0.1)])
def test_float32_stays_float32(name: str, optimiser: Optimiser) -> None:
    layers = NETS[name].layers
    workload = net(NETS[name].input_shape, *layers, optimiser=optimiser, loss=NETS[name].loss)
    adapter = reference(workload, dtype=np.float32)
    steps = batches(workload, 2)
    step = adapter.step(steps[0])
    adapter.train(steps)
    arrays = [step.logits, *step.gradients.values(), *adapter.weights().values()]
    optimisers = [v for v in vars(adapter._update).values() if isinstance(v, np.generic)]
    memory = [a for v in vars(adapter._update).values() if isinstance(v, dict) for a in v.values()]
    assert len(optimisers) >= 1  # momentum, or what else it has
    everything = [*arrays, *optimisers, *memory, adapter.predict([steps[0].inputs])]
    assert {array.dtype for array in everything} == {np.dtype(np.float32)}


def test_ties_move_gradients_and_the_loss_by_no_more_than_their_reach() -> None:
    workload = NETS["conv"]
    batch = batches(workload, 1)[0]

    def step(side: int, reach: float) -> Step:
        adapter = reference(workload)
        for function in adapter.kinked.values():
            function.side, function.reach = side, reach
        return adapter.step(batch)

    plain, up, down = step(0, 0.3), step(1, 0.3), step(-1, 0.3)
    assert same(plain.gradients, reference(workload).step(batch).gradients)
    for moved in (up, down):
        assert not same(moved.gradients, plain.gradients)
    assert not same(up.gradients, down.gradients)
    # Up, fewer gradients pass and nothing else changes; down, some zeros are handed on as a little more.
    assert (up.loss, up.logits.tolist()) == (plain.loss, plain.logits.tolist())
    assert down.loss != plain.loss
    for moved in (step(1, 1e-7), step(-1, 1e-7)):
        assert moved.loss == pytest.approx(plain.loss, rel=1e-6)


def test_noise_is_of_the_size_of_rounding_and_another_each_time() -> None:
    for name, workload in NETS.items():
        random, steps = np.random.default_rng(3), batches(workload, 1)
        exact = reference(workload).step(steps[0])
        noisy = reference(workload, arithmetic=Noisy(random))
        first, second = noisy.step(steps[0]), noisy.step(steps[0])
        assert first.loss != exact.loss != second.loss != first.loss, name
        assert first.loss == pytest.approx(exact.loss, rel=1e-4)
        for key, gradient in exact.gradients.items():
            error = np.linalg.norm(first.gradients[key] - gradient)
            assert 0 < error < 1e-2 * max(1, np.linalg.norm(gradient)), (name, key)


def test_what_it_hands_out_is_a_copy() -> None:
    start = start_weights(NETS["residual"])
    adapter = reference(NETS["residual"])
    for weight in adapter.weights().values():
        weight[:] = 7
    assert same(adapter.weights(), start)
    memory = adapter.memory()
    for slot in memory.slots["v"].values():
        slot[:] = 7
    assert not any(slot.any() for slot in adapter.memory().slots["v"].values())
    adapter.restore(memory)
    adapter.train(batches(NETS["residual"], 1))
    assert all((slot == 7).all() for slot in memory.slots["v"].values())
    assert same(start, start_weights(NETS["residual"]))  # nor does it write to what it was given
