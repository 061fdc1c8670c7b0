"""TensorFlow: plain variables, tf.nn functions, one traced function a step; no Keras in the loop.

On the CPU images are NHWC inside, all that TensorFlow's CPU kernels know; on a GPU they stay NCHW.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.config import is_op_determinism_enabled

from frameworks.contract import (
    Adapter,
    Memory,
    Options,
    Step,
    Unavailable,
    Weights,
    require_precision,
)
from frameworks.kernels import Kernel
from frameworks.portions import SEVERAL, portions
from frameworks.profiles import Profile
from frameworks.tensorflow import layers, layout, optimisers, profiling
from frameworks.tensorflow.kernels import kernels
from frameworks.tensorflow.optimisers import Scalars
from frameworks.tensorflow.stages import Training
from workloads import layers as spec
from workloads.batches import Batch
from workloads.spec import Workload

MODES = ("eager", "graph", "xla")


def _compiled(
    function: Callable, mode: str, examples: Sequence[tf.TensorSpec], scalars: int = 0
) -> Callable[[int], Callable]:
    """Return what gives `function` for a number of examples.

    The specs are of one example; a tensor of so many scalars, if any, comes after them. A concrete
    function skips what tf.function does each call to find the right trace.
    """
    if mode == "eager":
        return lambda batch: function
    traced = tf.function(function, autograph=False, jit_compile=mode == "xla")
    scalar_specs = [tf.TensorSpec((scalars,), tf.float32)] * bool(scalars)

    @cache
    def concrete(batch: int) -> Callable:
        specs = [tf.TensorSpec((batch, *example.shape), example.dtype) for example in examples]
        return traced.get_concrete_function(*specs, *scalar_specs)

    return concrete


def _repeated(
    step: Callable, examples: Sequence[tf.TensorSpec], scalars: int
) -> Callable[[int], Callable]:
    """Return what gives the graph of SEVERAL steps for a number of examples.

    Its arguments are those of `step`, with the steps along a first axis; it returns their losses.
    """

    def function(*stacked: tf.Tensor) -> tf.Tensor:
        def body(i: tf.Tensor, losses: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            return i + 1, losses.write(i, step(*(arguments[i] for arguments in stacked)))

        losses = tf.TensorArray(tf.float32, SEVERAL)
        _, losses = tf.while_loop(
            lambda i, _: i < SEVERAL, body, (0, losses), parallel_iterations=1
        )
        return losses.stack()

    traced = tf.function(function, autograph=False)
    scalar_specs = [tf.TensorSpec((SEVERAL, scalars), tf.float32)] * bool(scalars)

    @cache
    def concrete(batch: int) -> Callable:
        specs = [tf.TensorSpec((SEVERAL, batch, *e.shape), e.dtype) for e in examples]
        return traced.get_concrete_function(*specs, *scalar_specs)

    return concrete


def _tensor(array: NDArray | tf.Tensor) -> tf.Tensor:
    return tf.constant(array) if isinstance(array, np.ndarray) else array


def _stacked(arrays: Sequence[NDArray | tf.Tensor]) -> tf.Tensor:
    """Return arrays one after the other along a first axis."""
    on_host = isinstance(arrays[0], np.ndarray)
    return tf.constant(np.stack(arrays)) if on_host else tf.stack(arrays)


def _configure(options: Options) -> None:
    """Choose the device and size the pools, which TensorFlow takes before its first operation."""
    if options.mode not in MODES:
        raise Unavailable(f'tensorflow: no mode "{options.mode}": take one of {", ".join(MODES)}')
    if not re.fullmatch(r"cpu|cuda(:\d+)?", options.device):
        raise Unavailable(f'tensorflow: no device "{options.device}": take cpu, cuda or cuda:1')
    kind, _, index = options.device.partition(":")
    gpus = tf.config.list_physical_devices("GPU") if kind == "cuda" else []
    chosen = gpus[int(index or 0) :][:1]
    if kind == "cuda" and not chosen:
        raise Unavailable(
            f'tensorflow: no device "{options.device}": TensorFlow {tf.__version__} sees'
            f" {len(gpus)} GPUs: take cpu, or the CUDA build on a machine with a GPU"
        )
    try:
        tf.config.set_visible_devices(chosen, "GPU")
        for gpu in chosen:
            tf.config.experimental.set_memory_growth(gpu, True)
        tf.config.threading.set_intra_op_parallelism_threads(options.threads)
        tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    except RuntimeError as error:
        raise Unavailable(
            f"tensorflow: device {options.device}, threads {options.threads}: this process already"
            " runs with others, which TensorFlow cannot change: start a new process"
        ) from error


def apply_precision(precision: str) -> None:
    """Keep float32 products whole, or let them be TF32's.

    bfloat16 needs nothing here: its products take operands that are bfloat16.
    """
    tf.config.experimental.enable_tensor_float_32_execution(precision == "tf32")


class TensorFlow(Adapter):
    """A workload in TensorFlow, eagerly, as a graph (tf.function) or compiled by XLA."""

    def __init__(self, workload: Workload, weights: Weights, options: Options) -> None:
        require_precision("tensorflow", options)
        _configure(options)
        apply_precision(options.precision)
        if options.deterministic:
            tf.config.experimental.enable_op_determinism()
        if layers.defeats_fusion(workload):
            tf.config.optimizer.set_experimental_options({"remapping": False})
        self._options, self._workload = options, workload
        self._images = layout.of_images(workload, options)
        self._shapes = layout.unfolded(workload, self._images)
        self._axes = layout.axes_of(workload, self._shapes)
        parameters = workload.parameters
        self._variables = {
            name: tf.Variable(self._native(name, weights[name]), trainable=name in parameters)
            for name in self._shapes
        }
        self._parameters = [self._variables[name] for name in parameters]
        self._optimiser = optimisers.update(workload, self._parameters)
        self._forward = layers.Forward(workload, self._variables, self._images, options)
        averages = self._optimiser.slots.get("average", self._parameters)
        predicting = self._variables | dict(zip(parameters, averages, strict=True))
        self._averaged = layers.Forward(workload, predicting, self._images, options)
        masks = [tf.TensorSpec(shape, tf.uint8) for shape in self._mask_shapes()]
        image = tf.TensorSpec(self._inside(workload.input_shape), tf.float32)
        batch = [image, tf.TensorSpec(workload.label_shape, tf.int64), *masks]
        self._update = _compiled(self._updated, options.mode, batch, self._optimiser.scalars)
        self._gather = _compiled(self._gathered, options.mode, batch)
        self._update_several = _repeated(self._updated, batch, self._optimiser.scalars)
        self._look = _compiled(self._looked, options.mode, batch)
        self._logits = _compiled(self._inferred, options.mode, [image])

    def _inside(self, shape: spec.Shape) -> spec.Shape:
        """Return an example's shape in the layout inside."""
        turned = len(shape) == 3 and self._images == "NHWC"
        return (*shape[1:], shape[0]) if turned else shape

    def _mask_shapes(self) -> Iterator[spec.Shape]:
        """Yield the shape of each mask of one example, in the layout inside."""
        for place in self._workload.masked:
            if mask := place.layer.mask(place.input):
                yield self._inside(mask[1]) if len(place.input) == 3 else mask[1]

    @staticmethod
    def versions() -> dict[str, str]:
        build = tf.sysconfig.get_build_info()
        cuda = {k: str(build[k]) for k in ("cuda_version", "cudnn_version") if k in build}
        python = platform.python_version()
        return {"tensorflow": tf.__version__, **cuda, "numpy": np.__version__, "python": python}

    def settings(self) -> dict[str, object]:
        return {
            "mode": self._options.mode,
            "precision": self._options.precision,
            "device": self._parameters[0].device,
            "layout": self._images,
            "threads": tf.config.threading.get_intra_op_parallelism_threads(),
            "interop_threads": tf.config.threading.get_inter_op_parallelism_threads(),
            "tf32": tf.config.experimental.tensor_float_32_execution_enabled(),
            "deterministic": is_op_determinism_enabled(),
            "graph_optimizer_options": tf.config.optimizer.get_experimental_options(),
            "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
        }

    def load(self, weights: Weights) -> None:
        for name, variable in self._variables.items():
            variable.assign(self._native(name, weights[name]))
        self._optimiser.reset()

    def memory(self) -> Memory:
        names, slots = self._workload.parameters, self._optimiser.slots.items()
        named = {slot: dict(zip(names, variables, strict=True)) for slot, variables in slots}
        copies = {slot: self._canonical(variables) for slot, variables in named.items()}
        return Memory(self._optimiser.steps, copies)

    def restore(self, memory: Memory) -> None:
        self._optimiser.steps = memory.steps
        for slot, variables in self._optimiser.slots.items():
            for name, variable in zip(self._workload.parameters, variables, strict=True):
                array = np.asarray(memory.slots[slot][name], np.float32)
                variable.assign(self._native(name, array))

    def _turned(self, x: NDArray | tf.Tensor, image: bool = True) -> NDArray | tf.Tensor:
        """Return an array in the layout inside, as a view; of four axes, it is of images, or not."""
        turned = image and self._images == "NHWC" and x.ndim == 4
        return x.transpose(0, 2, 3, 1) if turned and isinstance(x, np.ndarray) else x

    def _arrays(self, batch: Batch) -> list[NDArray | tf.Tensor]:
        places = self._workload.masked
        masks = map(self._turned, batch.masks, [len(place.input) == 3 for place in places])
        return [self._turned(batch.inputs), batch.labels, *masks]

    def _tensors(self, batch: Batch) -> list[tf.Tensor]:
        return list(map(_tensor, self._arrays(batch)))

    def _backward(
        self, x: tf.Tensor, labels: tf.Tensor, *masks: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor], dict[str, tf.Tensor]]:
        """Return the logits, the loss, the gradients and what the state becomes."""
        names = (place.name for place in self._workload.masked)
        training = Training(dict(zip(names, masks, strict=True)))
        with tf.GradientTape() as tape:
            logits = self._forward(x, training)
            loss = layers.loss(self._workload, logits, labels)
        # Those of rows that were gathered come as rows, several of one token among them: added up.
        gradients = map(tf.convert_to_tensor, tape.gradient(loss, self._parameters))
        return logits, loss, list(gradients), training.state

    def _inferred(self, x: tf.Tensor) -> tf.Tensor:
        # One argument and no more: a concrete function called without an optional one first fails
        # to bind, and prints all of x for an error message that is discarded.
        return self._averaged(x)

    def _looked(
        self, x: tf.Tensor, labels: tf.Tensor, *masks: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        return self._backward(x, labels, *masks)[:3]

    def _updated(self, x: tf.Tensor, labels: tf.Tensor, *arguments: tf.Tensor) -> tf.Tensor:
        """Take one step; `arguments` are the masks, then the optimiser's scalars, if any."""
        count = len(self._workload.masked)
        _, loss, gradients, state = self._backward(x, labels, *arguments[:count])
        self._optimiser.update(gradients, *arguments[count:])
        self._move_state(state)
        return loss

    def _gathered(self, x: tf.Tensor, labels: tf.Tensor, *masks: tf.Tensor) -> tf.Tensor:
        """Take a step that ends without an update."""
        _, loss, gradients, state = self._backward(x, labels, *masks)
        self._optimiser.gather(gradients)
        self._move_state(state)
        return loss

    def _move_state(self, state: dict[str, tf.Tensor]) -> None:
        for name, value in state.items():
            self._variables[name].assign(value)

    def train(self, batches: Sequence[Batch]) -> NDArray[np.float32]:
        scalars = self._optimiser.take(len(batches))
        in_graph = self._options.mode == "graph" and None not in scalars
        losses, taken = [], 0
        for portion in portions(batches, in_graph):
            following = scalars[taken : taken + len(portion)]
            taken += len(portion)
            if len(portion) > 1:
                losses.append(self._steps(portion, following))
            else:
                losses.append(self._step(*portion, *following))
        tf.test.experimental.sync_devices()
        return np.hstack([loss.numpy() for loss in losses])

    def _steps(self, batches: Sequence[Batch], scalars: Sequence[Any]) -> tf.Tensor:
        """Take SEVERAL steps in one call; return their losses."""
        stacked = [_stacked(arrays) for arrays in zip(*map(self._arrays, batches), strict=True)]
        rows = [tf.stack(column) for column in zip(*scalars, strict=True)]
        return self._update_several(len(batches[0].inputs))(*stacked, *rows)

    def _step(self, batch: Batch, scalars: Scalars | None) -> tf.Tensor:
        """Take one step; return its loss."""
        size, tensors = len(batch.inputs), self._tensors(batch)
        if scalars is None:
            return self._gather(size)(*tensors)
        return self._update(size)(*tensors, *scalars)

    def predict(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        logits = [self._logits(len(x))(_tensor(self._turned(x))) for x in inputs]
        return tf.concat(logits, axis=0).numpy()

    def step(self, batch: Batch) -> Step:
        logits, loss, gradients = self._look(len(batch.inputs))(*self._tensors(batch))
        named = dict(zip(self._workload.parameters, gradients, strict=True))
        return Step(logits.numpy(), float(loss), self._canonical(named))

    def weights(self) -> Weights:
        return self._canonical(self._variables)

    def _canonical(self, tensors: dict[str, tf.Tensor]) -> Weights:
        folded = self._workload.parameters | self._workload.state
        return {
            name: layout.canonical(tensor, self._shapes[name], self._axes[name], folded[name])
            for name, tensor in tensors.items()
        }

    def _native(self, name: str, array: NDArray) -> NDArray:
        """Return a canonical weight in TensorFlow's layout."""
        return layout.native(array, self._shapes[name], self._axes[name])

    def resident(self, batches: Sequence[Batch]) -> Sequence[Batch]:
        tensors = map(self._tensors, batches)
        on_device = [Batch(x, y, tuple(masks)) for x, y, *masks in tensors]
        tf.test.experimental.sync_devices()
        return on_device

    def device_peak_bytes(self) -> int | None:
        if self._options.device == "cpu":
            return None
        return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])

    def kernels(self) -> dict[str, Kernel]:
        return kernels(self._options.device)

    def profile(self, batches: Sequence[Batch], folder: Path) -> Profile:
        return profiling.profile(lambda: self.train(batches), folder)
