"""PyTorch: eager with autograd and torch.optim, or the whole step compiled as one graph.

On cuda the compiled step may be replayed as CUDA graphs besides.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
from frameworks.profiles import Profile
from frameworks.pytorch import profiling
from frameworks.pytorch.kernels import kernels
from frameworks.pytorch.layers import build, named_tensors
from frameworks.pytorch.modes import MODES
from workloads.batches import Batch
from workloads.spec import Workload


class PyTorch(Adapter):
    """An nn.Sequential with the spec's names; channels last where that is faster."""

    def __init__(self, workload: Workload, weights: Weights, options: Options) -> None:
        if options.mode not in MODES:
            raise Unavailable(f"pytorch: no mode {options.mode!r}: take {' or '.join(MODES)}")
        self._device = find_device(options.device)
        require_precision("pytorch", options)
        self._mode, self._precision = options.mode, options.precision
        apply_threads(options.threads)
        apply_precision(options.precision)
        apply_determinism(options.deterministic)
        model = build(workload)
        # 1.05 to 1.25 of NCHW's throughput on the CPU. On a GPU, channels last pays with tensor
        # cores only, which strict float32 does not use.
        pays = self._device.type == "cpu" or options.precision != "float32"
        images = len(workload.input_shape) == 3 and pays
        self._layout = torch.channels_last if images else torch.contiguous_format
        model.to(self._device, memory_format=self._layout)
        self._tensors = named_tensors(model)
        self._core = MODES[options.mode](model, workload, options.precision)
        self.load(weights)

    @staticmethod
    def versions() -> dict[str, str]:
        built = torch.__config__.show()
        libraries = re.findall(
            r"(oneDNN|Math Kernel Library|MKL-DNN) (?:Version |v)([\w.]+)", built
        )
        cuda = {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
        return {
            "torch": torch.__version__,
            **dict(libraries),
            **{name: str(version) for name, version in cuda.items() if version},
            "numpy": np.__version__,
            "python": platform.python_version(),
        }

    def settings(self) -> dict[str, object]:
        backends = torch.backends
        settings: dict[str, object] = {
            "mode": self._mode,
            "precision": self._precision,
            "device": str(self._device),
            "threads": torch.get_num_threads(),
            "interop_threads": torch.get_num_interop_threads(),
            "layout": "NHWC" if self._layout is torch.channels_last else "NCHW",
            "mkldnn": backends.mkldnn.is_available() and backends.mkldnn.enabled,
            "cpu_capability": backends.cpu.get_cpu_capability(),
            **{f"fp32_precision.{name}": b.fp32_precision for name, b in precisions().items()},
            "deterministic": torch.are_deterministic_algorithms_enabled(),
        }
        if self._device.type == "cuda":
            settings["gpu"] = torch.cuda.get_device_name(self._device)
            settings["cudnn_benchmark"] = backends.cudnn.benchmark
            settings["cudnn_deterministic"] = backends.cudnn.deterministic
        elif self._mode != "eager":
            settings["compiler"] = compiler()
        return settings

    def _put(self, array: NDArray | Tensor) -> Tensor:
        """Host array to tensor: shared on the CPU, copied asynchronously to a GPU.

        What is there already stays.
        """
        if isinstance(array, Tensor):
            return array
        tensor = torch.from_numpy(array)
        if self._device.type == "cuda":
            tensor = tensor.pin_memory().to(self._device, non_blocking=True)
        return tensor.to(memory_format=self._layout) if array.ndim == 4 else tensor

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    def load(self, weights: Weights) -> None:
        with torch.no_grad():
            for name, tensor in self._tensors.items():
                tensor.copy_(torch.tensor(weights[name]))
        self._core.reset()
        self._steps = 0

    def memory(self) -> Memory:
        slots = self._core.slots().items()
        copies = {slot: {k: canonical(t) for k, t in tensors.items()} for slot, tensors in slots}
        return Memory(self._steps, copies)

    def restore(self, memory: Memory) -> None:
        self._core.restore(*memory)
        self._steps = memory.steps

    def train(self, batches: Sequence[Batch]) -> NDArray[np.float32]:
        put, train = self._put, self._core.train
        plan = self._core.plan(self._steps, len(batches))
        # Read once, at the end: reading a loss makes the host wait for the device.
        losses = [
            train(put(inputs), put(labels), [put(mask) for mask in masks], row)
            for (inputs, labels, masks), row in zip(batches, plan, strict=True)
        ]
        self._steps += len(batches)
        result = torch.stack(losses).cpu().numpy()
        self._wait()
        return result

    def predict(self, inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits = torch.cat([self._core.forward(self._put(x)) for x in inputs]).cpu().numpy()
        self._wait()
        return logits

    def step(self, batch: Batch) -> Step:
        inputs, labels, masks = self._put(batch.inputs), self._put(batch.labels), batch.masks
        gradients, loss, logits = self._core.gradients(
            inputs, labels, [self._put(mask) for mask in masks]
        )
        return Step(canonical(logits), loss.item(), {k: canonical(g) for k, g in gradients.items()})

    def weights(self) -> Weights:
        return {name: canonical(w) for name, w in self._tensors.items()}

    def resident(self, batches: Sequence[Batch]) -> Sequence[Batch]:
        put = self._put
        on_device: list[Any] = [
            Batch(put(batch.inputs), put(batch.labels), tuple(map(put, batch.masks)))
            for batch in batches
        ]
        self._wait()
        return on_device

    def device_seconds(self, work: Callable[[], object]) -> float | None:
        if self._device.type != "cuda":
            return None
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3

    def device_peak_bytes(self) -> int | None:
        on_gpu = self._device.type == "cuda"
        return torch.cuda.max_memory_allocated(self._device) if on_gpu else None

    def kernels(self) -> dict[str, Kernel]:
        return kernels(self._device, self._wait)

    def profile(self, batches: Sequence[Batch], folder: Path) -> Profile:
        with profiling.named_kernels() if self._mode != "eager" else nullcontext():
            self.train(batches)
            return profiling.profile(lambda: self.train(batches), folder, self._device)


def canonical(tensor: Tensor) -> NDArray[np.float32]:
    """A copy in host memory, in C order."""
    return np.array(tensor.detach().cpu().numpy(), order="C")


def find_device(name: str) -> torch.device:
    """Return the device called cpu, cuda or cuda:N, or raise Unavailable."""
    if name == "cpu":
        return torch.device("cpu")
    match = re.fullmatch(r"cuda(?::(\d+))?", name)
    if not match:
        raise Unavailable(f"pytorch: no device {name!r}: take cpu, cuda or cuda:N")
    index = int(match[1] or 0)
    if not torch.cuda.is_available() or index >= torch.cuda.device_count():
        raise Unavailable(
            f"pytorch: device {name}: torch {torch.__version__} sees {torch.cuda.device_count()}"
            " CUDA GPUs: take device cpu, or a CUDA build of torch on a machine with that GPU"
        )
    return torch.device("cuda", index)


def apply_threads(threads: int) -> None:
    """Size both of PyTorch's pools, or raise Unavailable."""
    torch.set_num_threads(threads)
    # The inter-op pool can be sized once in a process.
    if torch.get_num_interop_threads() != threads:
        try:
            torch.set_num_interop_threads(threads)
        except RuntimeError as error:
            raise Unavailable(
                f"pytorch: {threads} threads: this process has run with"
                f" {torch.get_num_interop_threads()} already: start a fresh one"
            ) from error


def precisions() -> dict[str, Any]:
    """Every place where PyTorch may trade float32's bits for speed, by name."""
    cuda, cudnn, mkldnn = torch.backends.cuda, torch.backends.cudnn, torch.backends.mkldnn
    return {
        "cuda.matmul": cuda.matmul,
        "cudnn.conv": cudnn.conv,
        "mkldnn.conv": mkldnn.conv,
        "mkldnn.matmul": mkldnn.matmul,
    }


def apply_precision(precision: str) -> None:
    """Keep float32 whole, no TF32 and no bfloat16 inside; but for "tf32", TF32 wherever CUDA has it.

    bfloat16 is not asked for here: there, products take operands that are bfloat16 (autocast).
    """
    for name, backend in precisions().items():
        on = precision == "tf32" and name.startswith("cu")
        backend.fp32_precision = "tf32" if on else "ieee"


def apply_determinism(deterministic: bool) -> None:
    """Have PyTorch and cuDNN compute the same bits in every run, or refuse; or the fastest way.

    Shapes are static: cuDNN tries its algorithms once a shape, while the worker warms up. Which of
    them wins may differ from run to run, so then it is not to try.
    """
    if deterministic:  # or eager mode would import the compiler for nothing
        torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = not deterministic


def compiler() -> str:
    """The first line that torch.compile's C++ compiler says of itself."""
    name = os.environ.get("CXX") or ("clang++" if platform.system() == "Darwin" else "g++")
    output = subprocess.run([name, "--version"], capture_output=True, text=True, check=False).stdout
    return output.partition("\n")[0]
