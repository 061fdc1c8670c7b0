"""JAX: pure functions over a dict of arrays; eager dispatches them op by op, jit compiles the step."""

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
from jax import Array, lax
from numpy.typing import NDArray

from frameworks.contract import Adapter, Options, Step, Unavailable, Weights
from workloads import layers as spec
from workloads.batches import Batch
from workloads.spec import Workload

# Images are NHWC inside, and weights lie as XLA's CPU kernels read them: 1.03 of NCHW's throughput.
CONVOLUTION = ("NHWC", "HWIO", "NHWC")
INSIDE = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}  # canonical axes to ours, by rank
OUTSIDE = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}  # and back

MODES = ("eager", "jit")

Pytree = dict[str, Array]
Function = Callable[[Any, Array, Array | None, Array | None], Array]


def conv2d(layer: spec.Conv2d, x: Array, weight: Array, bias: Array) -> Array:
    padding = [(layer.padding, layer.padding)] * 2
    strides = (layer.stride, layer.stride)
    y = lax.conv_general_dilated(x, weight, strides, padding, dimension_numbers=CONVOLUTION)
    return y + bias


def max_pool(layer: spec.MaxPool, x: Array) -> Array:
    window, strides = (1, layer.size, layer.size, 1), (1, layer.step, layer.step, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, "VALID")


def max_pool_of_slices(layer: spec.MaxPool, x: Array) -> Array:
    """The same from strided slices, which XLA fuses: as reduce_window, the first of equals wins.

    reduce_window's gradient (select-and-scatter) is slow on the CPU: a jitted step with this one
    has 1.15 to 1.2 of the throughput. Op by op it would dispatch more, so eager does without.
    """
    rows, columns = layer.output((x.shape[3], x.shape[1], x.shape[2]))[1:]
    best = None
    for i in range(layer.size):
        for j in range(layer.size):
            last = (i + layer.step * (rows - 1) + 1, j + layer.step * (columns - 1) + 1)
            there = x[:, i : last[0] : layer.step, j : last[1] : layer.step]
            best = there if best is None else jnp.where(there > best, there, best)
    return best


def avg_pool(layer: spec.AvgPool, x: Array) -> Array:
    window, strides = (1, layer.size, layer.size, 1), (1, layer.step, layer.step, 1)
    return lax.reduce_window(x, 0.0, lax.add, window, strides, "VALID") / layer.size**2


def flatten(layer: spec.Flatten, x: Array) -> Array:
    if x.ndim == 4:
        x = jnp.transpose(x, (0, 3, 1, 2))
    return x.reshape(len(x), -1)


FUNCTIONS: dict[type[spec.Layer], Callable[..., Array]] = {
    spec.Dense: lambda layer, x, weight, bias: x @ weight + bias,
    spec.Conv2d: conv2d,
    spec.MaxPool: max_pool,
    spec.AvgPool: avg_pool,
    spec.Flatten: flatten,
    spec.Relu: lambda layer, x: jax.nn.relu(x),
    spec.Sigmoid: lambda layer, x: jax.nn.sigmoid(x),
    spec.Tanh: lambda layer, x: jnp.tanh(x),
}


def cross_entropy(logits: Array, labels: Array) -> Array:
    chosen = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - chosen)


def mean_squared_error(logits: Array, labels: Array) -> Array:
    difference = logits - jax.nn.one_hot(labels, logits.shape[1], dtype=logits.dtype)
    return jnp.mean(0.5 * jnp.sum(jnp.square(difference), axis=1))


LOSSES = {"cross-entropy": cross_entropy, "mean-squared-error": mean_squared_error}


class Jax(Adapter):
    """value_and_grad of a pure loss; in jit mode one XLA program a step, which reuses its inputs."""

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
            "platform": self._device.client.platform_version,
            "threads": int(os.environ["PJRT_NPROC"]),
            "layout": "NHWC",
            "matmul_precision": config.jax_default_matmul_precision,
            "x64": config.jax_enable_x64,
            "disable_jit": config.jax_disable_jit,
            "donated": self._mode == "jit",
            "cpu_async_dispatch": config.jax_cpu_enable_async_dispatch,
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
        return Step(np.array(logits), float(loss), canonical(gradients))

    def weights(self) -> Weights:
        return canonical(self._weights)

    def device_peak_bytes(self) -> int | None:
        return (self._device.memory_stats() or {}).get("peak_bytes_in_use")


def canonical(weights: Pytree) -> Weights:
    """Copies in host memory, in canonical layout and C order."""
    host = {name: np.asarray(w) for name, w in weights.items()}
    return {name: np.array(w.transpose(OUTSIDE[w.ndim]), order="C") for name, w in host.items()}


def apply_threads(threads: int) -> None:
    """Size XLA's CPU pool. It is made with the first backend, so once in a process."""
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
