"""TensorFlow: plain variables, tf.nn functions and one traced function a step; no Keras in the loop.

On the CPU images are NHWC inside, which is all that TensorFlow's CPU kernels know; on a GPU they stay
NCHW. Weights are stored as TensorFlow's operations take them: dense (in, out), convolution HWIO.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frameworks.contract import Adapter, Options, Step, Unavailable, Weights
from workloads import layers as spec
from workloads.batches import Batch
from workloads.spec import Placed, Workload

MODES = ("eager", "graph", "xla")
_TURN = {"NHWC": (0, 2, 3, 1), "NCHW": (0, 1, 2, 3)}
_ELEMENTWISE = {spec.Relu: tf.nn.relu, spec.Sigmoid: tf.sigmoid, spec.Tanh: tf.tanh}


@dataclass(frozen=True)
class Layout:
    """How a canonical array becomes TensorFlow's: seen as `split`, turned by `axes`, seen as `native`."""

    canonical: spec.Shape
    split: spec.Shape
    axes: tuple[int, ...]
    native: spec.Shape

    def load(self, array: NDArray) -> NDArray:
        return array.reshape(self.split).transpose(self.axes).reshape(self.native)

    def save(self, tensor: tf.Tensor | tf.Variable) -> NDArray:
        turned = tensor.numpy().reshape([self.split[axis] for axis in self.axes])
        return turned.transpose(np.argsort(self.axes)).reshape(self.canonical).copy()


def _layouts(workload: Workload, images: str) -> dict[str, Layout]:
    """Return each parameter's layout. The dense layer after a flatten takes on the images' order."""
    layouts, flattened = {}, ()
    for place in workload.model:
        if isinstance(place.layer, spec.Flatten) and len(place.input) == 3:
            flattened = place.input if images == "NHWC" else ()
        for short, shape in place.layer.parameters(place.input).items():
            split, axes = shape, tuple(range(len(shape)))[::-1]
            if len(shape) == 4:
                axes = (2, 3, 1, 0)
            elif len(shape) == 2 and flattened:
                split, axes, flattened = (shape[0], *flattened), (2, 3, 1, 0), ()
            turned = tuple(split[axis] for axis in axes)
            native = (shape[1], shape[0]) if len(shape) == 2 else turned
            layouts[f"{place.name}.{short}"] = Layout(shape, split, axes, native)
    return layouts


def _layer(
    place: Placed, variables: dict[str, tf.Variable], images: str, back: bool
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the layer as a function of one tensor; with `back`, a flatten turns NHWC to NCHW."""
    layer = place.layer
    weight, bias = variables.get(f"{place.name}.weight"), variables.get(f"{place.name}.bias")
    match layer:
        case spec.Dense():
            return lambda x: tf.nn.bias_add(tf.matmul(x, weight), bias)
        case spec.Conv2d():
            side = [layer.padding, layer.padding]
            sides = {"H": side, "W": side}
            padding = [sides.get(axis, [0, 0]) for axis in images] if layer.padding else "VALID"
            return lambda x: tf.nn.bias_add(
                tf.nn.conv2d(x, weight, layer.stride, padding, images), bias, images
            )
        case spec.MaxPool() | spec.AvgPool():
            pool = tf.nn.max_pool2d if isinstance(layer, spec.MaxPool) else tf.nn.avg_pool2d
            return lambda x: pool(x, layer.size, layer.step, "VALID", images)
        case spec.Flatten():
            if back and len(place.input) == 3:
                return lambda x: tf.reshape(tf.transpose(x, (0, 3, 1, 2)), (-1, place.output[0]))
            return lambda x: tf.reshape(x, (-1, place.output[0]))
    return _ELEMENTWISE[type(layer)]


def _loss(kind: str, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    if kind == "cross-entropy":
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return tf.reduce_mean(losses)
    difference = logits - tf.one_hot(labels, logits.shape[1])
    return 0.5 * tf.reduce_mean(tf.reduce_sum(tf.square(difference), axis=1))


def _compiled(function: Callable, mode: str) -> Callable:
    """Return `function` of arrays in the given mode, traced once a shape."""
    if mode == "eager":
        return lambda *arrays: function(*map(tf.convert_to_tensor, arrays))
    traced = tf.function(function, autograph=False, jit_compile=mode == "xla")
    concrete: dict[tuple[spec.Shape, ...], Callable] = {}

    def call(*arrays: NDArray) -> tf.Tensor:
        # A concrete function, called with tensors, skips most of what tf.function does a call.
        tensors = [tf.convert_to_tensor(array) for array in arrays]
        shapes = tuple([array.shape for array in arrays])
        if shapes not in concrete:
            concrete[shapes] = traced.get_concrete_function(*map(tf.TensorSpec.from_tensor, tensors))
        return concrete[shapes](*tensors)

    return call


def _configure(options: Options) -> None:
    """Choose the device and size the pools; TensorFlow takes both only before its first operation."""
    kind, _, index = options.device.partition(":")
    if options.mode not in MODES:
        raise Unavailable(f'tensorflow: no mode "{options.mode}": take one of {", ".join(MODES)}')
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise Unavailable(f'tensorflow: no device "{options.device}": take cpu, cuda or cuda:<number>')
    gpus = tf.config.list_physical_devices("GPU") if kind == "cuda" else []
    if kind == "cuda" and int(index or 0) >= len(gpus):
        raise Unavailable(
            f'tensorflow: device "{options.device}": TensorFlow {tf.__version__} sees {len(gpus)} GPUs'
            " here: take cpu, or its CUDA build on a machine with a GPU"
        )
    chosen = gpus[int(index or 0)] if gpus else None
    try:
        tf.config.set_visible_devices([chosen] if chosen else [], "GPU")
        if chosen:
            tf.config.experimental.set_memory_growth(chosen, True)
        tf.config.threading.set_intra_op_parallelism_threads(options.threads)
        tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    except RuntimeError as error:
        raise Unavailable(
            f"tensorflow: device {options.device}, threads {options.threads}: this process already"
            " computes with others, which TensorFlow cannot change: start a new process"
        ) from error
    tf.config.experimental.enable_tensor_float_32_execution(False)


class TensorFlow(Adapter):
    """A workload in TensorFlow, eagerly, as a graph (tf.function) or compiled by XLA."""

    def __init__(self, workload: Workload, weights: Weights, options: Options) -> None:
        _configure(options)
        self._options, self._workload = options, workload
        images = "NCHW" if options.device.startswith("cuda") else "NHWC"
        if not any(isinstance(layer, spec.Conv2d | spec.Pool) for layer in workload.layers):
            images = "NCHW"  # Nothing cares about the layout: leave the images as they come.
        self._turn = _TURN[images] if len(workload.input_shape) == 3 and images == "NHWC" else None
        self._layouts = _layouts(workload, images)
        self._variables = {
            name: tf.Variable(layout.load(weights[name]), name=name)
            for name, layout in self._layouts.items()
        }
        # A dense layer after the flatten takes on the images' order; logits without one cannot.
        dense = any(isinstance(layer, spec.Dense) for layer in workload.layers)
        back = images == "NHWC" and not dense
        self._layers = [_layer(place, self._variables, images, back) for place in workload.model]
        self._velocity = [tf.Variable(tf.zeros_like(v)) for v in self._variables.values()]
        self._lr = tf.constant(workload.optimiser.lr, tf.float32)
        self._momentum = tf.constant(workload.optimiser.momentum, tf.float32)
        self._train = _compiled(self._updated, options.mode)
        self._look = _compiled(self._gradients, options.mode)
        self._predict = _compiled(self._forward, options.mode)

    @staticmethod
    def versions() -> dict[str, str]:
        build = tf.sysconfig.get_build_info()
        libraries = {name: str(build[f"{name}_version"]) for name in ("cuda", "cudnn") if f"{name}_version" in build}
        return {"tensorflow": tf.__version__, "numpy": np.__version__, **libraries}

    def settings(self) -> dict[str, object]:
        threading = tf.config.threading
        return {
            "mode": self._options.mode,
            "device": self._variables[next(iter(self._variables))].device,
            "intra_op_threads": threading.get_intra_op_parallelism_threads(),
            "inter_op_threads": threading.get_inter_op_parallelism_threads(),
            "tf32": tf.config.experimental.tensor_float_32_execution_enabled(),
            "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
        }

    def _forward(self, x: tf.Tensor) -> tf.Tensor:
        if self._turn:
            x = tf.transpose(x, self._turn)
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
        """Take one step. The raw operations are the spec's formula, fused; they update in place."""
        _, loss, gradients = self._gradients(x, labels)
        for w, v, g in zip(self._variables.values(), self._velocity, gradients):
            if self._workload.optimiser.momentum:
                tf.raw_ops.ResourceApplyMomentum(
                    var=w.handle, accum=v.handle, lr=self._lr, grad=g, momentum=self._momentum
                )
            else:
                tf.raw_ops.ResourceApplyGradientDescent(var=w.handle, alpha=self._lr, delta=g)
        return loss

    def train(self, batches: Sequence[Batch]) -> NDArray[np.float32]:
        train = self._train
        losses = tf.stack([train(inputs, labels) for inputs, labels in batches]).numpy()
        self._synchronise()
        return losses

    def predict(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        logits = [self._predict(x) for x in inputs]
        return tf.concat(logits, axis=0).numpy()

    def _synchronise(self) -> None:
        if self._options.device.startswith("cuda"):
            tf.test.experimental.sync_devices()

    def step(self, batch: Batch) -> Step:
        logits, loss, gradients = self._look(*batch)
        named = zip(self._layouts.items(), gradients)
        return Step(
            logits.numpy(), float(loss), {name: layout.save(g) for (name, layout), g in named}
        )

    def weights(self) -> Weights:
        return {name: self._layouts[name].save(v) for name, v in self._variables.items()}

    def device_peak_bytes(self) -> int | None:
        if not self._options.device.startswith("cuda"):
            return None
        return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
