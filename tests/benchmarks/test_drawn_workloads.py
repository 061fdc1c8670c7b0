"""Drawn workloads are valid, small, and reach the whole vocabulary."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest
from hypothesis import find, given, settings

from benchmarks.parity.cases import as_toml
from benchmarks.parity.layers import chains, shape_after
from benchmarks.parity.workloads import MOST_FLOP, draw_net, workloads
from frameworks.contract import Options
from frameworks.reference.adapter import Reference
from workloads import cost, layers, optimisers, spec
from workloads.batches import Batch
from workloads.init import dropout_masks, start_weights
from workloads.initialisers import INITIALISERS
from workloads.layers import (
    Attention,
    AvgPool,
    BatchNorm,
    Branches,
    Conv2d,
    Dense,
    Dropout,
    Pool,
    Residual,
)
from workloads.spec import Placed, Workload

DRAWS = 200
"""So many nets reach everything."""


@given(workloads())
def test_a_drawn_workload_survives_tables_json_and_toml(workload: Workload) -> None:
    assert spec.from_dict(workload.to_dict(), "tables") == workload
    assert spec.from_dict(json.loads(json.dumps(workload.to_dict())), "JSON") == workload
    file = {"name": workload.name, **tomllib.loads(as_toml(workload))}
    assert spec.from_dict(file, "TOML") == workload


@given(workloads())
def test_no_batch_norm_of_a_drawn_workload_is_over_a_single_value(workload: Workload) -> None:
    norms = [place for place in workload.leaves if isinstance(place.layer, BatchNorm)]
    values = [workload.data.batch * math.prod(place.input[1:]) for place in norms]
    assert all(count > 1 for count in values)


@settings(max_examples=50, deadline=2000)
@given(workloads())
def test_the_reference_takes_a_step_of_a_drawn_workload(workload: Workload) -> None:
    batch, random = workload.data.batch, np.random.default_rng(0)
    inputs = random.standard_normal((batch, *workload.input_shape), dtype=np.float32)
    if workload.tokens:
        inputs = random.integers(0, workload.tokens, inputs.shape).astype(np.float32)
    labels = random.integers(0, workload.classes, (batch, *workload.label_shape))
    reference = Reference(workload, start_weights(workload), Options("numpy"))
    step = reference.step(Batch(inputs, labels, dropout_masks(workload, 0)))
    assert step.logits.shape == (*labels.shape, workload.classes)
    assert math.isfinite(step.loss)
    assert cost.training_flop(workload) * batch <= MOST_FLOP


@given(chains((3, 7, 7), 4, 1, 8))
def test_a_drawn_chain_fits_its_input(chain: tuple[layers.Layer, ...]) -> None:
    assert all(side >= 1 for side in shape_after(chain, (3, 7, 7)))


def test_a_net_is_the_same_whichever_others_are_drawn() -> None:
    before = draw_net(0, 3)
    others = [draw_net(0, 1), draw_net(1, 3)]
    assert draw_net(0, 3) == before
    assert before.to_dict()["layers"] not in [other.to_dict()["layers"] for other in others]


def test_every_kind_is_drawn() -> None:
    tables = [layer for net in nets() for layer in flat(net.to_dict()["layers"])]
    assert {table["kind"] for table in tables} == set(layers.KINDS)
    assert {net.optimiser.kind for net in nets()} == set(optimisers.OPTIMISERS)
    assert {net.schedule.kind for net in nets()} == set(optimisers.SCHEDULES)
    drawn = [net.init for net in nets()] + [net.init.bias for net in nets() if net.init.bias]
    assert {initialiser.kind for initialiser in drawn} == set(INITIALISERS)
    assert {net.loss for net in nets()} == set(spec.LOSSES)


def test_every_size_of_a_convolution_is_drawn() -> None:
    convolutions = [place.layer for place in places() if isinstance(place.layer, Conv2d)]
    assert {layer.kernel for layer in convolutions} == {1, 2, 3, 4, 5}
    assert {layer.stride for layer in convolutions} >= {1, 2, 3}
    assert {layer.padding for layer in convolutions} >= {0, 1, 2, "same"}
    assert {layer.bias for layer in convolutions} == {False, True}
    assert {layer.dilation for layer in convolutions} == {1, 2, 3}


def test_convolutions_of_sequences_are_drawn() -> None:
    def has_causal_convolution(chain: tuple[layers.Layer, ...]) -> bool:
        return any(isinstance(x, layers.Conv1d) and x.padding == "causal" for x in chain)

    assert has_causal_convolution(find(chains((9, 4), 4, 1, 6), has_causal_convolution))


@given(chains((9, 4), 4, 1, 8))
def test_a_drawn_chain_fits_a_sequence(chain: tuple[layers.Layer, ...]) -> None:
    assert len(shape_after(chain, (9, 4))) in (1, 2)


NETS: dict[str, Callable[[Workload], bool]] = {
    "an identity": lambda net: any(block.shortcut == () for block in blocks(net)),
    "branches side by side": lambda net: any(
        isinstance(layer, Branches) and layer.join == "concat" for layer in net.layers
    ),
    "branches added up": lambda net: any(
        isinstance(layer, Branches) and layer.join == "add" for layer in net.layers
    ),
    "a shortcut": lambda net: any(block.shortcut for block in blocks(net)),
    "a block in a block": lambda net: any(
        isinstance(inner, Residual) for block in blocks(net) for inner in block.body
    ),
    "a bias before a norm": lambda net: any(
        isinstance(second, BatchNorm) and getattr(first, "bias", isinstance(first, Dense))
        for first, second in zip(net.layers, net.layers[1:], strict=False)
    ),
    "momentum": lambda net: getattr(net.optimiser, "momentum", 0) > 0,
    "no momentum": lambda net: getattr(net.optimiser, "momentum", None) == 0,
    "weight decay": lambda net: net.optimiser.weight_decay > 0,
    "decay of kernels": lambda net: net.optimiser.decay == "kernels",
    "Nesterov": lambda net: getattr(net.optimiser, "nesterov", False),
    "clipping by norm": lambda net: net.optimiser.clip_norm > 0,
    "clipping by value": lambda net: net.optimiser.clip_value > 0,
    "accumulation": lambda net: net.optimiser.accumulate > 1,
    "averages": lambda net: net.optimiser.average > 0,
    "a layer of another start": lambda net: bool(net.init.layers),
    "a warm-up": lambda net: net.schedule.warmup > 0,
    "label smoothing": lambda net: net.label_smoothing > 0,
    "a batch of one": lambda net: net.data.batch == 1,
    "a short batch that is kept": lambda net: net.data.last == "keep" and net.data.batch > 1,
    "batches that are filled up": lambda net: net.data.last == "wrap",
    "colours": lambda net: net.input_shape[0] == 3,
    "tokens": lambda net: net.tokens > 0,
    "a recurrent layer on tokens": lambda net: (
        net.tokens > 0 and any(isinstance(layer, layers.Recurrent) for layer in net.layers)
    ),
    "a convolution of tokens": lambda net: (
        net.tokens > 0 and any(isinstance(layer, layers.Conv1d) for layer in net.layers)
    ),
    "inputs far from 0": lambda net: net.data.mean == (-100.0,),
}

PLACES: dict[str, Callable[[Placed], bool]] = {
    "a batch norm on vectors": lambda place: (
        isinstance(place.layer, BatchNorm) and len(place.input) == 1
    ),
    "overlapping windows": lambda place: (
        isinstance(place.layer, Pool) and place.layer.step < place.layer.size
    ),
    "windows of one": lambda place: isinstance(place.layer, Pool) and place.layer.size == 1,
    "skipped pixels": lambda place: (
        isinstance(place.layer, Pool) and place.layer.step > place.layer.size
    ),
    "padding that differs from side to side": lambda place: isinstance(
        getattr(place.layer, "padding", 0), tuple
    ),
    "a padded pool": lambda place: isinstance(place.layer, Pool) and place.layer.padding != 0,
    "windows that are not whole": lambda place: (
        isinstance(place.layer, Pool) and any(w.beyond for w in place.layer.windows(place.input))
    ),
    "an average that counts its padding": lambda place: (
        isinstance(place.layer, AvgPool) and place.layer.count_padding and place.layer.padding != 0
    ),
    "an average of windows that are not whole, which counts its padding": lambda place: (
        isinstance(place.layer, AvgPool)
        and (place.layer.ceil and place.layer.count_padding and place.layer.padding != 0)
    ),
    "groups": lambda place: isinstance(place.layer, Conv2d) and place.layer.groups > 1,
    "a depthwise convolution": lambda place: (
        isinstance(place.layer, Conv2d) and 1 < place.layer.groups == place.input[0]
    ),
    "dropout": lambda place: isinstance(place.layer, Dropout) and place.layer.rate > 0,
    "causal attention": lambda place: getattr(place.layer, "causal", False),
    "attention of images": lambda place: (
        isinstance(place.layer, Attention) and not place.layer.causal
    ),
    "dropout of attention": lambda place: (
        isinstance(place.layer, Attention) and place.layer.dropout > 0
    ),
}


@pytest.mark.parametrize("case", NETS)
def test_some_net_has(case: str) -> None:
    assert any(map(NETS[case], nets()))


@pytest.mark.parametrize("case", PLACES)
def test_some_net_has_a_layer_with(case: str) -> None:
    assert any(map(PLACES[case], places()))


@cache
def nets() -> list[Workload]:
    return [draw_net(0, number) for number in range(DRAWS)]


def places() -> list[Placed]:
    return [place for net in nets() for place in net.leaves]


def blocks(net: Workload) -> list[Residual]:
    return [layer for layer in net.layers if isinstance(layer, Residual)]


def flat(tables: list[dict]) -> Iterator[dict]:
    """Layers and those in their branches."""
    for table in tables:
        yield table
        yield from flat([*table.get("body", ()), *table.get("shortcut", ())])
        for branch in table.get("branches", ()):
            yield from flat(branch)
