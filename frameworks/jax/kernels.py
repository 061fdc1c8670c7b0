"""JAX's fastest products and copy, and its smallest operation: what limits are taken from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

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


def kernels(device: jax.Device) -> dict[str, Kernel]:
    """Return the kernels on a device, which has to be the default one."""
    sizes = ON_CPU if device.platform == "cpu" else ON_GPU
    # Onto an array that it owns: new memory for each copy would be faulted in page by page.
    copy = jax.jit(lambda source, target: jnp.copy(source), donate_argnums=1, keep_unused=True)

    def product(dtype: jnp.dtype, precision: str = "highest") -> Kernel:
        multiply = jax.jit(partial(jnp.matmul, precision=precision))

        def of_side(side: int) -> Callable[[], object]:
            a, b = jax.random.uniform(jax.random.key(0), (2, side, side)).astype(dtype)
            return lambda: multiply(a, b).block_until_ready()

        return sizes.product(of_side)

    source, targets = jnp.ones(sizes.length), [jnp.zeros(sizes.length)]
    scalar = jnp.ones(1)

    def copied() -> None:
        targets.append(copy(source, targets.pop()).block_until_ready())

    return {
        FLOAT32: product(jnp.float32),
        **({} if device.platform == "cpu" else {TF32: product(jnp.float32, "tensorfloat32")}),
        BFLOAT16: product(jnp.bfloat16),
        COPY: sizes.copy(copied),
        # A device computes in the order in which it is asked: the last of all is waited for.
        DISPATCH: dispatches(
            lambda: jnp.add(scalar, scalar), lambda: jnp.add(scalar, scalar).block_until_ready()
        ),
    }
