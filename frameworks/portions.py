"""Which batches of a list one compiled call may train on, in adapters that have such a call.

Standard library and numpy only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from workloads.batches import Batch

SEVERAL = 8
"""Steps of one call: what Keras calls steps_per_execution."""

LARGEST_BYTES = 2**18
"""A batch whose inputs are larger is trained on by itself: stacking it costs more than a call."""


def portions(batches: Sequence[Batch], several: bool) -> Iterator[Sequence[Batch]]:
    """Yield the batches in their order: where `several`, SEVERAL small ones of one size, else one."""
    start = 0
    while start < len(batches):
        following = batches[start : start + SEVERAL]
        sizes = {batch.inputs.shape for batch in following}
        together = several and len(following) == SEVERAL and len(sizes) == 1
        count = SEVERAL if together and _is_small(following[0]) else 1
        yield following[:count]
        start += count


def _is_small(batch: Batch) -> bool:
    size = 4  # bytes of a float32
    for side in batch.inputs.shape:
        size *= side
    return size <= LARGEST_BYTES
