"""LSTM and GRU as scans over the steps.

A scan outside jit is compiled anew in every step that differentiates it: eager mode takes each step by
itself, in a Python loop.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
from jax import Array, lax
from jax.nn import sigmoid

from frameworks.jax.biases import add_bias
from workloads import layers as spec

Scan = Callable[..., tuple[Any, Array]]


def loop(step: Callable, state: Any, xs: Array, reverse: bool) -> tuple[Any, Array]:
    """Do what lax.scan does, step by step."""
    outputs = []
    for x in reversed(xs) if reverse else xs:
        state, y = step(state, x)
        outputs.append(y)
    return state, jnp.stack(outputs[::-1] if reverse else outputs)


def lstm(scan: Scan, units: int, reverse: bool, x: Array, *weights: Array) -> Array:
    """Return h of each step; the state is float32, whatever the products."""
    weight_x, weight_h, bias = weights

    def step(state: tuple[Array, Array], from_x: Array) -> tuple[tuple[Array, Array], Array]:
        h, c = state
        z = (from_x + h.astype(weight_h.dtype) @ weight_h).astype(c.dtype)
        i, f, g, o = jnp.split(z, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
        h = sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zeros = jnp.zeros((len(x), units), jnp.float32)
    return _outputs(scan, step, (zeros, zeros), add_bias(x @ weight_x, bias), reverse)


def gru(scan: Scan, units: int, reverse: bool, x: Array, *weights: Array) -> Array:
    """Return h of each step; the state is float32, whatever the products."""
    weight_x, weight_h, bias, bias_h = weights

    def step(h: Array, from_x: Array) -> tuple[Array, Array]:
        from_h = (h.astype(weight_h.dtype) @ weight_h).astype(h.dtype)
        x_r, x_z, x_n = jnp.split(from_x.astype(h.dtype), 3, axis=1)
        h_r, h_z, h_n = jnp.split(from_h, 3, axis=1)
        z = sigmoid(x_z + h_z)
        n = jnp.tanh(x_n + sigmoid(x_r + h_r) * (h_n + bias_h))
        h = (1 - z) * n + z * h
        return h, h

    zeros = jnp.zeros((len(x), units), jnp.float32)
    return _outputs(scan, step, zeros, add_bias(x @ weight_x, bias), reverse)


def _outputs(scan: Scan, step: Callable, state: Any, from_x: Array, reverse: bool) -> Array:
    """Return the outputs of a scan over `from_x` (batch, steps, gates units), in its dtype."""
    outputs = scan(step, state, jnp.swapaxes(from_x, 0, 1), reverse=reverse)[1]
    return jnp.swapaxes(outputs, 0, 1).astype(from_x.dtype)


def recurrent(
    way: Callable[..., Array], layer: spec.Recurrent, x: Array, *weights: Array, scan: Scan = loop
) -> Array:
    """Return the outputs of one way or of both, (batch, steps, units) or twice the units."""
    turned = [layer.direction == spec.REVERSE, True][: len(layer.suffixes)]
    count = len(weights) // len(turned)
    outputs = [
        way(scan, layer.units, reverse, x, *weights[i * count : (i + 1) * count])
        for i, reverse in enumerate(turned)
    ]
    return outputs[0] if len(outputs) == 1 else jnp.concatenate(outputs, axis=2)


RECURRENT: dict[type[spec.Layer], Callable[..., Array]] = {
    spec.Lstm: partial(recurrent, lstm),
    spec.Gru: partial(recurrent, gru),
}


def compiled(kind: type[spec.Layer]) -> Callable[..., Array]:
    """Return a recurrent layer for jit, by lax.scan."""
    return partial(RECURRENT[kind], scan=lax.scan)
