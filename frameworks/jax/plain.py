"""What the plain loops of `loops/` share in JAX: Adam as in its tutorials, a transformer's block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
FEATURES = 32
BLOCK = {"qkv": (32, 96), "out": (32, 32), "up": (32, 64), "down": (64, 32)}


class Weights:
    """Draws weights one after the other."""

    def __init__(self) -> None:
        self._keys = iter(jax.random.split(jax.random.key(0), 16))

    def normal(self, *shape: int) -> Any:
        """Return normal weights of deviation 0.1."""
        return 0.1 * jax.random.normal(next(self._keys), shape)

    def dense(self, inputs: int, units: int) -> tuple[Any, Any]:
        """Return a weight and a bias."""
        return self.normal(inputs, units), jnp.zeros(units)

    def block(self) -> dict[str, Any]:
        """Return the weights of a `block`."""
        norms = {"norm1": norm_weights(), "norm2": norm_weights()}
        return norms | {name: self.dense(*shape) for name, shape in BLOCK.items()}


def norm_weights() -> tuple[Any, Any]:
    """Return the weight and the bias of a layer norm."""
    return jnp.ones(FEATURES), jnp.zeros(FEATURES)


def dense(params: Any, x: Any) -> Any:
    """Return x w + b."""
    w, b = params
    return x @ w + b


def layer_norm(params: Any, x: Any) -> Any:
    """Normalise the features of each step."""
    weight, bias = params
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * weight + bias


def block(params: Any, x: Any, heads: int, causal: bool) -> Any:
    """A pre-norm block; x is (batch, steps, FEATURES)."""
    qkv = dense(params["qkv"], layer_norm(params["norm1"], x)).reshape(*x.shape[:2], 3, heads, -1)
    q, k, v = (qkv[:, :, part] for part in range(3))
    y = jax.nn.dot_product_attention(q, k, v, is_causal=causal)
    x = x + dense(params["out"], y.reshape(x.shape))
    hidden = jax.nn.gelu(dense(params["up"], layer_norm(params["norm2"], x)), approximate=False)
    return x + dense(params["down"], hidden)


def cross_entropy(logits: Any, y: Any) -> Any:
    """Return the mean cross-entropy of examples of ten classes."""
    log_probabilities = jax.nn.log_softmax(logits)
    return -jnp.mean(jnp.sum(jax.nn.one_hot(y, 10) * log_probabilities, axis=1))


def adam_loop(
    mode: str, params: Any, loss_of: Callable[[Any, Any, Any], Any], lr: float
) -> Callable[[Sequence[Any]], Sequence[float]]:
    """Return a training loop by Adam; `mode` is eager or jit, `loss_of` takes weights, x and y."""

    def update(params: Any, state: Any, x: Any, y: Any) -> Any:
        """Take one step of Adam."""
        m, v, t = state
        loss, grads = jax.value_and_grad(loss_of)(params, x, y)
        t = t + 1
        m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, grads)
        v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, grads)

        def moved(p: Any, m: Any, v: Any) -> Any:
            return p - lr * (m / (1 - BETA1**t)) / (jnp.sqrt(v / (1 - BETA2**t)) + EPSILON)

        return jax.tree.map(moved, params, m, v), (m, v, t), loss

    step = jax.jit(update) if mode == "jit" else update
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = (zeros, zeros, jnp.zeros(()))

    def train(batches: Sequence[Any]) -> Sequence[float]:
        nonlocal params, state
        losses = []
        for x, y, _ in batches:
            params, state, loss = step(params, state, jnp.asarray(x), jnp.asarray(y))
            losses.append(loss)
        jax.block_until_ready((params, state))
        return [float(loss) for loss in losses]

    return train
