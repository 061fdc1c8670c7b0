"""Activations as pure functions over JAX arrays."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from workloads import layers as spec


def leaky_relu(layer: spec.LeakyRelu, x: Array) -> Array:
    """x where x > 0, else slope x. (The gradient of jax.nn's at 0 is 1.)"""
    return jnp.where(x > 0, x, layer.slope * x)


ACTIVATIONS: dict[type[spec.Layer], Callable[..., Array]] = {
    spec.Relu: lambda layer, x: jax.nn.relu(x),
    spec.LeakyRelu: leaky_relu,
    spec.Elu: lambda layer, x: jax.nn.elu(x, layer.alpha),
    spec.Sigmoid: lambda layer, x: jax.nn.sigmoid(x),
    spec.Tanh: lambda layer, x: jnp.tanh(x),
    spec.Gelu: lambda layer, x: jax.nn.gelu(x, approximate=layer.approximate == "tanh"),
    spec.Silu: lambda layer, x: jax.nn.silu(x),
    spec.Softplus: lambda layer, x: jax.nn.softplus(x),
}
