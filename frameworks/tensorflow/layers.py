"""A spec's layers and losses in TensorFlow's terms: the forward pass, plain tf.nn functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from operator import add
from typing import Any

import tensorflow as tf

from frameworks.contract import Options, unsupported
from frameworks.tensorflow import layout
from frameworks.tensorflow.activations import ACTIVATIONS
from frameworks.tensorflow.biases import add_bias
from frameworks.tensorflow.sequences import SEQUENCES
from frameworks.tensorflow.stages import Function, Stage, Training, in_bfloat16, in_float32, plain
from frameworks.tensorflow.transformer import TRANSFORMER, masked_cross_entropy
from frameworks.tensorflow.windows import avg_pool, convolution, max_pool, needs_xla
from workloads import layers as spec
from workloads.layers.blocks import CONCAT
from workloads.spec import Placed, Workload


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
        self.variables, self.images, self._xla = variables, images, options.mode == "xla"
        self._cpu = options.device == "cpu"
        self.mixed = options.precision == "bfloat16"
        self.dtype = tf.bfloat16 if self.mixed else tf.float32
        self._tokens = bool(workload.tokens)
        self._left_turned = layout.turns(workload, images)
        self._stages = self.chain(workload.model)

    def __call__(self, x: tf.Tensor, training: Training | None = None) -> tf.Tensor:
        if self.mixed and not self._tokens:
            x = tf.cast(x, tf.bfloat16)
        for stage in self._stages:
            x = stage(x, training)
        return tf.cast(x, tf.float32) if self.mixed else x

    def chain(self, places: Sequence[Placed]) -> list[Stage]:
        """Return the stages of layers one after the other."""
        return [self._stage(place) for place in places]

    def _stage(self, place: Placed) -> Stage:
        make = STAGES.get(type(place.layer)) or unsupported("tensorflow", place.layer)
        return make(self, place, place.layer)

    def _product(self, place: Placed, product: Callable[..., tf.Tensor]) -> Stage:
        """Return `product` of x, the layer's weight and its bias or None."""
        weight = self.variables[f"{place.name}.weight"]
        bias = self.variables.get(f"{place.name}.bias")
        if self.mixed:
            return plain(in_bfloat16(product, weight, bias))
        return plain(lambda x: product(x, weight, bias))

    def dense(self, place: Placed, layer: spec.Dense) -> Stage:
        """Return the product and its bias."""
        # Of a sequence, matmul would take a product an example, and sum their gradients after.
        product = tf.matmul if len(place.input) == 1 else partial(tf.tensordot, axes=1)
        return self._product(place, lambda x, w, b: add_bias(product(x, w), b))

    def convolution(self, place: Placed, layer: spec.Convolution) -> Stage:
        """Return the convolution in the images' layout, of sequences in theirs."""
        sliced = self._cpu and self._xla and not self.mixed
        product = convolution(layer, place.input, self.images, sliced)
        if self._cpu and not self._xla and needs_xla(layer, place.input):
            product = tf.function(product, jit_compile=True, autograph=False)
        return self._product(place, product)

    def batch_norm(self, place: Placed, layer: spec.BatchNorm) -> Stage:
        """Return batch norm, in float32."""
        make = two_pass_batch_norm if self._xla else batch_norm
        norm = make(place, layer, self.variables, self.images)
        return in_float32(norm) if self.mixed else norm

    def layer_norm(self, place: Placed, layer: spec.LayerNorm) -> Stage:
        """Return layer norm, in float32."""
        weight, bias = (self.variables[f"{place.name}.{short}"] for short in ("weight", "bias"))
        norm = plain(lambda x: layer_norm(x, weight, bias, layer.epsilon))
        return in_float32(norm) if self.mixed else norm

    def rms_norm(self, place: Placed, layer: spec.RmsNorm) -> Stage:
        """Return RMS norm, in float32."""
        weight = self.variables[f"{place.name}.weight"]
        norm = plain(lambda x: rms_norm(x, weight, layer.epsilon))
        return in_float32(norm) if self.mixed else norm

    def group_norm(self, place: Placed, layer: spec.GroupNorm) -> Stage:
        """Return group norm, in float32."""
        weight, bias = (self.variables[f"{place.name}.{short}"] for short in ("weight", "bias"))
        norm = plain(lambda x: group_norm(layer, x, weight, bias, self.images))
        return in_float32(norm) if self.mixed else norm

    def flatten(self, place: Placed, layer: spec.Flatten) -> Stage:
        """Return what restores the canonical order, but where the next weights are turned instead."""
        turned = self.images == "NHWC" and len(place.input) == 3
        shape = (-1, *place.output)
        if turned and place.name not in self._left_turned:
            return plain(lambda x: tf.reshape(tf.transpose(x, (0, 3, 1, 2)), shape))
        return plain(lambda x: tf.reshape(x, shape))

    def max_pool(self, place: Placed, layer: spec.MaxPool) -> Stage:
        """Return max-pooling, in the way that is fast here."""
        return plain(max_pool(layer, place.input, self.images, self._xla))

    def avg_pool(self, place: Placed, layer: spec.AvgPool) -> Stage:
        """Return average pooling."""
        return plain(avg_pool(layer, place.input, self.images))

    def global_avg_pool(self, place: Placed, layer: spec.GlobalAvgPool) -> Stage:
        """Return the mean of each channel."""
        axes = [self.images.index("H"), self.images.index("W")]
        return plain(lambda x: tf.reduce_mean(x, axes))

    def pad_channels(self, place: Placed, layer: spec.PadChannels) -> Stage:
        """Return what appends channels of zeros."""
        return plain(pad_channels(layer.channels - place.input[0], self.images.index("C")))

    def residual(self, place: Placed, layer: spec.Residual) -> Stage:
        """Return the sum of body and shortcut."""
        return block([self.chain(chain) for chain in place.chains], lambda ends: add(*ends))

    def branches(self, place: Placed, layer: spec.Branches) -> Stage:
        """Return the sum of all branches, or these side by side."""
        chains = [self.chain(chain) for chain in place.chains]
        if layer.join != CONCAT:
            return block(chains, lambda ends: reduce(add, ends))
        axis = self.images.index("C") if len(place.output) == 3 else len(place.output)
        return block(chains, lambda ends: tf.concat(ends, axis))


STAGES: dict[type[spec.Layer], Callable[[Forward, Placed, Any], Stage]] = {
    spec.Dense: Forward.dense,
    spec.Conv1d: Forward.convolution,
    spec.Conv2d: Forward.convolution,
    spec.MaxPool: Forward.max_pool,
    spec.AvgPool: Forward.avg_pool,
    spec.GlobalAvgPool: Forward.global_avg_pool,
    spec.PadChannels: Forward.pad_channels,
    spec.Flatten: Forward.flatten,
    spec.BatchNorm: Forward.batch_norm,
    spec.GroupNorm: Forward.group_norm,
    spec.LayerNorm: Forward.layer_norm,
    spec.RmsNorm: Forward.rms_norm,
    spec.Dropout: lambda net, place, layer: dropout(place.name, layer.rate),
    spec.Residual: Forward.residual,
    spec.Branches: Forward.branches,
    **ACTIVATIONS,
    **SEQUENCES,
    **TRANSFORMER,
}


def pad_channels(count: int, axis: int) -> Function:
    """Return what appends `count` channels of zeros.

    Not by tf.pad: with a convolution behind it, TensorFlow's oneDNN rewriting takes the padding for one
    of rows and columns ("input depth must be evenly divisible by filter depth").
    """

    def function(x: tf.Tensor) -> tf.Tensor:
        shape = [count if i == axis else side for i, side in enumerate(x.shape)]
        return tf.concat([x, tf.zeros(shape, x.dtype)], axis)

    return function


def block(chains: Sequence[Sequence[Stage]], join: Callable[[list], tf.Tensor]) -> Stage:
    """Return what joins the outputs of all chains; that of an empty one is the input itself."""

    def stage(x: tf.Tensor, training: Training | None) -> tf.Tensor:
        ends = []
        for chain in chains:
            y = x
            for inner in chain:
                y = inner(y, training)
            ends.append(y)
        return join(ends)

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
    """Normalise the features of each example, or of each step, by their mean and biased variance."""
    mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
    return tf.nn.batch_normalization(x, mean, variance, bias, weight, epsilon)


def group_norm(
    layer: spec.GroupNorm, x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor, images: str
) -> tf.Tensor:
    """Normalise each example's groups of channels by their own mean and biased variance."""
    groups = [layer.groups, weight.shape[0] // layer.groups]
    if len(x.shape) == 4 and images == "NHWC":
        inner, axes, wide = [-1, *groups], [1, 3], groups
    else:
        inner, axes, wide = [*groups, -1], [2, 3], [*groups, 1]
    grouped = tf.reshape(x, [x.shape[0], *inner])
    mean, variance = tf.nn.moments(grouped, axes, keepdims=True)
    scale, offset = tf.reshape(weight, wide), tf.reshape(bias, wide)
    y = tf.nn.batch_normalization(grouped, mean, variance, offset, scale, layer.epsilon)
    return tf.reshape(y, x.shape)


def rms_norm(x: tf.Tensor, weight: tf.Tensor, epsilon: float) -> tf.Tensor:
    """Divide the features of each example, or of each step, by the root of their mean square."""
    square = tf.reduce_mean(tf.square(x), -1, keepdims=True)
    return x * tf.math.rsqrt(square + epsilon) * weight


def loss(workload: Workload, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the batch's mean loss, by the spec's definition."""
    classes, smoothing = workload.classes, workload.label_smoothing
    if workload.label_shape:
        return masked_cross_entropy(logits, labels, classes, smoothing)
    if workload.loss == "cross-entropy" and smoothing:
        off_value = smoothing / classes
        targets = tf.one_hot(labels, classes, 1 - smoothing + off_value, off_value)
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))
    if workload.loss == "cross-entropy":
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    difference = logits - tf.one_hot(labels, classes)
    return 0.5 * tf.reduce_mean(tf.reduce_sum(tf.square(difference), axis=1))
