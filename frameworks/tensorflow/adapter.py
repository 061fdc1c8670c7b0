"""TensorFlow: plain variables, tf.nn functions, one traced function a step; no Keras in the loop.

On the CPU images are NHWC inside, all that TensorFlow's CPU kernels know; on a GPU they stay NCHW.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frameworks.contract import Adapter, Options, Step, Unavailable, Weights
from frameworks.tensorflow import layers
from workloads import layers as spec
from workloads.batches import Batch
from workloads.spec import Workload

MODES = ("eager", "graph", "xla")


def _compiled(
    function: Callable, mode: str, examples: Sequence[tf.TensorSpec]
) -> Callable[[int], Callable]:
    """Return what gives `function` for a number of examples; the specs are of one example.

    A concrete function skips what tf.function does each call to find the right trace.
    """
    if mode == "eager":
        return lambda batch: function
    traced = tf.function(function, autograph=False, jit_compile=mode == "xla")

    @cache
    def concrete(batch: int) -> Callable:
        specs = [tf.TensorSpec((batch, *one.shape), one.dtype) for one in examples]
        return traced.get_concrete_function(*specs)

    return concrete


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
    tf.config.experimental.enable_tensor_float_32_execution(False)


class TensorFlow(Adapter):
    """A workload in TensorFlow, eagerly, as a graph (tf.function) or compiled by XLA."""

    def __init__(self, workload: Workload, weights: Weights, options: Options) -> None:
        _configure(options)
        self._options, self._workload = options, workload
        windows = any(isinstance(layer, spec.Conv2d | spec.Pool) for layer in workload.layers)
        self._images = "NHWC" if windows and options.device == "cpu" else "NCHW"
        self._shapes = layers.unfolded(workload, self._images)
        self._variables = {
            name: tf.Variable(layers.native(weights[name], shape))
            for name, shape in self._shapes.items()
        }
        self._velocity = [tf.Variable(tf.zeros_like(v)) for v in self._variables.values()]
        self._layers = layers.functions(
            workload, self._variables, self._images, xla=options.mode == "xla"
        )
        self._lr = tf.constant(workload.optimiser.lr, tf.float32)
        self._momentum = tf.constant(workload.optimiser.momentum, tf.float32)
        shape = workload.input_shape
        if self._images == "NHWC":
            shape = (*shape[1:], shape[0])
        image, label = tf.TensorSpec(shape, tf.float32), tf.TensorSpec((), tf.int64)
        self._update = _compiled(self._updated, options.mode, [image, label])
        self._look = _compiled(self._gradients, options.mode, [image, label])
        self._logits = _compiled(self._forward, options.mode, [image])

    @staticmethod
    def versions() -> dict[str, str]:
        build = tf.sysconfig.get_build_info()
        cuda = {k: str(build[k]) for k in ("cuda_version", "cudnn_version") if k in build}
        python = platform.python_version()
        return {"tensorflow": tf.__version__, **cuda, "numpy": np.__version__, "python": python}

    def settings(self) -> dict[str, object]:
        return {
            "mode": self._options.mode,
            "device": self._lr.device,
            "layout": self._images,
            "threads": tf.config.threading.get_intra_op_parallelism_threads(),
            "interop_threads": tf.config.threading.get_inter_op_parallelism_threads(),
            "tf32": tf.config.experimental.tensor_float_32_execution_enabled(),
            "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
        }

    def _inputs(self, x: NDArray) -> tf.Tensor:
        # Turned as a view: the copy that tf.constant makes anyway does the work.
        return tf.constant(x.transpose(0, 2, 3, 1) if self._images == "NHWC" else x)

    def _forward(self, x: tf.Tensor) -> tf.Tensor:
        for layer in self._layers:
            x = layer(x)
        return x

    def _gradients(
        self, x: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            logits = self._forward(x)
            loss = layers.loss(self._workload.loss, logits, labels)
        return logits, loss, tape.gradient(loss, list(self._variables.values()))

    def _updated(self, x: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Take one step. The raw operations are the spec's formula, fused; they work in place."""
        _, loss, gradients = self._gradients(x, labels)
        together = zip(self._variables.values(), self._velocity, gradients, strict=True)
        for w, v, g in together:
            if self._workload.optimiser.momentum:
                tf.raw_ops.ResourceApplyMomentum(
                    var=w.handle, accum=v.handle, lr=self._lr, grad=g, momentum=self._momentum
                )
            else:
                tf.raw_ops.ResourceApplyGradientDescent(var=w.handle, alpha=self._lr, delta=g)
        return loss

    def train(self, batches: Sequence[Batch]) -> NDArray[np.float32]:
        update, inputs = self._update, self._inputs
        losses = [update(len(x))(inputs(x), tf.constant(labels)) for x, labels in batches]
        tf.test.experimental.sync_devices()
        return tf.stack(losses).numpy()

    def predict(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        logits = [self._logits(len(x))(self._inputs(x)) for x in inputs]
        return tf.concat(logits, axis=0).numpy()

    def step(self, batch: Batch) -> Step:
        inputs, labels = batch
        look = self._look(len(inputs))
        logits, loss, gradients = look(self._inputs(inputs), tf.constant(labels))
        named = dict(zip(self._variables, gradients, strict=True))
        return Step(logits.numpy(), float(loss), self._canonical(named))

    def weights(self) -> Weights:
        return self._canonical(self._variables)

    def _canonical(self, tensors: dict[str, tf.Tensor]) -> Weights:
        folded = self._workload.parameters
        return {k: layers.canonical(t, self._shapes[k], folded[k]) for k, t in tensors.items()}

    def device_peak_bytes(self) -> int | None:
        if self._options.device == "cpu":
            return None
        return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
