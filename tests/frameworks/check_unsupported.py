"""Asks an adapter for layers and optimisers that it does not have, inside its environment.

    python -P check_unsupported.py <framework> <mode>...

Prints one line of JSON, the last: by mode and kind what the adapter says, "" where it accepts.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

sys.path.append(str(Path(__file__).resolve().parents[2]))

import frameworks
from frameworks.contract import Adapter, Options, Unavailable
from workloads import spec
from workloads.init import start_weights
from workloads.layers import Dense, Layer, Relu, Residual, Shape
from workloads.optimisers import Adam, Optimiser, Sgd
from workloads.spec import Workload


class Swish(Layer):
    kind, group = "swish", "swish"
    initial_values: ClassVar[dict[str, float]] = {"weight": 1}

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": (2, 3, 4)}  # of a rank that no layer has


class CappedRelu(Relu):
    kind = "cappedrelu"


class Gated(Residual):
    kind = "gated"


class Lion(Optimiser):
    kind, slots = "lion", ("m",)


class Nesterov(Sgd):
    kind = "nesterov"


class Lamb(Adam):
    kind = "lamb"


def workloads() -> Iterator[tuple[str, Workload]]:
    """Yield a kind that no adapter has, and a workload with it; some are subclasses of what all have."""
    base = spec.load("mlp-2-3-2")
    for layer in (Swish(), CappedRelu(), Gated(body=(Relu(),))):
        yield layer.kind, dataclasses.replace(base, layers=(layer, Dense(2)))
    inside = Residual(body=(Swish(),))
    yield "swish", dataclasses.replace(base, layers=(inside, Dense(2)))
    for optimiser in (Lion(0.1), Nesterov(0.1, momentum=0.9), Lamb(0.1)):
        yield optimiser.kind, dataclasses.replace(base, optimiser=optimiser)


def answers(adapter: type[Adapter], mode: str) -> list[tuple[str, str]]:
    """Return each kind with what the adapter says to it."""
    said = []
    for kind, workload in workloads():
        try:
            adapter(workload, start_weights(workload), Options(mode))
        except Unavailable as error:
            said.append((kind, str(error)))
        else:
            said.append((kind, ""))
    return said


if __name__ == "__main__":
    framework, *modes = sys.argv[1:]
    adapter = frameworks.adapter(framework)
    print(json.dumps({mode: answers(adapter, mode) for mode in modes}))
