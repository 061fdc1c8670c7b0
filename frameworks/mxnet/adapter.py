"""MXNet: Gluon layers, autograd and a Trainer; images stay NCHW, all that its CPU kernels know.

It reads the number of threads from the environment, once, when it is imported: the adapter can only
check it.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from typing import Any

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet.gluon import nn
from numpy.typing import NDArray

from frameworks.contract import Adapter, Options, Step, Unavailable, Weights
from workloads import layers as spec
from workloads.batches import Batch
from workloads.spec import Placed, Workload

MODES = ("imperative", "hybrid")
_VARIABLES = (
    "OMP_NUM_THREADS",
    "MXNET_CPU_WORKER_NTHREADS",
    "MXNET_ENGINE_TYPE",
    "MXNET_MKLDNN_ENABLED",
    "MXNET_SUBGRAPH_BACKEND",
    "MXNET_USE_OPERATOR_TUNING",
)
_FEATURES = ("MKLDNN", "OPENMP", "BLAS_OPEN", "CPU_AVX", "CUDA", "CUDNN")


def _layer(place: Placed) -> gluon.HybridBlock:
    """Return Gluon's block for a layer, with every shape given, so that nothing is deferred."""
    layer = place.layer
    match layer:
        case spec.Dense():
            return nn.Dense(layer.units, in_units=place.input[0])
        case spec.Conv2d():
            return nn.Conv2D(
                layer.filters, layer.kernel, layer.stride, layer.padding, in_channels=place.input[0]
            )
        case spec.MaxPool():
            return nn.MaxPool2D(layer.size, layer.step)
        case spec.AvgPool():
            return nn.AvgPool2D(layer.size, layer.step)
        case spec.Flatten():
            return nn.Flatten()
    return nn.Activation(layer.kind)


class Training(gluon.HybridBlock):
    """The net and its loss in one block, so that hybridising makes one graph of both."""

    def __init__(self, net: gluon.HybridBlock, loss: str, classes: int) -> None:
        super().__init__()
        self.net, self._loss, self._classes = net, loss, classes

    def hybrid_forward(self, F: Any, x: Any, labels: Any) -> Any:  # noqa: N803
        """Return the loss of each example, (batch,), of inputs and labels (batch,)."""
        logits = self.net(x)
        if self._loss == "cross-entropy":
            # With a temperature MXNet's own log_softmax runs instead of oneDNN's, whose gradients
            # are 30 times less exact (2e-6 to 2e-5); it is as fast.
            scores = F.log_softmax(logits, axis=-1, temperature=1.0)
            return -F.pick(scores, labels, axis=-1)
        difference = logits - F.one_hot(labels, self._classes)
        return 0.5 * F.sum(F.square(difference), axis=1)


def _context(options: Options) -> mx.Context:
    """Return the device, once everything that is asked for can be had."""
    if options.mode not in MODES:
        raise Unavailable(f'mxnet: no mode "{options.mode}": take one of {", ".join(MODES)}')
    if not re.fullmatch(r"cpu|cuda(:\d+)?", options.device):
        raise Unavailable(f'mxnet: no device "{options.device}": take cpu, cuda or cuda:1')
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    if threads != str(options.threads):
        raise Unavailable(
            f"mxnet: threads {options.threads}: OMP_NUM_THREADS is {threads}, which is read once:"
            f" set OMP_NUM_THREADS={options.threads} before Python starts"
        )
    if options.device == "cpu":
        return mx.cpu()
    index = int(options.device.partition(":")[2] or 0)
    if index >= mx.context.num_gpus():
        raise Unavailable(
            f'mxnet: no device "{options.device}": MXNet {mx.__version__} sees'
            f" {mx.context.num_gpus()} GPUs: take cpu, or a CUDA build that knows this GPU"
        )
    return mx.gpu(index)


class MXNet(Adapter):
    """A workload in Gluon: imperative, or hybridised with static memory and shapes."""

    def __init__(self, workload: Workload, weights: Weights, options: Options) -> None:
        self._context, self._options = _context(options), options
        net, self._parameters = nn.HybridSequential(), {}
        for i, place in enumerate(workload.model):
            kinds = [type(layer) for layer in workload.layers[i : i + 2]]
            if kinds == [spec.Flatten, spec.Dense]:
                continue  # Gluon's dense layer flattens its input itself: one operator less.
            block = _layer(place)
            net.add(block)
            for short in place.layer.parameters(place.input):
                self._parameters[f"{place.name}.{short}"] = getattr(block, short)
        self._net, self._training = net, Training(net, workload.loss, workload.classes)
        self._training.initialize(mx.init.Zero(), self._context)
        for name, parameter in self._parameters.items():
            parameter.set_data(mx.nd.array(weights[name]))
        if options.mode == "hybrid":
            self._training.hybridize(static_alloc=True, static_shape=True)
        self._trainer = gluon.Trainer(
            self._training.collect_params(),
            "sgd",
            {"learning_rate": workload.optimiser.lr, "momentum": workload.optimiser.momentum},
            kvstore=None,
        )

    @staticmethod
    def versions() -> dict[str, str]:
        python = platform.python_version()
        return {"mxnet": mx.__version__, "numpy": np.__version__, "python": python}

    def settings(self) -> dict[str, object]:
        features = mx.runtime.Features()
        return {
            "mode": self._options.mode,
            "device": str(self._context),
            "threads": int(os.environ["OMP_NUM_THREADS"]),
            "layout": "NCHW",
            **{name: os.environ.get(name, "default") for name in _VARIABLES},
            **{name: features.is_enabled(name) for name in _FEATURES},
        }

    def _load(self, array: NDArray) -> mx.nd.NDArray:
        """Return an array on the device; on the CPU it shares the memory of `array`."""
        # from_numpy makes what it is given read-only: that is to be a view, not the caller's array.
        shared = mx.nd.from_numpy(np.ascontiguousarray(array)[:])
        return shared if self._options.device == "cpu" else shared.as_in_context(self._context)

    def _backward(self, batch: Batch) -> mx.nd.NDArray:
        """Return the losses, each example's; leave the gradients of their sum in the parameters."""
        inputs, labels = self._load(batch[0]), self._load(batch[1])
        with autograd.record():
            losses = self._training(inputs, labels)
        losses.backward()
        return losses

    def train(self, batches: Sequence[Batch]) -> NDArray[np.float32]:
        losses = []
        for batch in batches:
            losses.append(self._backward(batch))
            self._trainer.step(len(batch[0]))  # It divides the gradients: the sum becomes the mean.
        mx.nd.waitall()
        return np.stack([one.asnumpy() for one in losses]).mean(axis=1)

    def predict(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        logits = [self._net(self._load(x)) for x in inputs]
        mx.nd.waitall()
        return np.concatenate([one.asnumpy() for one in logits])

    def step(self, batch: Batch) -> Step:
        losses, count = self._backward(batch), len(batch[0])
        gradients = {name: p.grad().asnumpy() / count for name, p in self._parameters.items()}
        return Step(self.predict([batch[0]]), float(losses.asnumpy().mean()), gradients)

    def weights(self) -> Weights:
        return {name: p.data().asnumpy() for name, p in self._parameters.items()}
