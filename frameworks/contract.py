"""What an adapter offers. Standard library and numpy only: it runs in every environment.

Everything that crosses this line is canonical (see `workloads`): float32 inputs of shape
(batch, channels, height, width), (batch, features) or (batch, steps) of tokens, int64 labels of shape
(batch,) or (batch, steps), weights as
(out, in) or (out, in, kernel height, kernel width). Inside, an adapter may lay out and fuse as it
likes, as long as it computes the same step.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from frameworks.kernels import Kernel, numpy_kernels
from frameworks.profiles import Profile
from workloads.batches import Batch
from workloads.layers import Layer
from workloads.optimisers import Optimiser
from workloads.spec import Workload

Weights = dict[str, NDArray[np.float32]]

PRECISIONS = ("float32", "tf32", "bfloat16")
"""The arithmetics of a cell. float32: whole, with TF32 off wherever a framework could use it. tf32:
float32 arrays, whose products may round their operands to TF32. bfloat16: mixed, that is, float32
weights, products of operands rounded to bfloat16, the loss and the update in float32."""


class Unavailable(RuntimeError):
    """This framework cannot run here, and why: a missing device, an unsupported mode."""


@dataclass(frozen=True)
class Options:
    """How to execute: the framework's own `mode`, the device, threads, one of PRECISIONS.

    Of the machine's cards a worker sees its own and no other: the device is cpu or cuda.
    `deterministic`: by the framework's own switch, the same bits in every run, as far as it has it.
    """

    mode: str
    device: str = "cpu"
    threads: int = 1
    precision: str = "float32"
    deterministic: bool = False


def require_precision(
    framework: str, options: Options, offered: Sequence[str] = PRECISIONS
) -> None:
    """Raise Unavailable where an adapter, or the device, has not the precision that is asked for."""
    if options.precision not in offered:
        raise Unavailable(
            f"{framework}: no {options.precision} arithmetic: take {' or '.join(offered)}"
        )
    if options.precision == "tf32" and options.device == "cpu":
        raise Unavailable(f"{framework}: TF32 is what tensor cores of GPUs do: a CPU has none")


def require_variable(framework: str, options: Options, name: str, word: str) -> None:
    """Raise Unavailable where determinism is asked for and its variable does not hold `word`."""
    if options.deterministic and word not in os.environ.get(name, "").split():
        raise Unavailable(
            f"{framework}: deterministic: {name} has not {word}, which is read once: set it before"
            " Python starts"
        )


def unsupported(framework: str, part: Layer | Optimiser) -> NoReturn:
    """Raise Unavailable: an adapter has no line for this class of layer or optimiser.

    Adapters look a class up in their table as ``TABLE.get(type(part)) or unsupported(...)``, when they
    are built: a subclass is another class, with a formula of its own.
    """
    raise Unavailable(
        f"{framework} has no {part.kind}: add it to frameworks/{framework}, or leave {framework} out"
    )


@dataclass(frozen=True)
class Step:
    """One training step, looked into: `logits` (batch, ..., classes), the loss, every gradient."""

    logits: NDArray
    loss: float
    gradients: dict[str, NDArray]


class Memory(NamedTuple):
    """What a training goes on from, beside weights and state.

    `steps`: how many were taken since the start, a batch each. `slots`: by each name in the optimiser's
    `slots`, an array per parameter in the layout of `weights`. They are float32, or float64 where the
    framework keeps a multiple of the spec's array and float32 would lose bits on the way back.
    """

    steps: int
    slots: dict[str, dict[str, NDArray]]


class Adapter(ABC):
    """A workload's model in one framework, built from start weights.

    The constructor applies `options` (threads, device, mode, precision, determinism) before the
    framework does any work. It raises Unavailable where they cannot be had.
    """

    @abstractmethod
    def __init__(self, workload: Workload, weights: Weights, options: Options) -> None: ...

    @staticmethod
    @abstractmethod
    def versions() -> dict[str, str]:
        """Return the versions of the framework and of what decides its speed."""

    @abstractmethod
    def settings(self) -> dict[str, object]:
        """Return the settings in force, read back from the framework where it reports them."""

    @abstractmethod
    def load(self, weights: Weights) -> None:
        """Go back to a start: set all weights and state, and the optimiser to before its first step.

        Averages of weights begin with these.

        Nothing is compiled again: later calls run what earlier calls ran.
        """

    @abstractmethod
    def memory(self) -> Memory:
        """Return the count of steps and copies of the optimiser's slots.

        Before the first step they are zeros, but for the slot "average", which is the weights.

        After `load` of the weights at that time and `restore` of this, training goes on as it did.
        """

    @abstractmethod
    def restore(self, memory: Memory) -> None:
        """Go on from `memory`; called right after `load` of the weights that go with it.

        Sets the optimiser's slots and the count of steps, which decides rates and bias corrections.
        Nothing is compiled again.
        """

    @abstractmethod
    def train(self, batches: Sequence[Batch]) -> NDArray[np.float32]:
        """Take one training step a batch; return each step's loss (before its update), (steps,).

        Batches may differ in size: an epoch's last may be short. `Optimiser.updates` says which steps end
        with an update, `workload.rates` the learning rate, by the updates since the start. From
        batches in host memory to updated weights: it returns when the device has finished.
        """

    @abstractmethod
    def predict(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the logits of some batches, one after the other: (sum of batch, ..., classes).

        As in inference: batch norm by its state, no dropout, weights by their average if there is one.
        """

    @abstractmethod
    def step(self, batch: Batch) -> Step:
        """Compute one training step's logits, loss and gradients; weights and state stay as they are.

        As in training: batch norm by the batch's own statistics, dropout by the batch's masks.
        """

    @abstractmethod
    def weights(self) -> Weights:
        """Return all weights and state in canonical layout, float32, as copies."""

    def device_peak_bytes(self) -> int | None:
        """Return the most device memory that the framework's allocator had in use, if it counts."""
        return None

    def resident(self, batches: Sequence[Batch]) -> Sequence[Batch] | None:
        """Return the batches with their arrays on the device, for `train` to take without copying.

        None: not offered.
        """
        return None

    def device_seconds(self, work: Callable[[], object]) -> float | None:
        """Do `work`; return how long it took by the device's own clock.

        None, and nothing is done: the framework does not report it, or the device has no such clock.
        """
        return None

    def kernels(self) -> dict[str, Kernel]:
        """Return what a machine's limits are taken from, on this adapter's device and threads.

        "float32 product", "tf32 product" and "bfloat16 product" where framework and device have
        them, whatever the precision of this cell, "copy" and "tiny operations". Their arrays live as
        long as what is returned.
        """
        return numpy_kernels()

    def profile(self, batches: Sequence[Batch], folder: Path) -> Profile:
        """Train on `batches` under the framework's own profiler; write its trace to `folder`.

        Once in a process, and after `train` has run. The weights go where training takes them,
        perhaps over the batches more than once: `load` to go on.

        Raises:
            Unavailable: it has no profiler.
        """
        raise Unavailable(f"{type(self).__name__} has no profiler of its own")
