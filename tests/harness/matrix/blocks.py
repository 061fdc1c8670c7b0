"""Blocks of units that a test makes up: two or more cells with known ratios on nodes of known speeds."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from harness.matrix.merge import Block
from harness.matrix.plan import Unit


def cell_of(mode: str) -> str:
    return f"mlp-digits/toy/{mode}/cpu/float32"


def made_up_block(
    number: int,
    logs: Mapping[str, float],
    node: str = "n1",
    seed: int = 0,
    fingerprint: str = "ab",
    alone: bool = True,
    kernel_rate: float = 100.0,
    variance: float | None = 0.0,
    launches: int = 5,
    **figures: Any,
) -> Block:
    """A unit in which each mode's log speed is that of `logs`."""
    modes = [*logs]
    row = {"status": "ok", "reason": "", "reference": False, "parity": "equivalent"}
    pairs = [
        [a, b, logs[modes[a]] - logs[modes[b]], launches, variance, 0.0]
        for a, b in combinations(range(len(modes)), 2)
    ]
    whole = {
        "schema": 1,
        "fingerprint": fingerprint,
        "machine": f"Toy {fingerprint}",
        "kernel_rate": kernel_rate,
        "contaminated": 0.0,
        "not_alone": [] if alone else ["other jobs on its node (1 of ann)"],
        "sources": "s",
        "versions": {"toy": "1"},
        "quick": False,
        "pairs": {"train": pairs, "predict": pairs},
        "cells": [
            {**row, "cell": cell_of(mode), "accuracy": 0.9 + seed / 100, "peak_memory_bytes": 1}
            for mode in modes
        ],
    }
    unit = Unit("mlp-digits", "cpu", seed, 1)
    return Block(number, unit, node, whole | figures)


def made_up_result(block: Block, **changes: Any) -> dict[str, Any]:
    """What done.json holds of a unit with that block."""
    about = {"state": "done", "attempt": "a", "node": block.node, "neighbours": []}
    return {**about, "block": dict(block.figures), **changes}
