"""TensorFlow's fastest products and copy, and its smallest operation: what limits are taken from."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

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


def kernels(device: str) -> dict[str, Kernel]:
    """Return the kernels on the device in use, "cpu" or one of CUDA's."""
    sizes = ON_CPU if device == "cpu" else ON_GPU
    flag, wait = tf.config.experimental, tf.test.experimental.sync_devices

    def product(dtype: tf.DType, tf32: bool = False) -> Kernel:
        def of_side(side: int) -> Callable[[], None]:
            values = tf.random.stateless_uniform((2, side, side), (0, 0))
            a, b = tf.unstack(tf.cast(values, dtype))

            def run() -> None:
                of_the_cell = flag.tensor_float_32_execution_enabled()
                flag.enable_tensor_float_32_execution(tf32)
                tf.matmul(a, b)
                wait()
                flag.enable_tensor_float_32_execution(of_the_cell)

            return run

        return sizes.product(of_side)

    source, scalar = tf.ones(sizes.length), tf.ones(1)

    def copy() -> None:
        tf.raw_ops.DeepCopy(x=source)  # tf.identity and assign may share memory instead
        wait()

    return {
        FLOAT32: product(tf.float32),
        **({} if device == "cpu" else {TF32: product(tf.float32, tf32=True)}),
        BFLOAT16: product(tf.bfloat16),
        COPY: sizes.copy(copy),
        DISPATCH: dispatches(lambda: tf.add(scalar, scalar), wait),
    }
