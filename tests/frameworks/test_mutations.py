"""The parity check catches planted faults: the common ones in every framework, native ones in one.

The table in docs/evidence/parity.md is made from the same outcome, by benchmarks/mutations.py.
"""

from __future__ import annotations

import pytest

from benchmarks.mutations import Outcome, native_host, outcomes
from harness.environments.framework_spec import discover
from harness.verdicts import EQUIVALENT, NOT_EQUIVALENT
from tests.frameworks import formula_mutants, optimiser_mutants
from tests.frameworks.mutants import COMMON, NATIVE
from tests.frameworks.recurrent_mutants import NATIVE_RECURRENT, RECURRENT
from tests.frameworks.transformer_mutants import NATIVE_TRANSFORMED, TRANSFORMED
from tests.frameworks.window_mutants import NATIVE_WINDOWED, WINDOWED

pytestmark = pytest.mark.slow

STEPS = 4  # no fault takes longer to show
RANKED = sorted(name for name, spec in discover().items() if not spec.reference)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.xdist_group(f"mutations {name}")) for name in RANKED
    ],
)
def outcome(request: pytest.FixtureRequest) -> list[Outcome]:
    return list(outcomes(request.param, STEPS))


def test_every_planted_fault_is_caught_and_the_honest_adapter_is_not(
    outcome: list[Outcome],
) -> None:
    honest = [one for one in outcome if not one.fault]
    assert honest
    assert all(one.verdict.value == EQUIVALENT for one in honest), honest[0].verdict.sentence()
    missed = [o.fault for o in outcome if o.fault and o.verdict.value != NOT_EQUIVALENT]
    assert missed == []
    expected = {*COMMON, *TRANSFORMED, *RECURRENT, *WINDOWED, *optimiser_mutants.FAULTS}
    expected |= {*formula_mutants.FORMULAS}
    if outcome[0].framework == native_host():
        hints = [mutant.hint() for mutant in outcome if mutant.fault]
        assert any(hints) and not any("\n" in hint for hint in hints if hint)
        expected |= {*NATIVE, *NATIVE_TRANSFORMED, *NATIVE_RECURRENT, *NATIVE_WINDOWED}
        expected |= {*formula_mutants.NATIVE}
    assert {one.fault for one in outcome} - {""} == expected


def test_there_are_at_least_twenty_faults() -> None:
    assert len(COMMON) >= 20
    assert len(COMMON) + len(NATIVE) >= 26
