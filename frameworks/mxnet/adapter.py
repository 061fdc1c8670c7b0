"""MXNet: Gluon layers, autograd and a Trainer; images stay NCHW, all that its CPU kernels know.

It reads the number of threads from the environment, once, when it is imported: the adapter can only
check it.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
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
from frameworks.kernels import Kernel
from frameworks.mxnet import cards, layers, optimisers, profiling
from frameworks.mxnet.kernels import kernels
from frameworks.mxnet.norms import Variances
from frameworks.mxnet.slots import Slots
from frameworks.profiles import Profile
from workloads.batches import Batch
from workloads.spec import Workload

MODES = ("imperative", "hybrid")
_VARIABLES = (
    "OMP_NUM_THREADS",
    "MXNET_CPU_WORKER_NTHREADS",
    "MXNET_ENGINE_TYPE",
    "MXNET_MKLDNN_ENABLED",
    "MXNET_SUBGRAPH_BACKEND",
    "MXNET_USE_OPERATOR_TUNING",
    "MXNET_CUDNN_AUTOTUNE_DEFAULT",
)
_FEATURES = ("MKLDNN", "OPENMP", "BLAS_OPEN", "CPU_AVX", "CUDA", "CUDNN")


def _context(options: Options) -> mx.Context:
    """Return the device, once everything that is asked for can be had.

    TF32 has no switch but NVIDIA_TF32_OVERRIDE, and 1.9's bfloat16 is oneDNN's, for CPUs.
    """
    require_precision("mxnet", options, ("float32",))
    require_variable("mxnet", options, "MXNET_ENFORCE_DETERMINISM", "1")
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
    has_cuda = mx.runtime.Features().is_enabled("CUDA")
    # Counting cards is a call of the CUDA library's, which a build without it has not.
    seen = mx.context.num_gpus() - index if has_cuda else 0
    reason = cards.refusal(mx.__version__, has_cuda, max(0, seen), cards.capability(index))
    if reason:
        raise Unavailable(f"mxnet: device {options.device}: {reason}")
    return mx.gpu(index)


class MXNet(Adapter):
    """A workload in Gluon: imperative, or hybridised with static memory and shapes."""

    def __init__(self, workload: Workload, weights: Weights, options: Options) -> None:
        self._context, self._options = _context(options), options
        self._workload = workload
        try:
            self._build(weights)
        except (AttributeError, TypeError, ImportError) as error:
            if mx.__version__.startswith("1."):
                raise
            raise Unavailable(
                f"mxnet: MXNet {mx.__version__} has not the interface of 1.9 that this adapter is"
                f" written for ({error}): give a build of 1.9"
            ) from error

    def _build(self, weights: Weights) -> None:
        workload, options = self._workload, self._options
        parameters: dict[str, gluon.Parameter] = {}
        self._net = layers.Chain(workload.model, parameters)
        self._training = layers.Training(self._net, workload)
        self._look = layers.Logits(self._net)
        self._training.initialize(mx.init.Zero(), self._context)
        if options.mode == "hybrid":
            self._training.hybridize(static_alloc=True, static_shape=True)
            self._look.hybridize(static_alloc=True, static_shape=True)
        self._parameters = {name: parameters[name] for name in workload.parameters}
        self._state = {name: parameters[name] for name in workload.state}
        self._build_averages()
        optimiser = workload.optimiser
        for parameter in self._parameters.values():
            if optimiser.weight_decay and not optimiser.decay_of(parameter.shape):
                parameter.wd_mult = 0.0
            if optimiser.accumulate > 1:
                parameter.grad_req = "add"
        self._variances = Variances(workload, self._state)
        self.load(weights)

    def _build_averages(self) -> None:
        """Build the net that predicts: with averaged weights, another one, of the same state."""
        self._averages: dict[str, gluon.Parameter] = {}
        self._inference = self._net
        if not self._workload.optimiser.average:
            return
        parameters: dict[str, gluon.Parameter] = {}
        self._inference = layers.Chain(self._workload.model, parameters)
        self._inference.initialize(mx.init.Zero(), self._context)
        if self._options.mode == "hybrid":
            self._inference.hybridize(static_alloc=True, static_shape=True)
        for name, parameter in parameters.items():
            if name in self._state:
                parameter._data = self._state[name]._data  # the very same arrays
            else:
                parameter.grad_req = "null"
                self._averages[name] = parameter

    @staticmethod
    def versions() -> dict[str, str]:
        python = platform.python_version()
        return {"mxnet": mx.__version__, "numpy": np.__version__, "python": python}

    def settings(self) -> dict[str, object]:
        features = mx.runtime.Features()
        return {
            "mode": self._options.mode,
            "precision": self._options.precision,
            "device": str(self._context),
            "threads": int(os.environ["OMP_NUM_THREADS"]),
            "layout": "NCHW",
            "deterministic": os.environ.get("MXNET_ENFORCE_DETERMINISM") == "1",
            **{name: os.environ.get(name, "default") for name in _VARIABLES},
            **{name: features.is_enabled(name) for name in _FEATURES},
        }

    def load(self, weights: Weights) -> None:
        for name, parameter in (self._parameters | self._state).items():
            parameter.set_data(mx.nd.array(weights[name]))
        self._variances.load(weights)
        # A new trainer has no memory; the graphs stay.
        optimiser, self._start = optimisers.make(self._workload)
        self._trainer = gluon.Trainer(self._training.collect_params(), optimiser, kvstore=None)
        self._slots = Slots(self._trainer, self._workload, self._parameters, self._averages)
        self._taken = 0

    def memory(self) -> Memory:
        return Memory(self._taken, self._slots.read(self._taken))

    def restore(self, memory: Memory) -> None:
        self._slots.write(*memory)
        self._taken = memory.steps

    def _array(self, array: NDArray) -> mx.nd.NDArray:
        """Return an array on the device; on the CPU it shares the memory of `array`."""
        # from_numpy makes what it is given read-only: that is to be a view, not the caller's array.
        shared = mx.nd.from_numpy(np.ascontiguousarray(array)[:])
        return shared if self._options.device == "cpu" else shared.as_in_context(self._context)

    def _backward(self, batch: Batch) -> mx.nd.NDArray:
        """Return the losses, each example's, or the mean of a label a step, (1,).

        The gradients of their sum are left in the parameters. Where gradients are accumulated, those of
        their mean are added to what is there.
        """
        masks = [self._array(mask) for mask in batch.masks]
        inputs, labels = self._array(batch.inputs), self._array(batch.labels)
        with autograd.record():
            losses = self._training(inputs, labels, *masks)
        share = None
        if self._workload.optimiser.accumulate > 1:
            share = mx.nd.full(losses.shape, 1 / len(losses), self._context)
        losses.backward(share)
        return losses

    def _portion(self, losses: mx.nd.NDArray) -> int:
        """Return how many times the spec's gradient the parameters' are, at an update."""
        accumulate = self._workload.optimiser.accumulate
        return accumulate if accumulate > 1 else len(losses)

    def train(self, batches: Sequence[Batch]) -> NDArray[np.float32]:
        losses, optimiser = [], self._workload.optimiser
        updates = optimiser.updates(self._taken, len(batches))
        for batch, update in zip(batches, updates, strict=True):
            self._variances.for_training(len(batch.inputs))
            losses.append(self._backward(batch))
            self._variances.moved()
            if update is not None:
                self._update(update, self._portion(losses[-1]))
        mx.nd.waitall()
        self._taken += len(batches)
        return np.array([loss.asnumpy().mean() for loss in losses])

    def _update(self, update: int, portion: int) -> None:
        if self._start:
            self._start(update)
        optimiser = self._workload.optimiser
        if optimiser.clip_value or optimiser.clip_norm:
            gradients = [parameter.grad() for parameter in self._parameters.values()]
            optimisers.clip(optimiser, gradients, portion)
        self._trainer.step(portion)  # It divides the gradients: the sum becomes the mean.
        self._slots.settle()

    def predict(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        self._variances.for_inference()
        logits = [self._inference(self._array(x)) for x in inputs]
        mx.nd.waitall()
        return np.concatenate([batch_logits.asnumpy() for batch_logits in logits])

    def step(self, batch: Batch) -> Step:
        self._variances.for_training(len(batch.inputs))
        # A step's backward pass moves batch norm's state: it is put back.
        before = {name: p.data().copy() for name, p in self._state.items()}
        sums = self._slots.read(self._taken).get("sum", {})
        for name in sums:
            self._parameters[name].zero_grad()
        losses = self._backward(batch)
        count = 1 if sums else len(losses)
        gradients = {name: p.grad().asnumpy() / count for name, p in self._parameters.items()}
        for name, array in sums.items():
            self._parameters[name].grad()[:] = array
        with autograd.train_mode():
            masks = [self._array(mask) for mask in batch.masks]
            logits = self._look(self._array(batch.inputs), *masks).asnumpy()
        for name, parameter in self._state.items():
            parameter.set_data(before[name])
        return Step(logits, float(losses.asnumpy().mean()), gradients)

    def weights(self) -> Weights:
        everything = (self._parameters | self._state).items()
        return {name: p.data().asnumpy() for name, p in everything} | self._variances.unbiased()

    def kernels(self) -> dict[str, Kernel]:
        return kernels(self._context)

    def profile(self, batches: Sequence[Batch], folder: Path) -> Profile:
        return profiling.profile(lambda: self.train(batches), folder)
