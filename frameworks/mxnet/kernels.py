"""MXNet's fastest product and copy, and its smallest operation: what limits are taken from.

It has no bfloat16 array.
"""

from __future__ import annotations

from collections.abc import Callable

import mxnet as mx

from frameworks.kernels import COPY, DISPATCH, FLOAT32, ON_CPU, ON_GPU, Kernel, dispatches


def kernels(context: mx.Context) -> dict[str, Kernel]:
    """Return the kernels on a device."""
    sizes = ON_CPU if context.device_type == "cpu" else ON_GPU
    source, target = (mx.nd.ones(sizes.length, context) for _ in range(2))
    scalar = mx.nd.ones(1, context)

    def product(side: int) -> Callable[[], None]:
        a, b = (mx.nd.random.uniform(shape=(side, side), ctx=context) for _ in range(2))
        out = mx.nd.empty((side, side), context)

        def run() -> None:
            # oneDNN's; nd.dot is OpenBLAS built without AVX, and a fifth as fast.
            mx.nd.FullyConnected(a, b, num_hidden=side, no_bias=True, out=out)
            mx.nd.waitall()

        return run

    def copy() -> None:
        source.copyto(target)
        mx.nd.waitall()

    return {
        FLOAT32: sizes.product(product),
        COPY: sizes.copy(copy),
        DISPATCH: dispatches(lambda: mx.nd.elemwise_add(scalar, scalar), mx.nd.waitall),
    }
