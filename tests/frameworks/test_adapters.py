"""Every framework's adapter, in every mode, takes the reference's step."""

from __future__ import annotations

import json

import pytest

from tests.frameworks import adapter_checks as checks
from tests.frameworks import inside
from tests.frameworks.check_adapter import FALLS
from tests.frameworks.inside import FRAMEWORK_SPECS
from tests.frameworks.nets import NETS, WORKLOADS


@pytest.mark.parametrize(("framework", "mode", "net"), checks.cases(NETS))
def test_the_adapter_takes_the_same_step(framework: str, mode: str, net: str) -> None:
    checks.the_same_step(framework, mode, net)


@pytest.mark.parametrize(("framework", "mode", "net"), checks.cases(WORKLOADS))
def test_a_training_is_taken_up_at_any_step_to_the_bit(framework: str, mode: str, net: str) -> None:
    checks.taken_up_to_the_bit(framework, mode, net)


@pytest.mark.parametrize(("framework", "mode", "net"), checks.cases(WORKLOADS))
def test_the_memory_is_that_of_the_reference(framework: str, mode: str, net: str) -> None:
    checks.the_memory_of_the_reference(framework, mode, net)


@pytest.mark.parametrize(("framework", "mode", "net"), checks.cases(WORKLOADS))
def test_a_long_list_is_its_batches_one_by_one(framework: str, mode: str, net: str) -> None:
    checks.a_long_list_as_one_by_one(framework, mode, net)


@pytest.mark.parametrize(("framework", "mode"), checks.modes())
def test_the_rate_stays_out_of_momentum(framework: str, mode: str) -> None:
    inside.skip_without_program(framework, mode)
    assert checks.answers_of_mode(framework, mode)["falls"] == pytest.approx(FALLS, abs=1e-6)


@pytest.mark.parametrize("framework", FRAMEWORK_SPECS)
def test_what_cannot_be_had_is_refused_in_one_line(framework: str) -> None:
    mode = FRAMEWORK_SPECS[framework].modes[0]
    answer = inside.run(framework, checks.SCRIPT, "refuse", framework, mode)
    said = json.loads(answer.splitlines()[-1])
    assert len(said) == 3
    for options, reason in said.items():
        assert reason, f"{framework} accepted {options}"
        assert "\n" not in reason
