"""A whole run catches every fault that is planted in its timed path, and not the honest adapter."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from benchmarks import faults
from benchmarks.faults import CAUGHT, OK, Outcome, outcome, table
from benchmarks.planted_faults.catalogue import FAULTS, HONEST
from harness.environments import framework_spec
from harness.runner.context import Measuring

SHORT = Measuring(launches=1, rounds=2, seconds=0.6, warm_seconds=0.05, warm_portions=12)


@pytest.mark.slow
def test_a_run_catches_every_planted_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path))
    results = faults.outcomes(
        framework_spec.discover()["reference"], Path(sys.executable), FAULTS, SHORT
    )
    assert results.pop(HONEST) == Outcome(OK)
    assert {*results} == {*FAULTS} - {HONEST}
    escaped = {name: each for name, each in results.items() if each.verdict != CAUGHT}
    assert escaped == {}


def test_the_journal_says_which_cells_are_caught() -> None:
    honest = {"event": "parity", "verdict": "equivalent", "hint": None, "sentence": "", "when": "x"}
    refuted = {**honest, "verdict": "not equivalent", "sentence": "logits differ", "hint": "frozen"}
    crashed = {"event": "cell-failed", "status": "crashed", "reason": "SIGSEGV"}
    done = {"event": "cell-done"}
    assert outcome([honest, honest, done]) == Outcome(OK)
    assert outcome([honest, refuted, crashed]) == Outcome(CAUGHT, "logits differ; frozen (x)")
    assert outcome([honest, crashed]) == Outcome("crashed", "SIGSEGV")


def test_the_table_has_a_row_a_fault_and_a_column_a_framework() -> None:
    first = {HONEST: Outcome(OK), "list-reversed": Outcome(CAUGHT, "a|b")}
    second = {HONEST: Outcome(OK), "list-reversed": Outcome(OK)}
    lines = [*table({"first": first, "second": second})]
    assert lines[0] == "| fault | first | second | what the run says (first) |"
    assert len(lines) == 3
    sentence = FAULTS["list-reversed"].__doc__
    assert lines[2] == f"| {sentence} | caught | MISSED | a/b |"


def test_the_planted_framework_is_built_as_its_host(tmp_path: Path) -> None:
    for host in framework_spec.discover().values():
        root = faults.project(tmp_path / host.name, host)
        (planted,) = framework_spec.discover(root).values()
        variables = {"PLANTED_IN": host.name, "PLANTED_MODE": host.modes[0]}
        assert planted.variables == {**host.variables, **variables}
        assert planted.modes == tuple(FAULTS)
        assert planted.packages == host.packages
        assert not planted.reference
        assert re.search(host.title, planted.title)
