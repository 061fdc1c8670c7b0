"""JAX: pure functions over a dict of arrays, dispatched op by op (eager) or compiled (jit)."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jax import Array
from numpy.typing import NDArray

from frameworks.contract import Adapter, Options, Step, Unavailable, Weights
from frameworks.jax.layers import FUNCTIONS, LOSSES, max_pool, max_pool_of_slices
from workloads.batches import Batch
from workloads.spec import Workload

# Weights' canonical axes to HWIO and (in, out), and back, by rank.
INSIDE = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
OUTSIDE = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}

MODES = ("eager", "jit")

Pytree = dict[str, Array]

_IN_FORCE: dict[str, int] = {}


class Jax(Adapter):
    """value_and_grad of a pure loss; in jit mode a step is one XLA program, updated in place."""

    def __init__(self, workload: Workload, weights: Weights, options: Options) -> None:
        if options.mode not in MODES:
            raise Unavailable(f"jax: no mode {options.mode!r}: take {' or '.join(MODES)}")
        self._mode, self._workload = options.mode, workload
        apply_threads(options.threads)
        self._device = find_device(options.device)
        jax.config.update("jax_default_device", self._device)
        jax.config.update("jax_default_matmul_precision", "highest")
        jax.config.update("jax_enable_x64", False)
        self._weights = {k: jnp.array(w.transpose(INSIDE[w.ndim])) for k, w in weights.items()}
        self._velocity = jax.tree.map(jnp.zeros_like, self._weights)
        self._layers = [self._bind(place) for place in workload.model]
        # The train step owns its arguments: weights and velocity are updated in place.
        jit = jax.jit if options.mode == "jit" else lambda function, **_: function
        self._update = jit(self._update_one, donate_argnums=(0, 1))
        self._gradients, self._logits = jit(self._gradients_of), jit(self._forward)

    def _bind(self, place: Any) -> tuple[Callable[..., Array], list[str]]:
        """Return a layer as a function of its input and parameters, and the parameters' names."""
        function, layer = FUNCTIONS[type(place.layer)], place.layer
        if function is max_pool and self._mode == "jit" and layer.size <= 3:
            function = max_pool_of_slices
        names = [f"{place.name}.{short}" for short in layer.parameters(place.input)]
        return partial(function, layer), names

    def _forward(self, weights: Pytree, x: Array) -> Array:
        if x.ndim == 4:
            x = jnp.transpose(x, (0, 2, 3, 1))
        for function, names in self._layers:
            x = function(x, *(weights[name] for name in names))
        return x

    def _gradients_of(self, weights: Pytree, x: Array, y: Array) -> Any:
        """Return ((loss, logits), gradients)."""

        def loss(weights: Pytree) -> tuple[Array, Array]:
            logits = self._forward(weights, x)
            return LOSSES[self._workload.loss](logits, y), logits

        return jax.value_and_grad(loss, has_aux=True)(weights)

    def _update_one(self, weights: Pytree, velocity: Pytree, x: Array, y: Array) -> Any:
        sgd = self._workload.optimiser
        (loss, _), gradients = self._gradients_of(weights, x, y)
        velocity = jax.tree.map(lambda v, g: sgd.momentum * v + g, velocity, gradients)
        weights = jax.tree.map(lambda w, v: w - sgd.lr * v, weights, velocity)
        return weights, velocity, loss

    @staticmethod
    def versions() -> dict[str, str]:
        return {
            "jax": jax.__version__,
            "jaxlib": jaxlib.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        }

    def settings(self) -> dict[str, object]:
        config = jax.config
        return {
            "mode": self._mode,
            "device": str(self._device),
            "device_kind": self._device.device_kind,
            "threads": int(os.environ["PJRT_NPROC"]),
            "layout": "NHWC",
            "matmul_precision": config.jax_default_matmul_precision,
            "x64": config.jax_enable_x64,
            "disable_jit": config.jax_disable_jit,
            "donated": self._mode == "jit",
            "cpu_async_dispatch": config.read("jax_cpu_enable_async_dispatch"),
            "compilation_cache": config.jax_enable_compilation_cache,
            "xla_flags": os.environ.get("XLA_FLAGS", ""),
        }

    def train(self, batches: Sequence[Batch]) -> NDArray[np.float32]:
        weights, velocity, losses = self._weights, self._velocity, []
        for inputs, labels in batches:
            weights, velocity, loss = self._update(weights, velocity, inputs, labels)
            losses.append(loss)
        self._weights, self._velocity = weights, velocity
        jax.block_until_ready((weights, velocity, losses))
        return np.array(jax.device_get(losses), np.float32)

    def predict(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        logits = [self._logits(self._weights, x) for x in inputs]
        return np.concatenate(jax.device_get(logits))

    def step(self, batch: Batch) -> Step:
        (loss, logits), gradients = self._gradients(self._weights, *batch)
        return Step(np.array(logits), float(loss), self._canonical(gradients))

    def weights(self) -> Weights:
        return self._canonical(self._weights)

    def _canonical(self, weights: Pytree) -> Weights:
        """Copies in host memory, in canonical layout and C order, in the model's order."""
        host = {name: np.asarray(weights[name]) for name in self._workload.parameters}
        return {k: np.array(w.transpose(OUTSIDE[w.ndim]), order="C") for k, w in host.items()}

    def device_peak_bytes(self) -> int | None:
        return (self._device.memory_stats() or {}).get("peak_bytes_in_use")


def apply_threads(threads: int) -> None:
    """Size XLA's CPU pool. It is made with the first device, so once in a process."""
    if _IN_FORCE.setdefault("threads", threads) != threads:
        raise Unavailable(
            f"jax: {threads} threads: this process has run with {_IN_FORCE['threads']} already:"
            " start a fresh one"
        )
    os.environ["PJRT_NPROC"] = os.environ["NPROC"] = str(threads)


def find_device(name: str) -> jax.Device:
    """Return the device called cpu, cuda or cuda:N, or raise Unavailable."""
    match = re.fullmatch(r"(cpu|cuda)(?::(\d+))?", name)
    if not match or name.startswith("cpu:"):
        raise Unavailable(f"jax: no device {name!r}: take cpu, cuda or cuda:N")
    try:
        return jax.devices(match[1])[int(match[2] or 0)]
    except (RuntimeError, IndexError) as error:
        raise Unavailable(
            f"jax: device {name} is not among what jaxlib {jaxlib.__version__} sees here:"
            " take device cpu, or install jax[cuda13] on a machine with that GPU"
        ) from error
