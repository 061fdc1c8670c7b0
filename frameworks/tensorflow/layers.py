"""A spec's layers and losses in TensorFlow's terms: the forward pass, plain tf.nn functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import tensorflow as tf

from frameworks.contract import Options
from frameworks.tensorflow import layout
from workloads import layers as spec
from workloads.spec import Placed, Workload


@dataclass
class Training:
    """What a forward pass in training has beside its tensor, by the names of layers and states.

    `masks` go in, uint8, in the layout inside; `state` comes out: what the states become.
    """

    masks: Mapping[str, tf.Tensor]
    state: dict[str, tf.Tensor] = field(default_factory=dict)


Function = Callable[[tf.Tensor], tf.Tensor]
# In inference there is no Training.
Stage = Callable[[tf.Tensor, Training | None], tf.Tensor]

ELEMENTWISE = {spec.Relu: tf.nn.relu, spec.Sigmoid: tf.sigmoid, spec.Tanh: tf.tanh}


def defeats_fusion(workload: Workload) -> bool:
    """Return whether it has what TensorFlow's remapper fuses, in inference, to a kernel it lacks.

    That is a convolution without bias, batch norm, tanh: "Fusion is not implemented".
    """
    for places in layout.sequences(workload.model):
        layers = [place.layer for place in places]
        for first, second, third in zip(layers, layers[1:], layers[2:], strict=False):
            match first, second, third:
                case spec.Conv2d(bias=False), spec.BatchNorm(), spec.Tanh():
                    return True
    return False


class Forward:
    """A workload's forward pass: float32 logits of images in `images` layout, or of vectors.

    In bfloat16 the operands of products, and so their results, are bfloat16; variables, norms and
    logits stay float32.
    """

    def __init__(
        self,
        workload: Workload,
        variables: Mapping[str, tf.Variable],
        images: str,
        options: Options,
    ) -> None:
        self._variables, self._images, self._xla = variables, images, options.mode == "xla"
        self._mixed = options.precision == "bfloat16"
        self._left_turned = layout.turns(workload, images)
        self._stages = self._chain(workload.model)

    def __call__(self, x: tf.Tensor, training: Training | None = None) -> tf.Tensor:
        if self._mixed:
            x = tf.cast(x, tf.bfloat16)
        for stage in self._stages:
            x = stage(x, training)
        return tf.cast(x, tf.float32) if self._mixed else x

    def _chain(self, places: Sequence[Placed]) -> list[Stage]:
        return [self._stage(place) for place in places]

    def _stage(self, place: Placed) -> Stage:
        match place.layer:
            case spec.Residual():
                return residual(self._chain(place.body), self._chain(place.shortcut))
            case spec.Dropout(rate=rate):
                return dropout(place.name, rate)
            case spec.BatchNorm() as layer:
                make = two_pass_batch_norm if self._xla else batch_norm
                norm = make(place, layer, self._variables, self._images)
                return in_float32(norm) if self._mixed else norm
            case spec.LayerNorm() if self._mixed:
                plain = self._function(place)
                return in_float32(lambda x, training: plain(x))
        function = self._image_function(place) or self._function(place)
        return lambda x, training: function(x)

    def _function(self, place: Placed) -> Function:
        weight = self._variables.get(f"{place.name}.weight")
        bias = self._variables.get(f"{place.name}.bias")
        match place.layer:
            case spec.Dense() if self._mixed:
                return in_bfloat16(
                    lambda x, weight, bias: tf.nn.bias_add(tf.matmul(x, weight), bias), weight, bias
                )
            case spec.Dense():
                return lambda x: tf.nn.bias_add(tf.matmul(x, weight), bias)
            case spec.LayerNorm(epsilon=epsilon):
                return lambda x: layer_norm(x, weight, bias, epsilon)
            case spec.Flatten() if self._images == "NCHW" or len(place.input) != 3:
                return lambda x: tf.reshape(x, (-1, *place.output))
            case spec.Flatten() if place.name in self._left_turned:
                return lambda x: tf.reshape(x, (-1, *place.output))
            case spec.Flatten():
                return lambda x: tf.reshape(tf.transpose(x, (0, 3, 1, 2)), (-1, *place.output))
        return ELEMENTWISE[type(place.layer)]

    def _image_function(self, place: Placed) -> Function | None:
        images, nhwc = self._images, self._images == "NHWC"
        match layer := place.layer:
            case spec.Conv2d():
                weight = self._variables[f"{place.name}.weight"]
                bias = self._variables.get(f"{place.name}.bias")
                if not self._mixed:
                    return convolution(layer, weight, bias, images)
                return in_bfloat16(
                    lambda x, w, b=None: convolution(layer, w, b, images)(x), weight, bias
                )
            case spec.AvgPool(size=1, step=step):
                # The same numbers; a window of one would be summed and divided.
                return lambda x: x[:, ::step, ::step] if nhwc else x[:, :, ::step, ::step]
            case spec.MaxPool(size=size) if self._xla and nhwc and size <= 3:
                return lambda x: max_pool_of_slices(x, size, layer.step, place.output)
            case spec.MaxPool(size=size, step=step):
                return lambda x: tf.nn.max_pool2d(x, size, step, "VALID", images)
            case spec.AvgPool(size=size, step=step):
                return lambda x: tf.nn.avg_pool2d(x, size, step, "VALID", images)
            case spec.GlobalAvgPool():
                axes = [images.index("H"), images.index("W")]
                return lambda x: tf.reduce_mean(x, axes)
            case spec.PadChannels(channels=channels):
                return pad_channels(channels - place.input[0], images.index("C"))
        return None


def pad_channels(count: int, axis: int) -> Function:
    """Return what appends `count` channels of zeros.

    Not by tf.pad: with a convolution behind it, TensorFlow's oneDNN rewriting takes the padding for one
    of rows and columns ("input depth must be evenly divisible by filter depth").
    """

    def function(x: tf.Tensor) -> tf.Tensor:
        shape = [count if i == axis else side for i, side in enumerate(x.shape)]
        return tf.concat([x, tf.zeros(shape, x.dtype)], axis)

    return function


def in_bfloat16(product: Callable[..., tf.Tensor], *variables: tf.Variable | None) -> Function:
    """Return `product` of x and the variables, those that there are, all cast to bfloat16."""
    present = [variable for variable in variables if variable is not None]

    def function(x: tf.Tensor) -> tf.Tensor:
        return product(*(tf.cast(operand, tf.bfloat16) for operand in (x, *present)))

    return function


def in_float32(norm: Stage) -> Stage:
    """Return a stage that takes and gives x's dtype and computes in float32."""

    def stage(x: tf.Tensor, training: Training | None) -> tf.Tensor:
        return tf.cast(norm(tf.cast(x, tf.float32), training), x.dtype)

    return stage


def residual(body: Sequence[Stage], shortcut: Sequence[Stage]) -> Stage:
    """Return the sum of two branches; an empty shortcut is the input itself."""

    def stage(x: tf.Tensor, training: Training | None) -> tf.Tensor:
        y, skip = x, x
        for inner in body:
            y = inner(y, training)
        for inner in shortcut:
            skip = inner(skip, training)
        return y + skip

    return stage


def dropout(name: str, rate: float) -> Stage:
    """Return x mask / (1 - rate) in training, x in inference."""
    scale = 1 / (1 - rate)

    def stage(x: tf.Tensor, training: Training | None) -> tf.Tensor:
        return x if training is None else x * (tf.cast(training.masks[name], x.dtype) * scale)

    return stage


def batch_norm(
    place: Placed, layer: spec.BatchNorm, variables: Mapping[str, tf.Variable], images: str
) -> Stage:
    """Return the fused batch norm; features of vectors are channels of images of one pixel.

    The raw operation: it gives the running variance of the unbiased one, as the spec says; the
    function around it would raise epsilon to 1.001e-5.
    """
    flat = len(place.input) == 1
    at_mean, at_variance = f"{place.name}.mean", f"{place.name}.variance"
    weight, bias = variables[f"{place.name}.weight"], variables[f"{place.name}.bias"]

    def stage(x: tf.Tensor, training: Training | None) -> tf.Tensor:
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=tf.reshape(x, (-1, 1, 1, *place.input)) if flat else x,
            scale=weight,
            offset=bias,
            mean=variables[at_mean],
            variance=variables[at_variance],
            epsilon=layer.epsilon,
            exponential_avg_factor=layer.momentum,
            data_format="NHWC" if flat else images,
            is_training=training is not None,
        )
        if training is not None:
            training.state |= {at_mean: mean, at_variance: variance}
        return tf.reshape(y, (-1, *place.input)) if flat else y

    return stage


def two_pass_batch_norm(
    place: Placed, layer: spec.BatchNorm, variables: Mapping[str, tf.Variable], images: str
) -> Stage:
    """Return batch norm with the variance as the mean of squared differences from the mean.

    XLA takes E[x^2] - E[x]^2 for the fused one, which cancels digits away: of inputs with mean 100
    and deviation 0.3 outputs are off by 2e-2 to 2e-1 there, and by 3e-5 to 3e-4 here.
    """
    at_mean, at_variance = f"{place.name}.mean", f"{place.name}.variance"
    weight, bias = variables[f"{place.name}.weight"], variables[f"{place.name}.bias"]
    channels = images.index("C") if len(place.input) == 3 else 1
    axes = [axis for axis in range(1 + len(place.input)) if axis != channels]
    wide = [1 if axis in axes else -1 for axis in range(1 + len(place.input))]

    def stage(x: tf.Tensor, training: Training | None) -> tf.Tensor:
        if training is None:
            centred = x - tf.reshape(variables[at_mean], wide)
            variance = variables[at_variance]
        else:
            mean = tf.reduce_mean(x, axes)
            centred = x - tf.reshape(mean, wide)
            variance = tf.reduce_mean(tf.square(centred), axes)
            count = x.shape.num_elements() // place.input[0]
            unbiased = variance * (count / max(count - 1, 1))
            for name, batch_value in {at_mean: mean, at_variance: unbiased}.items():
                old = variables[name]
                training.state[name] = (1 - layer.momentum) * old + layer.momentum * batch_value
        factor = weight * tf.math.rsqrt(variance + layer.epsilon)
        return centred * tf.reshape(factor, wide) + tf.reshape(bias, wide)

    return stage


def layer_norm(x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor, epsilon: float) -> tf.Tensor:
    """Normalise each example's features by their own mean and biased variance."""
    mean, variance = tf.nn.moments(x, axes=[1], keepdims=True)
    return tf.nn.batch_normalization(x, mean, variance, bias, weight, epsilon)


def convolution(
    layer: spec.Conv2d, weight: tf.Variable, bias: tf.Variable | None, images: str
) -> Function:
    """Return the convolution with explicit, symmetric padding, which "SAME" is not."""
    stride, pad = layer.stride, layer.padding
    pads = [[pad, pad] if axis in "HW" else [0, 0] for axis in images] if pad else "VALID"
    if bias is None:
        return lambda x: tf.nn.conv2d(x, weight, stride, pads, images)
    return lambda x: tf.nn.bias_add(tf.nn.conv2d(x, weight, stride, pads, images), bias, images)


def max_pool_of_slices(x: tf.Tensor, size: int, step: int, output: spec.Shape) -> tf.Tensor:
    """The largest of a window's strided slices, NHWC; the first of equals gets the gradient.

    XLA fuses it; its gradient of a pooling window (select and scatter) is slow on the CPU.
    """
    _, rows, columns = output
    best = None
    for i in range(size):
        for j in range(size):
            shifted = x[:, i : i + step * rows : step, j : j + step * columns : step]
            shifted = shifted[:, :rows, :columns]
            best = shifted if best is None else tf.where(shifted > best, shifted, best)
    return best


def loss(workload: Workload, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the batch's mean loss, by the spec's definition."""
    classes, smoothing = workload.classes, workload.label_smoothing
    if workload.loss == "cross-entropy" and smoothing:
        off_value = smoothing / classes
        targets = tf.one_hot(labels, classes, 1 - smoothing + off_value, off_value)
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))
    if workload.loss == "cross-entropy":
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    difference = logits - tf.one_hot(labels, classes)
    return 0.5 * tf.reduce_mean(tf.reduce_sum(tf.square(difference), axis=1))
