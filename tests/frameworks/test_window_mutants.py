"""Planted faults of windows, groups, branches and group norm are caught, and most get a hint.

Here they are planted in the reference; tests/frameworks/test_mutations.py plants them in frameworks.
"""

from __future__ import annotations

import pytest

from harness.diagnosis import hint
from harness.parity import judge
from harness.verdicts import EQUIVALENT, NOT_EQUIVALENT
from tests.frameworks.window_mutants import WINDOWED, WORKLOAD
from tests.harness.parity.cases import Single, answered, run_of
from workloads import spec

NET = spec.load(str(WORKLOAD))

HINTS = {
    "SAME padding for symmetric padding": 'padding is "same" where it is to be symmetric',
    "symmetric padding for SAME": 'padding is symmetric where it is to be "same"',
    "dilation is ignored": "dilation is left out",
    "ceil is ignored": "windows that are not whole are left out",
    "an average counts the padding": "averages count the padding",
    "group norm over all channels, as a layer norm": "group norm takes all channels together",
}


def test_the_honest_reference_is_not_caught() -> None:
    run = run_of(NET)
    assert judge(answered(run), run, "float32").value == EQUIVALENT


@pytest.mark.parametrize("fault", WINDOWED)
def test_a_planted_fault_is_caught(fault: str) -> None:
    run = run_of(NET)
    answers = answered(run, lambda *rest: WINDOWED[fault](Single, *rest))
    verdict = judge(answers, run, "float32")
    assert verdict.value == NOT_EQUIVALENT
    assert HINTS.get(fault, "") in (hint(answers, run, verdict) or "")
