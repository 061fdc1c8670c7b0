"""Layers on sequences, (batch, steps, features), as pure functions over JAX arrays."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from frameworks.jax.recurrent import RECURRENT
from workloads import layers as spec


def rows(layer: spec.Rows, x: Array) -> Array:
    """(batch, height, width, channels) to (batch, height, channels width)."""
    return jnp.transpose(x, (0, 1, 3, 2)).reshape(*x.shape[:2], -1)


SEQUENCES: dict[type[spec.Layer], Callable[..., Array]] = {
    spec.Rows: rows,
    spec.LastStep: lambda layer, x: x[:, -1],
    spec.MeanSteps: lambda layer, x: jnp.mean(x, axis=1),
    **RECURRENT,
}
