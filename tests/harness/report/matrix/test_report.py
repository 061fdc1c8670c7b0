"""What the report of a matrix says, in each format."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from harness.matrix.merge import Block
from harness.matrix.plan import Plan, Unit
from harness.matrix.status import MatrixState, UnitState
from harness.report.matrix import content, html_page, markdown, terminal
from tests.harness.matrix.blocks import made_up_block

HOSTILE = '<script>alert("x")</script> | `a` \x1b[31m'


def plan_of(tmp_path: Path, units: int) -> Plan:
    folder = tmp_path / "toys-1"
    return Plan(folder, {}, {}, tuple(Unit("mlp-digits", "cpu", n, 1) for n in range(units)))


def state_of(results: list[Block], *undone: UnitState) -> MatrixState:
    done = [
        UnitState(
            result.number,
            "done",
            node=result.node,
            attempts=1,
            done={"state": "done", "block": result.figures},
        )
        for result in results
    ]
    return MatrixState((*done, *undone))


def fast_and_slow(number: int, node: str, **changes: object) -> Block:
    logs = {"fast": 0.7 + number / 1000, "slow": 0.0}
    return made_up_block(number, logs, node, **changes)  # type: ignore[arg-type]


def text_of(tmp_path: Path, state: MatrixState) -> str:
    return markdown.render(content.build(plan_of(tmp_path, len(state.units)), state))


def test_ratios_ranks_and_the_map_are_there(tmp_path: Path) -> None:
    results = [fast_and_slow(n, f"n{n}", variance=0.0004) for n in range(4)]
    lost = UnitState(4, "lost", "NODE_FAIL", "n9", 2, ("the last line",))
    text = text_of(tmp_path, state_of(results, lost))
    assert "5 units: 4 done, 1 lost" in text
    assert (
        "toy fast is fastest on Toy ab: 2.02x (" in text
        and "the training speed of toy slow" in text
    )
    assert "- frameworks: toy 1" in text and "- options of each run: none" in text
    assert "| 1 | toy fast | 1 | 1 |" in text
    assert "| 2 | toy slow | 0.50x (0.49 to 0.50)" in text and "| 2.0% |" in text
    assert "4 nodes, 4 units" in text
    assert "| 4 | mlp-digits, cpu, seed 4, replicate 1 | lost | n9 | 2 | NODE_FAIL |" in text
    assert "the last line" in text


def test_units_that_were_not_alone_are_named_and_rank_nothing(tmp_path: Path) -> None:
    results = [fast_and_slow(n, f"n{n}", alone=n > 0) for n in range(3)]
    report = content.build(plan_of(tmp_path, 3), state_of(results))
    assert "1 unit (0) not alone on the node" in report.warnings[0]
    assert "2 nodes, 2 units" in report.sections[0].machines[0].title
    crowded = content.build(plan_of(tmp_path, 1), state_of([fast_and_slow(0, "n1", alone=False)]))
    assert crowded.sections[0].machines == () and crowded.sections[0].scores
    for page in (markdown.render(crowded), html_page.render(crowded)):
        assert "not alone on the node" in page


@pytest.mark.parametrize(
    ("turned", "says"), [(False, "The order holds"), (True, "The order does not hold")]
)
def test_two_kinds_of_machines_stand_side_by_side(tmp_path: Path, turned: bool, says: str) -> None:
    other = {"fast": 0.0, "slow": 0.7} if turned else {"fast": 0.3, "slow": 0.0}
    results = [fast_and_slow(n, f"n{n}") for n in range(3)]
    results += [
        made_up_block(n, {**other, "fast": other["fast"] + n / 1e3}, f"m{n}", fingerprint="cd")
        for n in range(3, 6)
    ]
    report = content.build(plan_of(tmp_path, 6), state_of(results))
    (section,) = report.sections
    assert len(section.machines) == 2
    assert says in " ".join(note for _, note in section.notes)


def test_cells_that_share_the_first_rank_are_named(tmp_path: Path) -> None:
    results = [
        made_up_block(n, {"one": 0.1 * (-1) ** n, "two": 0.0}, f"n{n}", variance=0.0004)
        for n in range(4)
    ]
    text = text_of(tmp_path, state_of(results))
    assert (
        "the fastest is open: toy one and toy two share rank 1" in text and "is fastest" not in text
    )


def test_one_node_has_no_interval_and_no_rank(tmp_path: Path) -> None:
    text = text_of(tmp_path, state_of([fast_and_slow(n, "n1") for n in range(5)]))
    assert "(one node: no interval)" in text and "at least 2 are needed" in text
    assert "| - | toy fast |" in text


def test_whatever_a_node_says_is_escaped(tmp_path: Path) -> None:
    results = [fast_and_slow(n, f"n{n}", machine=HOSTILE) for n in range(2)]
    lost = UnitState(2, "broken", HOSTILE, HOSTILE, 1, (HOSTILE,))
    report = content.build(plan_of(tmp_path, 3), state_of(results, lost))
    page = html_page.render(report)
    assert "<script" not in page and "\x1b" not in page and "&lt;script&gt;" in page
    assert "default-src 'none'" in page
    outside_fences = markdown.render(report).split("The last lines")[0]
    assert "\\<script" in outside_fences and not re.search(r"(?<!\\)<script", outside_fences)
    out = io.StringIO()
    terminal.show(report, Console(file=out, width=200))
    assert "\x1b" not in out.getvalue() and "toy fast" in out.getvalue()


def test_a_large_matrix_is_summed_up_on_a_terminal(tmp_path: Path) -> None:
    results = [fast_and_slow(n, f"n{n}") for n in range(60)]
    lost = UnitState(60, "lost", "TIMEOUT", "n1", 1, ("it was slow",))
    plan, state = plan_of(tmp_path, 61), state_of(results, lost)
    out = io.StringIO()
    terminal.status(plan, state, Console(file=out, width=120))
    assert "61 units: 60 done, 1 lost" in out.getvalue()
    assert "it was slow" in out.getvalue() and len(out.getvalue().splitlines()) < 10


def test_a_matrix_without_a_result_has_a_report(tmp_path: Path) -> None:
    waiting = UnitState(0, "waiting", "not submitted")
    report = content.build(plan_of(tmp_path, 1), MatrixState((waiting,), ("squeue: no answer",)))
    assert report.sections == () and report.warnings == ("squeue: no answer",)
    assert "not submitted" in html_page.render(report)


def test_results_of_an_unknown_schema_are_left_out(tmp_path: Path) -> None:
    strange = fast_and_slow(0, "n1", schema=99)
    text = text_of(tmp_path, state_of([strange]))
    assert "1 unit (0) has a result that this samestep cannot read" in text


def test_a_slow_node_is_named(tmp_path: Path) -> None:
    results = [
        fast_and_slow(n, f"n{n}", kernel_rate=80.0 if n == 4 else 100.0 + n) for n in range(5)
    ]
    assert "n4 is slow for its kind" in text_of(tmp_path, state_of(results))
