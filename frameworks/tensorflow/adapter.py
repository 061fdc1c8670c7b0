"""TensorFlow: plain variables, tf.nn functions, one traced function a step; no Keras in the loop.

On the CPU images are NHWC inside, all that TensorFlow's CPU kernels know; on a GPU they stay NCHW.
Weights are stored as TensorFlow's operations take them: dense (in, out), convolution HWIO.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frameworks.contract import Adapter, Options, Step, Unavailable, Weights
from workloads import layers as spec
from workloads.batches import Batch
from workloads.spec import Placed, Workload

MODES = ("eager", "graph", "xla")
_AXES = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}  # Canonical axes in TensorFlow's order, by rank.
_ELEMENTWISE = {spec.Relu: tf.nn.relu, spec.Sigmoid: tf.sigmoid, spec.Tanh: tf.tanh}


def _splits(workload: Workload, images: str) -> dict[str, spec.Shape]:
    """Return each parameter's canonical shape, a dense layer's inputs unfolded where they turn.

    Turning the weight (out, c, h, w) once saves turning every batch in front of the flatten.
    """
    splits, image = dict(workload.parameters), spec.Shape()
    for place in workload.model:
        if isinstance(place.layer, spec.Flatten) and len(place.input) == 3 and images == "NHWC":
            image = place.input
        elif isinstance(place.layer, spec.Dense) and image:
            splits[f"{place.name}.weight"] = (place.layer.units, *image)
            image = spec.Shape()
    return splits


def _native(array: NDArray, split: spec.Shape) -> NDArray:
    turned = array.reshape(split).transpose(_AXES[len(split)])
    return turned.reshape(-1, len(array)) if array.ndim == 2 else turned


def _canonical(tensor: tf.Tensor, split: spec.Shape, shape: spec.Shape) -> NDArray:
    axes = _AXES[len(split)]
    turned = tensor.numpy().reshape([split[axis] for axis in axes])
    return turned.transpose(np.argsort(axes)).reshape(shape).copy()


def _layer(
    place: Placed, variables: dict[str, tf.Variable], images: str, back: bool
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the layer as a function of one tensor; with `back`, a flatten turns NHWC to NCHW."""
    layer = place.layer
    weight, bias = variables.get(f"{place.name}.weight"), variables.get(f"{place.name}.bias")
    match layer:
        case spec.Dense():
            return lambda x: tf.nn.bias_add(tf.matmul(x, weight), bias)
        case spec.Conv2d(stride=stride, padding=pad):
            pads = [[pad, pad] if axis in "HW" else [0, 0] for axis in images] if pad else "VALID"
            return lambda x: tf.nn.bias_add(
                tf.nn.conv2d(x, weight, stride, pads, images), bias, images
            )
        case spec.MaxPool(size=size, step=step):
            return lambda x: tf.nn.max_pool2d(x, size, step, "VALID", images)
        case spec.AvgPool(size=size, step=step):
            return lambda x: tf.nn.avg_pool2d(x, size, step, "VALID", images)
        case spec.Flatten() if back and len(place.input) == 3:
            return lambda x: tf.reshape(tf.transpose(x, (0, 3, 1, 2)), (-1, *place.output))
        case spec.Flatten():
            return lambda x: tf.reshape(x, (-1, *place.output))
    return _ELEMENTWISE[type(layer)]


def _loss(kind: str, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    if kind == "cross-entropy":
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    difference = logits - tf.one_hot(labels, logits.shape[1])
    return 0.5 * tf.reduce_mean(tf.reduce_sum(tf.square(difference), axis=1))


def _compiled(function: Callable, mode: str) -> Callable:
    """Return `function` of tensors in the given mode, traced once for each set of shapes."""
    if mode == "eager":
        return function
    traced = tf.function(function, autograph=False, jit_compile=mode == "xla")
    concrete: dict[tuple[tf.TensorShape, ...], Callable] = {}

    def call(*tensors: tf.Tensor) -> tf.Tensor:
        # A concrete function skips what tf.function does each call to find the right trace.
        shapes = tuple([tensor.shape for tensor in tensors])
        if shapes not in concrete:
            concrete[shapes] = traced.get_concrete_function(*tensors)
        return concrete[shapes](*tensors)

    return call


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
        images = "NHWC" if windows and options.device == "cpu" else "NCHW"
        self._turned = images == "NHWC"
        self._splits = _splits(workload, images)
        self._variables = {
            name: tf.Variable(_native(weights[name], split)) for name, split in self._splits.items()
        }
        self._velocity = [tf.Variable(tf.zeros_like(v)) for v in self._variables.values()]
        # Without a dense layer to take on the images' order, the flatten has to restore it.
        back = self._turned and not any(isinstance(x, spec.Dense) for x in workload.layers)
        self._layers = [_layer(place, self._variables, images, back) for place in workload.model]
        self._lr = tf.constant(workload.optimiser.lr, tf.float32)
        self._momentum = tf.constant(workload.optimiser.momentum, tf.float32)
        self._update = _compiled(self._updated, options.mode)
        self._look = _compiled(self._gradients, options.mode)
        self._logits = _compiled(self._forward, options.mode)

    @staticmethod
    def versions() -> dict[str, str]:
        build = tf.sysconfig.get_build_info()
        cuda = {k: str(build[k]) for k in ("cuda_version", "cudnn_version") if k in build}
        return {"tensorflow": tf.__version__, "numpy": np.__version__, **cuda}

    def settings(self) -> dict[str, object]:
        return {
            "mode": self._options.mode,
            "device": self._lr.device,
            "images": "NHWC" if self._turned else "NCHW",
            "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads(),
            "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads(),
            "tf32": tf.config.experimental.tensor_float_32_execution_enabled(),
            "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
        }

    def _inputs(self, x: NDArray) -> tf.Tensor:
        # Turned as a view: the copy that tf.constant makes anyway does the work.
        return tf.constant(x.transpose(0, 2, 3, 1) if self._turned else x)

    def _forward(self, x: tf.Tensor) -> tf.Tensor:
        for layer in self._layers:
            x = layer(x)
        return x

    def _gradients(
        self, x: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            logits = self._forward(x)
            loss = _loss(self._workload.loss, logits, labels)
        return logits, loss, tape.gradient(loss, list(self._variables.values()))

    def _updated(self, x: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Take one step. The raw operations are the spec's formula, fused; they work in place."""
        _, loss, gradients = self._gradients(x, labels)
        variables = zip(self._variables.values(), self._velocity, gradients, strict=True)
        for w, v, g in variables:
            if self._workload.optimiser.momentum:
                tf.raw_ops.ResourceApplyMomentum(
                    var=w.handle, accum=v.handle, lr=self._lr, grad=g, momentum=self._momentum
                )
            else:
                tf.raw_ops.ResourceApplyGradientDescent(var=w.handle, alpha=self._lr, delta=g)
        return loss

    def train(self, batches: Sequence[Batch]) -> NDArray[np.float32]:
        losses = [self._update(self._inputs(x), tf.constant(labels)) for x, labels in batches]
        tf.test.experimental.sync_devices()
        return tf.stack(losses).numpy()

    def predict(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return tf.concat([self._logits(self._inputs(x)) for x in inputs], axis=0).numpy()

    def step(self, batch: Batch) -> Step:
        logits, loss, gradients = self._look(self._inputs(batch[0]), tf.constant(batch[1]))
        named = zip(self._splits.items(), gradients, strict=True)
        shapes = self._workload.parameters
        canonical = {name: _canonical(g, split, shapes[name]) for (name, split), g in named}
        return Step(logits.numpy(), float(loss), canonical)

    def weights(self) -> Weights:
        shapes, splits = self._workload.parameters, self._splits
        return {k: _canonical(v, splits[k], shapes[k]) for k, v in self._variables.items()}

    def device_peak_bytes(self) -> int | None:
        if self._options.device == "cpu":
            return None
        return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
