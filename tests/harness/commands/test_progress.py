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


def test_a_failed_cell_names_its_verdict_once() -> None:
    status, reason = "not equivalent", "not equivalent: the loss differs by 1.0e-02 (bound 6e-06)"
    line = said("cell-failed", cell=CELL, status=status, reason=reason)
    assert line.count(status) == 1 and "the loss differs by 1.0e-02" in line


def test_a_refused_workload_is_said() -> None:
    line = said("workload-refused", workload="toy", reason="the reference is not finite")
    assert line == "x toy refused: the reference is not finite\n"


CELLS = [
    {"cell": f"toy/{name}/fast/cpu/float32", "speed": speed, "low": low, "high": high}
    | {"rank": rank, "rank_worst": worst}
    for name, speed, low, high, rank, worst in (
        ("left", 2000.0, 1900.0, 2100.0, 1, 1),
        ("right", 990.0, None, None, 2, 3),
    )
]


def test_a_terminal_shows_the_table_so_far() -> None:
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=True, color_system=None)
    with Display(console) as display:
        display(
            {"event": "run-started", "cell": None, "cells": 2, "budget": 9.0, "workloads": ["toy"]}
        )
        display(
            {"event": "standing", "cell": None, "workload": "toy", "launches": 2, "cells": CELLS}
            | {"pairs": 1, "open": 1}
        )
    shown = out.getvalue()
    assert "left fast" in shown and "1,900 to 2,100" in shown and "2-3" in shown
    assert "after 2 launches: 1 of 1 pair open" in shown


def test_a_log_has_a_line_for_the_pair_that_leads_and_none_before_there_is_one() -> None:
    standing = {"workload": "toy", "launches": 2, "cells": CELLS, "pairs": 1, "open": 1}
    assert said("standing", **standing) == ""
    lead = {"a": CELLS[0]["cell"], "b": CELLS[1]["cell"], "ratio": 2.0, "low": 1.9, "high": 2.1}
    line = said("standing", **standing, **lead)
    assert line == (
        "  toy: after 2 launches left fast has 2.00x (1.90 to 2.10) right fast's training throughput;"
        " 1 of 1 pairs are not known to the precision yet\n"
    )
