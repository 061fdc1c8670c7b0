"""Hypothesis strategies for whole workloads, and a way to draw the same ones again by their numbers."""

from __future__ import annotations

import dataclasses
from functools import cache

from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from benchmarks.parity.draws import log_uniform, weighted
from benchmarks.parity.layers import FLAT, chains, norm_fits, shape_after
from benchmarks.parity.transformers import on_patches, on_tokens
from workloads import cost, datasets, spec
from workloads.datasets import Dataset
from workloads.initialisers import INITIALISERS, Init, Initialiser
from workloads.layers import (
    BatchNorm,
    Conv2d,
    Dense,
    Flatten,
    GlobalAvgPool,
    Layer,
    LayerNorm,
    Relu,
    Sigmoid,
    Tanh,
)
from workloads.optimisers import (
    Adam,
    AdamW,
    Constant,
    Cosine,
    Optimiser,
    RmsProp,
    Schedule,
    Sgd,
    Stairs,
)
from workloads.spec import Data, Workload

LONGEST = 8
"""The most layers before those that lead to the classes."""

MOST_FLOP = 60e6
"""The most operations of a training step: the reference then takes 20 ms at most."""

MOST_BYTES = 16e6
"""The most float32 memory of a training step."""

LARGEST_COLOUR_BATCH, LARGEST_TEXT_BATCH = 8, 4


@st.composite
def workloads(draw: DrawFn) -> Workload:
    """Draw a valid workload from the whole vocabulary; usual layers and settings come more often."""
    dataset = draw(weighted({"digits": 16, "xor": 3, "cifar10": 1, "text": 3}))
    described = datasets.describe(dataset)
    data = draw(_data(dataset))
    classes = len(described.classes)
    layers = draw(_model(described, data.batch))
    loss = "cross-entropy"
    if not described.label_shape:
        loss = draw(weighted({"cross-entropy": 3, "mean-squared-error": 1}))
    smoothing = weighted({0.0: 4, 0.05: 1, 0.1: 2, 0.3: 1})
    drawn = Workload(
        name="drawn",
        title="drawn at random",
        data=data,
        layers=layers,
        init=draw(_inits(layers)),
        loss=loss,
        label_smoothing=draw(smoothing) if loss == "cross-entropy" else 0.0,
        optimiser=draw(_optimisers()),
        schedule=draw(_schedules()),
        target_accuracy=0.0,
        input_shape=tuple(described.shape),
        classes=classes,
        tokens=described.tokens,
        label_shape=tuple(described.label_shape),
    )
    workload = spec.from_dict(drawn.to_dict(), "a drawn workload")
    assume(cost.training_flop(workload) * data.batch <= MOST_FLOP)
    assume(cost.training_bytes(workload) <= MOST_BYTES)
    return workload


def draw_net(seed_of_all: int, number: int) -> Workload:
    """Return the net of that number: the same one whichever others are drawn.

    It depends on the release of hypothesis; the workload itself, written to a file, does not.
    """
    drawn: list[Workload] = []

    # The first example is always the simplest one, the second is random.
    @seed(seed_of_all * 1_000_000 + number)
    @settings(
        database=None,
        deadline=None,
        max_examples=2,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(workloads())
    def collect(workload: Workload) -> None:
        drawn.append(workload)

    collect()
    title = f"net {number} of seed {seed_of_all}"
    return dataclasses.replace(drawn[-1], name=f"net-{number}", title=title)


@st.composite
def _data(draw: DrawFn, dataset: str) -> Data:
    """Draw batch, seed and range of the inputs: mostly around 0, sometimes raw or far from 0."""
    described = datasets.describe(dataset)
    top, channels = float(described.top), described.shape[0]
    batch = draw(
        weighted(
            {16: 4, 1: 1, 2: 1, 3: 2, 4: 2, 5: 1, 7: 2, 8: 3, 13: 1, 31: 1, 32: 4, 50: 1, 64: 3}
        )
    )
    if described.tokens:
        batch = min(batch, LARGEST_TEXT_BATCH)
        return Data(dataset, batch, 1, draw(st.integers(0, 99)))
    scale, mean, std = draw(
        weighted(
            {
                (top, (0.5,), (0.5,)): 9,
                (top, (0.0,), (1.0,)): 2,
                (1.0, (0.0,), (1.0,)): 1,
                (top, (-100.0,), (1.0,)): 1,
                (top, (0.5,), (0.01,)): 1,
                (top, (0.5,), (10.0,)): 1,
                (top, (0.5, 0.4, 0.3)[:channels], (0.2, 0.3, 0.25)[:channels]): channels,
            }
        )
    )
    if channels == 3:
        batch = min(batch, LARGEST_COLOUR_BATCH)
    single = (
        datasets.describe(dataset).train % batch == 1
    )  # over which no batch norm can be trained
    last = draw(weighted({"drop": 4, "wrap": 1} | ({} if single else {"keep": 3})))
    return Data(dataset, batch, 1, draw(st.integers(0, 99)), scale, mean, std, last=last)


@st.composite
def _model(draw: DrawFn, described: Dataset, batch: int) -> tuple[Layer, ...]:
    """Draw layers from inputs to logits."""
    shape, classes = tuple(described.shape), len(described.classes)
    if described.tokens:
        return draw(on_tokens(described.tokens, classes))
    if len(shape) == 3 and draw(weighted({False: 7, True: 1})):
        return draw(on_patches(shape, classes))
    layers = draw(chains(shape, batch, 0, LONGEST))
    shape = shape_after(layers, shape)
    dense = Dense(classes)
    if len(shape) == 3:
        layers += draw(
            weighted(
                {
                    (Flatten(), dense): 3,
                    (GlobalAvgPool(), dense): 2,
                    (Conv2d(classes, 1), GlobalAvgPool()): 1,
                }
            )
        )
    elif len(shape) == 2:
        layers += (*draw(st.sampled_from([*FLAT[2], (Flatten(),)])), dense)
    else:
        layers += (dense,)
    last: dict[tuple[Layer, ...], int] = {
        (): 24,
        (Sigmoid(),): 3,
        (Tanh(),): 1,
        (Relu(),): 1,
        (LayerNorm(),): 1,
    }
    if norm_fits((classes,), batch):
        last |= {(BatchNorm(),): 1}
    return layers + draw(weighted(last))


KINDS = tuple(kind for kind in INITIALISERS if kind != "constant")


@st.composite
def _initialisers(draw: DrawFn, kinds: tuple[str, ...] = KINDS) -> Initialiser:
    """Draw an initialiser. Weights that are all the same learn the same: only biases are constant."""
    kind = draw(st.sampled_from(kinds))
    stds = weighted({0.01: 2, 0.001: 1, 0.05: 2, 0.1: 2, 0.5: 1, 1.0: 1})
    gain = draw(weighted({1.0: 2, 1.414: 1})) if kind == "orthogonal" else 1.0
    value = draw(weighted({0.0: 1, 0.1: 2, -1.0: 1})) if kind == "constant" else 0.0
    std = draw(stds) if kind in ("gaussian", "truncated") else 0.01
    return Initialiser(kind, std, gain, value)


@st.composite
def _inits(draw: DrawFn, layers: tuple[Layer, ...]) -> Init:
    """Draw how a model begins: mostly by one initialiser, sometimes biases or a layer by another."""
    every = draw(_initialisers())
    biases = _initialisers(("uniform-fan-in", "gaussian", "truncated", "constant"))
    bias = draw(biases) if draw(st.integers(0, 3)) == 3 else None
    groups = [layer.group for layer in layers if isinstance(layer, Dense | Conv2d)]
    names = sorted({f"{group}{groups.count(group)}" for group in groups})
    overrides = None
    if names and draw(st.integers(0, 3)) == 3:
        overrides = {draw(st.sampled_from(names)): draw(_initialisers())}
    return Init(every.kind, every.std, every.gain, every.value, bias, overrides)


@cache
def _optimisers() -> SearchStrategy[Optimiser]:
    plain = st.builds(
        Sgd,
        lr=log_uniform(1e-3, 0.3),
        momentum=weighted({0.0: 4, 0.5: 1, 0.9: 6, 0.99: 1}),
        weight_decay=weighted({0.0: 5, 1e-4: 2, 5e-4: 2, 1e-2: 1}),
    )
    nesterov = st.builds(
        Sgd,
        lr=log_uniform(1e-3, 0.1),
        momentum=weighted({0.5: 1, 0.9: 4}),
        nesterov=st.just(True),
        weight_decay=weighted({0.0: 3, 5e-4: 2, 1e-2: 1}),
    )
    rmsprop = st.builds(
        RmsProp,
        lr=log_uniform(1e-4, 0.01),
        rho=weighted({0.9: 3, 0.99: 2, 0.5: 1}),
        momentum=weighted({0.0: 3, 0.9: 1}),
        epsilon=weighted({1e-8: 4, 1e-5: 1, 1e-3: 1}),
        weight_decay=weighted({0.0: 3, 1e-4: 1, 1e-2: 1}),
    )
    adaptive = [
        st.builds(
            kind,
            lr=log_uniform(1e-4, 0.03),
            beta1=weighted({0.9: 7, 0.0: 1, 0.5: 1, 0.8: 1, 0.95: 1}),
            beta2=weighted({0.999: 7, 0.9: 1, 0.95: 1, 0.99: 2}),
            epsilon=weighted({1e-8: 7, 1e-7: 1, 1e-5: 1, 1e-3: 1}),
            weight_decay=weighted({0.0: 4, 1e-4: 1, 1e-2: 3, 0.1: 1}),
        )
        for kind in (Adam, AdamW)
    ]
    return _around(st.one_of(plain, nesterov, rmsprop, *adaptive))


@st.composite
def _around(draw: DrawFn, formulas: SearchStrategy[Optimiser]) -> Optimiser:
    """Draw an optimiser with what may stand around its formula."""
    optimiser = draw(formulas)
    norm, value = ({"clip_norm": limit} for limit in (0.1, 1.0)), {"clip_value": 0.01}
    around: dict[str, object] = {
        "accumulate": draw(weighted({1: 8, 2: 2, 3: 1})),
        "average": draw(weighted({0.0: 6, 0.9: 1, 0.999: 1})),
    }
    around |= draw(st.sampled_from([{}, {}, {}, *norm, value]))
    if optimiser.weight_decay:
        around["decay"] = draw(weighted({"all": 1, "kernels": 1}))
    return dataclasses.replace(optimiser, **around)  # type: ignore[arg-type]


@cache
def _schedules() -> SearchStrategy[Schedule]:
    warmup = weighted({0: 6, 1: 1, 2: 1, 5: 2, 10: 1})
    constant = st.builds(Constant, warmup=warmup)
    stairs = st.builds(
        Stairs,
        every=st.integers(1, 10),
        gamma=weighted({0.1: 3, 0.5: 2, 0.9: 1}),
        warmup=warmup,
    )
    cosine = st.builds(Cosine, steps=st.integers(1, 40), warmup=warmup)
    return st.one_of(constant, constant, stairs, cosine)
