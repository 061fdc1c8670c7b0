"""PyTorch's fastest products and copy, and its smallest operation: what limits are taken from."""

from __future__ import annotations

from collections.abc import Callable

import torch

from frameworks.kernels import (
    BFLOAT16,
    COPY,
    DISPATCH,
    FLOAT32,
    ON_CPU,
    ON_GPU,
    TF32,
    Kernel,
    dispatches,
)


def kernels(device: torch.device, wait: Callable[[], None]) -> dict[str, Kernel]:
    """Return the kernels on a device; `wait` returns when it has finished."""
    sizes = ON_CPU if device.type == "cpu" else ON_GPU

    matmul = torch.backends.cuda.matmul

    def product(dtype: torch.dtype, precision: str = "ieee") -> Kernel:
        def of_side(side: int) -> Callable[[], None]:
            a, b = torch.rand(2, side, side, device=device).to(dtype)
            out = torch.empty_like(a)

            def run() -> None:
                of_the_cell, matmul.fp32_precision = matmul.fp32_precision, precision
                torch.matmul(a, b, out=out)
                matmul.fp32_precision = of_the_cell
                wait()

            return run

        return sizes.product(of_side)

    source, target = torch.ones(2, sizes.length, device=device)
    scalar = torch.ones(1, device=device)

    def copy() -> None:
        target.copy_(source)
        wait()

    return {
        FLOAT32: product(torch.float32),
        **({TF32: product(torch.float32, "tf32")} if device.type == "cuda" else {}),
        BFLOAT16: product(torch.bfloat16),
        COPY: sizes.copy(copy),
        DISPATCH: dispatches(lambda: torch.add(scalar, scalar), wait),
    }
