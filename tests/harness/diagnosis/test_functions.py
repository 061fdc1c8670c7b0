"""Layers by a wrong formula are named, also those within blocks, and not taken for coarse rounding."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from frameworks.reference.adapter import Reference
from frameworks.reference.layers import FUNCTIONS
from frameworks.reference.pools import MaxPool
from harness.diagnosis import hint
from harness.parity import judge
from harness.verdicts import NOT_EQUIVALENT
from tests.frameworks.mutants import Mutant
from tests.harness.parity.cases import Single, answered, net, run_of
from workloads import layers
from workloads.spec import Workload

CONVOLUTION = {"kind": "conv2d", "filters": 4, "kernel": 3, "padding": 1}
POOL = {"kind": "maxpool", "size": 3, "stride": 1, "padding": 1}
FLATTEN = {"kind": "flatten"}


def advice(workload: Workload, kind: Any) -> str:
    """The hint about an adapter that has to fail."""
    run = run_of(workload)
    answers = answered(run, kind)
    verdict = judge(answers, run, "float32")
    assert verdict.value == NOT_EQUIVALENT
    return hint(answers, run, verdict) or ""


class Padded(MaxPool):
    def _elements(self, x: NDArray, padding: float) -> list[NDArray]:
        return super()._elements(x, max(padding, 0.0))


@pytest.mark.parametrize(
    "pooled",
    [(POOL,), ({"kind": "branches", "join": "concat", "branches": [[CONVOLUTION], [POOL]]},)],
)
def test_max_pooling_padded_by_zeros_is_named(pooled: tuple[dict[str, Any], ...]) -> None:
    # Nearly all largest elements are positive: what is wrong is as small as coarse rounding.
    workload = net(CONVOLUTION, *pooled, FLATTEN)
    functions = {**FUNCTIONS, layers.MaxPool: Padded}
    kind = partial(Reference, dtype=np.float32, functions=functions)
    assert "max pooling is padded by zeros" in advice(workload, kind)


class OneGroup(Mutant):
    def spec(self, workload: Workload) -> Workload:
        def change(layer: layers.Layer) -> layers.Layer:
            return replace(layer, groups=1) if isinstance(layer, layers.GroupNorm) else layer

        return replace(workload, layers=layers.changed(workload.layers, change))


@pytest.mark.parametrize("within", [False, True])
def test_another_layer_is_named_also_within_a_block(within: bool) -> None:
    body = [{"kind": "groupnorm", "groups": 2}, CONVOLUTION]
    block = [{"kind": "residual", "body": body}] if within else body
    workload = net(CONVOLUTION, *block, FLATTEN)
    words = advice(workload, lambda *rest: OneGroup(Single, *rest))
    assert words == "group norm takes all channels together"
