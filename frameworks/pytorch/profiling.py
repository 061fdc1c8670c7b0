"""torch.profiler over some training steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity

from frameworks.profiles import Operator, Profile


def profile(train: Callable[[], object], folder: Path, device: torch.device) -> Profile:
    """Call `train` under the profiler. On a GPU the operators are its kernels."""
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with torch.profiler.profile(activities=activities) as profiler:
        train()
    trace = folder / "trace.json"
    profiler.export_chrome_trace(str(trace))
    kind, unit = (DeviceType.CUDA, "device") if on_gpu else (DeviceType.CPU, "cpu")
    operators = [
        Operator(
            average.key,
            average.count,
            getattr(average, f"{unit}_time_total"),
            getattr(average, f"self_{unit}_time_total"),
        )
        for average in profiler.key_averages()
        if average.device_type == kind
    ]
    return Profile(trace, operators)


@contextmanager
def named_kernels() -> Iterator[None]:
    """Have graphs compiled meanwhile record their C++ kernels by name; compile all others anew.

    The names cost a little at each call, so that graphs for timing go without.
    """
    from torch._inductor import config as inductor  # here: it would count as the import of torch

    torch.compiler.reset()
    with inductor.patch({"cpp.enable_kernel_profile": True}):
        yield
    torch.compiler.reset()
