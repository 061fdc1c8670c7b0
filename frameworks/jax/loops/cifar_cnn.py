"""cifar-cnn in plain JAX, as its tutorials write it: what the adapter is held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

SHAPES = {
    "conv1": (6, 3, 5, 5),
    "conv2": (16, 6, 5, 5),
    "fc1": (400, 120),
    "fc2": (120, 84),
    "fc3": (84, 10),
}


def start() -> dict[str, Any]:
    """Return a weight and a bias a layer."""
    params, keys = {}, jax.random.split(jax.random.key(0), len(SHAPES))
    for key, (name, shape) in zip(keys, SHAPES.items(), strict=True):
        units = shape[0] if len(shape) == 4 else shape[1]
        params[name] = (0.05 * jax.random.normal(key, shape), jnp.zeros(units))
    return params


def forward(params: dict[str, Any], x: Any) -> Any:
    """Return the logits; x is NCHW."""
    for name in ("conv1", "conv2"):
        w, b = params[name]
        x = jax.nn.relu(lax.conv(x, w, (1, 1), "VALID") + b[None, :, None, None])
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    x = x.reshape(x.shape[0], -1)
    for name in ("fc1", "fc2"):
        w, b = params[name]
        x = jax.nn.relu(jnp.dot(x, w) + b)
    w, b = params["fc3"]
    return jnp.dot(x, w) + b


def loss_of(params: dict[str, Any], x: Any, y: Any) -> Any:
    """Return the mean cross-entropy."""
    log_probabilities = jax.nn.log_softmax(forward(params, x))
    return -jnp.mean(jnp.sum(jax.nn.one_hot(y, 10) * log_probabilities, axis=1))


def update(params: Any, velocity: Any, x: Any, y: Any) -> Any:
    """Take one step of SGD with momentum."""
    loss, grads = jax.value_and_grad(loss_of)(params, x, y)
    velocity = jax.tree.map(lambda v, g: 0.9 * v + g, velocity, grads)
    params = jax.tree.map(lambda p, v: p - 0.001 * v, params, velocity)
    return params, velocity, loss


def build(mode: str) -> Callable[[Sequence[Any]], Sequence[float]]:
    """Return the training loop; `mode` is eager or jit."""
    step = jax.jit(update) if mode == "jit" else update
    params = start()
    velocity = jax.tree.map(jnp.zeros_like, params)

    def train(batches: Sequence[Any]) -> Sequence[float]:
        nonlocal params, velocity
        losses = []
        for x, y, _ in batches:
            params, velocity, loss = step(params, velocity, jnp.asarray(x), jnp.asarray(y))
            losses.append(loss)
        jax.block_until_ready((params, velocity))
        return [float(loss) for loss in losses]

    return train
