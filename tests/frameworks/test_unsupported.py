"""An adapter that lacks a layer or an optimiser says so in one line, before it computes anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from frameworks.reference.adapter import Reference
from tests.frameworks import inside
from tests.frameworks.check_unsupported import answers, workloads

SCRIPT = Path(__file__).with_name("check_unsupported.py")
KINDS = [kind for kind, _ in workloads()]


def check(framework: str, said: list[tuple[str, str]]) -> None:
    assert [kind for kind, _ in said] == KINDS
    for kind, reason in said:
        assert reason.startswith(f"{framework} has no {kind}: "), reason or f"{kind} was accepted"
        assert "\n" not in reason


@pytest.mark.parametrize("framework", inside.FRAMEWORK_SPECS)
def test_a_made_up_layer_or_optimiser_is_unavailable_in_every_mode(framework: str) -> None:
    modes = inside.FRAMEWORK_SPECS[framework].modes
    said = json.loads(inside.run(framework, SCRIPT, framework, *modes).splitlines()[-1])
    assert list(said) == list(modes)
    for of_mode in said.values():
        check(framework, of_mode)


def test_the_reference_has_no_made_up_layer_or_optimiser_either() -> None:
    check("reference", answers(Reference, "numpy"))
