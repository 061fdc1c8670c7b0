"""Biases, whose gradient is summed in float32 whatever the dtype of products."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array


def add_bias(y: Array, bias: Array) -> Array:
    """Return y + bias, of y's last axis.

    The transpose of a broadcast sums in its operand's dtype: in bfloat16, XLA's CPU code was off by 12%
    of the gradient after 1024 terms. jnp.sum sums in float32.
    """
    return _add_coarse(y, bias) if y.dtype == jnp.bfloat16 else y + bias


@jax.custom_vjp
def _add_coarse(y: Array, bias: Array) -> Array:
    return y + bias


def _forward(y: Array, bias: Array) -> tuple[Array, None]:
    return y + bias, None


def _backward(_: None, dy: Array) -> tuple[Array, Array]:
    return dy, jnp.sum(dy, axis=tuple(range(dy.ndim - 1)))


_add_coarse.defvjp(_forward, _backward)
