"""A workload's model as one pure function over dicts of arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from frameworks.contract import Options, unsupported
from frameworks.jax.layers import FUNCTIONS, batch_norm, batch_norm_of_batch, dropout
from frameworks.jax.recurrent import RECURRENT, compiled
from frameworks.jax.transformer import attention
from frameworks.jax.windows import depthwise_of_slices, is_depthwise, max_pool_of_slices
from workloads import layers as spec
from workloads.layers.blocks import CONCAT
from workloads.spec import Placed, Workload

Pytree = dict[str, Array]
Masks = tuple[Array, ...]


@dataclass
class Pass:
    """One way through the model: what its layers read, and the state that they move."""

    weights: Pytree
    state: Pytree
    masks: Iterator[Array] | None  # None in inference
    moved: Pytree = field(default_factory=dict)


Bound = Callable[[Pass, Array], Array]


@dataclass(frozen=True)
class Way:
    """How layers are bound: eager or jit, whether products are bfloat16's, and whether on a CPU."""

    mode: str
    mixed: bool
    cpu: bool


def bind(workload: Workload, options: Options) -> Callable[..., tuple[Array, Pytree]]:
    """Return the model: (weights, state, x, masks) to (logits, the state moved).

    x is canonical, inside images are NHWC; logits are float32. With `masks` (perhaps none) as in
    training, with None as in inference.
    """
    mixed = options.precision == "bfloat16"
    layers = _chain(workload.model, Way(options.mode, mixed, options.device == "cpu"))

    def model(
        weights: Pytree, state: Pytree, x: Array, masks: Masks | None
    ) -> tuple[Array, Pytree]:
        if x.ndim == 4:
            x = jnp.transpose(x, (0, 2, 3, 1))
        run = Pass(weights, state, None if masks is None else iter(masks))
        logits = layers(run, x)
        return (logits.astype(jnp.float32) if mixed else logits), run.moved

    return model


def _chain(places: Sequence[Placed], way: Way) -> Bound:
    bound = [_bind(place, way) for place in places]

    def layers(run: Pass, x: Array) -> Array:
        for layer in bound:
            x = layer(run, x)
        return x

    return layers


def _bind(place: Placed, way: Way) -> Bound:
    """Return a layer as a function of the pass and its input; names are looked up once, here."""
    layer: Any = place.layer
    kind = type(layer)
    if kind in (spec.Residual, spec.Branches):
        return _bind_block(layer, [_chain(chain, way) for chain in place.chains])
    if kind is spec.BatchNorm:
        return _bind_batch_norm(place.name, layer, way.mixed)
    if kind is spec.Dropout:
        return lambda run, x: x if run.masks is None else dropout(layer, x, next(run.masks))
    if kind is spec.Attention:
        return _bind_attention(place, layer, way.mixed)
    function = FUNCTIONS.get(kind) or unsupported("jax", layer)
    if kind is spec.MaxPool and way.mode == "jit" and layer.size <= 3:
        function = max_pool_of_slices
    if way.cpu and way.mode == "jit" and not way.mixed and is_depthwise(layer):
        function = depthwise_of_slices
    if kind in RECURRENT and way.mode == "jit":
        function = compiled(kind)
    names = [f"{place.name}.{short}" for short in layer.parameters(place.input)]
    if way.mixed and kind in (spec.Dense, spec.Conv1d, spec.Conv2d, spec.Lstm, spec.Gru):
        function = _in_bfloat16(function)
    if way.mixed and kind in (spec.LayerNorm, spec.GroupNorm, spec.RmsNorm):
        function = _in_float32(function)
    return lambda run, x: function(layer, x, *[run.weights[name] for name in names])


def _bind_block(layer: spec.Residual | spec.Branches, chains: Sequence[Bound]) -> Bound:
    """Return the sum of all chains' outputs, or these side by side: channels and features are last."""
    if isinstance(layer, spec.Branches) and layer.join == CONCAT:
        return lambda run, x: jnp.concatenate([chain(run, x) for chain in chains], axis=-1)
    return lambda run, x: reduce(add, [chain(run, x) for chain in chains])


def _in_bfloat16(function: Callable[..., Array]) -> Callable[..., Array]:
    """Return a product with its operands, and so its result, in bfloat16; weights stay float32."""

    def mixed(layer: spec.Layer, *operands: Array) -> Array:
        return function(layer, *(operand.astype(jnp.bfloat16) for operand in operands))

    return mixed


def _in_float32(function: Callable[..., Array]) -> Callable[..., Array]:
    """Return a norm that takes and gives x's dtype and computes in float32."""

    def norm(layer: spec.Layer, x: Array, *weights: Array) -> Array:
        return function(layer, x.astype(jnp.float32), *weights).astype(x.dtype)

    return norm


def _bind_attention(place: Placed, layer: spec.Attention, mixed: bool) -> Bound:
    names = {short: f"{place.name}.{short}" for short in layer.parameters(place.input)}

    def attend(run: Pass, x: Array) -> Array:
        mask = next(run.masks) if layer.dropout and run.masks is not None else None
        weights = {short: run.weights[name] for short, name in names.items()}
        if mixed:
            x, weights = jax.tree.map(lambda array: array.astype(jnp.bfloat16), (x, weights))
        return attention(layer, x, mask, **weights)

    return attend


def _bind_batch_norm(name: str, layer: spec.BatchNorm, mixed: bool) -> Bound:
    weight, bias, mean, variance = (
        f"{name}.{short}" for short in ("weight", "bias", "mean", "variance")
    )

    def norm(run: Pass, inputs: Array) -> Array:
        x = inputs.astype(jnp.float32) if mixed else inputs
        weights, state = (
            (run.weights[weight], run.weights[bias]),
            (run.state[mean], run.state[variance]),
        )
        if run.masks is None:
            y = batch_norm(layer, x, *weights, state)
            return y.astype(inputs.dtype) if mixed else y
        y, (run.moved[mean], run.moved[variance]) = batch_norm_of_batch(layer, x, *weights, state)
        return y.astype(inputs.dtype) if mixed else y

    return norm
