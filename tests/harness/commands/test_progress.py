"""What a run says as it goes."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from harness.commands.progress import Display
from harness.verdicts import BEFORE, EQUIVALENT, NOT_EQUIVALENT, REPLAYED, UNDECIDED
from tests.parity_event import TENSOR, parity_event

CELL = "toy/left/fast/cpu/float32"


def said(event: str, cell: str | None = None, **fields: Any) -> str:
    out = io.StringIO()
    Display(Console(file=out, width=200))({"event": event, "cell": cell, **fields})
    return out.getvalue()


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (parity_event(EQUIVALENT), f"equivalent (nearest its bound: {TENSOR}, 0.10 of it)"),
        (parity_event(UNDECIDED), f"parity undecided: {TENSOR}"),
        (
            parity_event(NOT_EQUIVALENT, hint="a scaled loss"),
            "not equivalent: gradient of dense1.bias is off by 3e-2 (a scaled loss)",
        ),
    ],
)
def test_a_cell_s_verdict_is_said_before_it_is_timed(event: dict[str, Any], words: str) -> None:
    assert said("parity", CELL, **event) == f"  toy: left fast: {words}\n"
    assert event["when"] == BEFORE and not said("parity", CELL, **{**event, "when": REPLAYED})


def test_a_refused_workload_is_said() -> None:
    line = said("workload-refused", workload="toy", reason="the reference is not finite")
    assert line == "x toy refused: the reference is not finite\n"
