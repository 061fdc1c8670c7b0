"""JAX: pure functions over a dict of arrays, dispatched op by op (eager) or compiled (jit)."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jax import Array
from numpy.typing import NDArray

from frameworks.contract import (
    Adapter,
    Memory,
    Options,
    Step,
    Unavailable,
    Weights,
    require_precision,
    require_variable,
)
from frameworks.jax import optimisers, profiling
from frameworks.jax.kernels import kernels
from frameworks.jax.layers import loss_of
from frameworks.jax.model import Masks, Pytree, bind
from frameworks.jax.transformer import untransposed
from frameworks.kernels import Kernel
from frameworks.portions import portions
from frameworks.profiles import Profile
from workloads.batches import Batch
from workloads.layers import Convolution, Pool
from workloads.spec import Workload

# Weights' canonical axes to HWIO, WIO and (in, out), and back, by rank.
INSIDE = {4: (2, 3, 1, 0), 3: (2, 1, 0), 2: (1, 0), 1: (0,)}
OUTSIDE = {4: (3, 2, 0, 1), 3: (2, 1, 0), 2: (1, 0), 1: (0,)}

MODES = ("eager", "jit")

DETERMINISTIC = "--xla_gpu_deterministic_ops=true"
"""The flag with which XLA excludes operations on GPUs that vary from run to run, and autotuning."""

_IN_FORCE: dict[str, int] = {}


class Jax(Adapter):
    """value_and_grad of a pure loss; in jit mode a step is one XLA program, updated in place."""

    def __init__(self, workload: Workload, weights: Weights, options: Options) -> None:
        if options.mode not in MODES:
            raise Unavailable(f"jax: no mode {options.mode!r}: take {' or '.join(MODES)}")
        require_precision("jax", options)
        require_variable("jax", options, "XLA_FLAGS", DETERMINISTIC)
        self._mode, self._workload, self._precision = options.mode, workload, options.precision
        apply_threads(options.threads)
        self._device = find_device(options.device)
        jax.config.update("jax_default_device", self._device)
        apply_precision(options.precision)
        self._model = bind(workload, options)
        self._untransposed = untransposed(workload)
        self._loss, self._move = loss_of(workload), optimisers.update(workload.optimiser)
        # The train step owns its arguments: weights, state and slots are updated in place.
        jit = jax.jit if options.mode == "jit" else lambda function, **_: function
        self._update = jit(self._update_one, donate_argnums=(0, 1, 2))
        self._gather = jit(self._gather_one, donate_argnums=(0, 1, 2))
        self._update_several = jit(self._scan, donate_argnums=(0, 1, 2))
        self._scans = options.mode == "jit" and scans_well(workload)
        self._gradients, self._logits = jit(self._gradients_of), jit(self._forward)
        self.load(weights)

    def load(self, weights: Weights) -> None:
        self._weights = self._inside(weights, self._workload.parameters)
        self._state = self._inside(weights, self._workload.state)
        self._slots = optimisers.start(self._workload.optimiser, self._weights)
        self._steps = 0

    def memory(self) -> Memory:
        # In the spec's order: a compiled function returns a dict by its keys' order.
        slots = {slot: self._slots[slot] for slot in self._workload.optimiser.slots}
        return Memory(self._steps, {slot: self._canonical(v) for slot, v in slots.items()})

    def restore(self, memory: Memory) -> None:
        self._slots = {
            slot: self._inside(memory.slots[slot], self._weights) for slot in self._slots
        }
        self._steps = memory.steps

    def _forward(self, weights: Pytree, state: Pytree, x: Array) -> Array:
        return self._model(weights, state, x, None)[0]

    def _gradients_of(
        self, weights: Pytree, state: Pytree, x: Array, y: Array, masks: Masks
    ) -> Any:
        """Return ((loss, (logits, the state moved)), gradients)."""

        def loss(weights: Pytree) -> tuple[Array, tuple[Array, Pytree]]:
            logits, moved = self._model(weights, state, x, masks)
            return self._loss(logits, y), (logits, moved)

        return jax.value_and_grad(loss, has_aux=True)(weights)

    def _update_one(
        self,
        weights: Pytree,
        state: Pytree,
        slots: optimisers.Slots,
        row: Array | None,
        *batch: Any,
    ) -> Any:
        """Return weights, state and slots after one step, and the loss before it."""
        (loss, (_, state)), gradients = self._gradients_of(weights, state, *batch)
        weights, slots = self._move(weights, slots, gradients, row)
        return weights, state, slots, loss

    def _scan(
        self,
        weights: Pytree,
        state: Pytree,
        slots: optimisers.Slots,
        rows: Array | None,
        batches: Batch,
    ) -> Any:
        """Return what `_update_one` does, after a step for each of the batches along the first axis."""

        def step(arrays: Any, row_and_batch: Any) -> Any:
            row, batch = row_and_batch
            *arrays, loss = self._update_one(*arrays, row, *batch)
            return tuple(arrays), loss

        arrays, losses = jax.lax.scan(step, (weights, state, slots), (rows, batches))
        return *arrays, losses

    def _gather_one(
        self, weights: Pytree, state: Pytree, slots: optimisers.Slots, row: None, *batch: Any
    ) -> Any:
        """Return what `_update_one` does, of a batch that ends without an update."""
        (loss, (_, state)), gradients = self._gradients_of(weights, state, *batch)
        return weights, state, optimisers.gather(slots, gradients), loss

    def _plan(self, count: int) -> Iterator[tuple[Callable[..., Any], Array | None]]:
        """Yield, for each of the next `count` batches, what trains on it, and its row."""
        updates = self._workload.optimiser.updates(self._steps, count)
        first = self._steps // self._workload.optimiser.accumulate
        rows = iter(optimisers.tuning(self._workload, first, count))
        for update in updates:
            yield (self._gather, None) if update is None else (self._update, next(rows))

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
            "precision": self._precision,
            "device": str(self._device),
            "device_kind": self._device.device_kind,
            "threads": int(os.environ["PJRT_NPROC"]),
            "processors": len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else None,
            "layout": "NHWC",
            "matmul_precision": config.jax_default_matmul_precision,
            "x64": config.jax_enable_x64,
            "disable_jit": config.jax_disable_jit,
            "donated": self._mode == "jit",
            "cpu_async_dispatch": config.read("jax_cpu_enable_async_dispatch"),
            "compilation_cache": config.jax_enable_compilation_cache,
            "deterministic": DETERMINISTIC in os.environ.get("XLA_FLAGS", ""),
            "xla_flags": os.environ.get("XLA_FLAGS", ""),
        }

    def train(self, batches: Sequence[Batch]) -> NDArray[np.float32]:
        arrays, losses = (self._weights, self._state, self._slots), []
        plan = self._plan(len(batches))
        for portion in portions(batches, self._scans):
            steps = list(islice(plan, len(portion)))
            if len(portion) > 1:
                rows: list[Any] = [row for _, row in steps]
                stacked = None if rows[0] is None else np.stack(rows)
                *arrays, loss = self._update_several(*arrays, stacked, _stacked(portion))
            else:
                ((take, row),) = steps
                *arrays, loss = take(*arrays, row, *portion[0])
            losses.append(loss)
        self._weights, self._state, self._slots = arrays
        self._steps += len(batches)
        jax.block_until_ready((arrays, losses))
        return np.hstack(jax.device_get(losses)).astype(np.float32)

    def predict(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        weights = self._slots.get("average", self._weights)
        logits = [self._logits(weights, self._state, x) for x in inputs]
        return np.concatenate(jax.device_get(logits))

    def step(self, batch: Batch) -> Step:
        (loss, (logits, _)), gradients = self._gradients(self._weights, self._state, *batch)
        return Step(np.array(logits), float(loss), self._canonical(gradients))

    def weights(self) -> Weights:
        return self._canonical(self._weights) | self._canonical(self._state)

    def _canonical(self, tensors: Pytree) -> Weights:
        """Copies in host memory, in canonical layout and C order, in the model's order."""
        order = [*self._workload.parameters, *self._workload.state]
        host = {name: np.asarray(tensors[name]) for name in order if name in tensors}
        return {k: np.array(self._turned(k, w, OUTSIDE), order="C") for k, w in host.items()}

    def _inside(self, arrays: Mapping[str, NDArray], names: Iterable[str]) -> Pytree:
        """Copies of canonical arrays in the layout inside, float32, as compiled programs take them."""
        return {k: jnp.array(self._turned(k, arrays[k], INSIDE), jnp.float32) for k in names}

    def _turned(self, name: str, w: NDArray, axes: Mapping[int, tuple[int, ...]]) -> NDArray:
        """Return a parameter with its axes in the order that its rank has, or as it is."""
        return w if name in self._untransposed else w.transpose(axes[w.ndim])

    def resident(self, batches: Sequence[Batch]) -> Sequence[Batch]:
        return jax.block_until_ready(jax.device_put(list(batches), self._device))

    def device_peak_bytes(self) -> int | None:
        return (self._device.memory_stats() or {}).get("peak_bytes_in_use")

    def kernels(self) -> dict[str, Kernel]:
        return kernels(self._device)

    def profile(self, batches: Sequence[Batch], folder: Path) -> Profile:
        return profiling.profile(lambda: self.train(batches), folder)


def scans_well(workload: Workload) -> bool:
    """Tell whether several steps may be one program with a loop.

    XLA's CPU code of windows is slow inside a loop: cnn-digits takes 8 times as long there.
    """
    windows = any(isinstance(p.layer, Convolution | Pool) for p in workload.leaves)
    return workload.optimiser.accumulate == 1 and not windows


def _stacked(batches: Sequence[Batch]) -> Batch:
    """Return batches one after the other along a first axis, on the host or where they are."""
    stack = np.stack if isinstance(batches[0].inputs, np.ndarray) else jnp.stack
    return jax.tree.map(lambda *arrays: stack(arrays), *batches)


def apply_threads(threads: int) -> None:
    """Size XLA's CPU pool. It is made with the first device, so once in a process.

    Python dispatches while the pool computes, in eager mode all the time and in no pool's count:
    with as many processors as threads, both together stay within them.
    """
    if _IN_FORCE.setdefault("threads", threads) != threads:
        raise Unavailable(
            f"jax: {threads} threads: this process has run with {_IN_FORCE['threads']} already:"
            " start a fresh one"
        )
    os.environ["PJRT_NPROC"] = os.environ["NPROC"] = str(threads)
    if hasattr(os, "sched_setaffinity"):  # Linux
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def apply_precision(precision: str) -> None:
    """Keep float32 products whole, or let them be TF32's.

    bfloat16 needs nothing here: its products take operands that are bfloat16.
    """
    products = "tensorfloat32" if precision == "tf32" else "highest"
    jax.config.update("jax_default_matmul_precision", products)
    jax.config.update("jax_enable_x64", False)


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
