"""As test_adapters.py, in the modes that call a compiler: in a file of its own, for it takes as long."""

from __future__ import annotations

import pytest

from tests.frameworks import adapter_checks as checks
from tests.frameworks import inside
from tests.frameworks.check_adapter import FALLS
from tests.frameworks.nets import NETS, WORKLOADS


@pytest.mark.parametrize(("framework", "mode", "net"), checks.cases(NETS, compiled=True))
def test_the_adapter_takes_the_same_step(framework: str, mode: str, net: str) -> None:
    checks.the_same_step(framework, mode, net)


@pytest.mark.parametrize(("framework", "mode", "net"), checks.cases(WORKLOADS, compiled=True))
def test_a_training_is_taken_up_at_any_step_to_the_bit(framework: str, mode: str, net: str) -> None:
    checks.taken_up_to_the_bit(framework, mode, net)


@pytest.mark.parametrize(("framework", "mode", "net"), checks.cases(WORKLOADS, compiled=True))
def test_the_memory_is_that_of_the_reference(framework: str, mode: str, net: str) -> None:
    checks.the_memory_of_the_reference(framework, mode, net)


@pytest.mark.parametrize(("framework", "mode", "net"), checks.cases(WORKLOADS, compiled=True))
def test_a_long_list_is_its_batches_one_by_one(framework: str, mode: str, net: str) -> None:
    checks.a_long_list_as_one_by_one(framework, mode, net)


@pytest.mark.parametrize(("framework", "mode"), [case for case in inside.modes() if case.marks])
def test_the_rate_stays_out_of_momentum(framework: str, mode: str) -> None:
    inside.skip_without_program(framework, mode)
    assert checks.answers_of_mode(framework, mode)["falls"] == pytest.approx(FALLS, abs=1e-6)
