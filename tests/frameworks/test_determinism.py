"""Every framework's switch for deterministic algorithms is on when asked for, by its own word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks import inside
from tests.frameworks.expected import EXPECTED

SCRIPT = Path(__file__).with_name("check_determinism.py")

VARIABLES = [
    (name, expected.deterministic["variable"])
    for name, expected in EXPECTED.items()
    if "variable" in expected.deterministic
]


def told(framework: str, asked: str, variables: bool) -> dict[str, Any]:
    mode = inside.FRAMEWORK_SPECS[framework].modes[0]
    said = inside.run(framework, SCRIPT, framework, mode, asked, deterministic=variables)
    return dict(json.loads(said.splitlines()[-1]))


@pytest.mark.parametrize("on", [False, True])
@pytest.mark.parametrize("framework", inside.FRAMEWORK_SPECS)
def test_the_frameworks_own_flags(framework: str, on: bool) -> None:
    found = told(framework, "yes" if on else "no", on)
    assert found["flags"] == EXPECTED[framework].deterministic["on" if on else "off"]
    assert found["setting"] is on
    assert found["same"] or not on


@pytest.mark.parametrize(("framework", "name"), VARIABLES)
def test_a_variable_that_was_not_set_in_time_is_refused(framework: str, name: str) -> None:
    refused = told(framework, "yes", variables=False)["refused"]
    assert refused.startswith(f"{framework}: deterministic: {name} has not ")
    assert refused.endswith("set it before Python starts")
