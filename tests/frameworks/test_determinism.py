"""Every framework's switch for deterministic algorithms is on when asked for, by its own word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks import inside

SCRIPT = Path(__file__).with_name("check_determinism.py")

FLAGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "pytorch": (
        {
            "algorithms": False,
            "compiler": False,
            "cudnn": False,
            "autotuning": True,
            "workspace": None,
        },
        {
            "algorithms": True,
            "compiler": True,
            "cudnn": True,
            "autotuning": False,
            "workspace": ":4096:8",
        },
    ),
    "tensorflow": ({"operators": False}, {"operators": True}),
    "jax": ({"operators": False}, {"operators": True}),
    "mxnet": (
        {"MXNET_ENFORCE_DETERMINISM": None, "MXNET_CUDNN_AUTOTUNE_DEFAULT": "1"},
        {"MXNET_ENFORCE_DETERMINISM": "1", "MXNET_CUDNN_AUTOTUNE_DEFAULT": "0"},
    ),
}
"""The frameworks' own flags: off, and on."""


def told(framework: str, scratch: Path, asked: str, variables: bool) -> dict[str, Any]:
    mode = inside.RECIPES[framework].modes[0]
    said = inside.run(framework, scratch, SCRIPT, framework, mode, asked, deterministic=variables)
    return dict(json.loads(said.splitlines()[-1]))


@pytest.mark.parametrize("on", [False, True])
@pytest.mark.parametrize("framework", inside.RECIPES)
def test_the_frameworks_own_flags(framework: str, on: bool, tmp_path: Path) -> None:
    found = told(framework, tmp_path, "yes" if on else "no", on)
    assert found["flags"] == FLAGS[framework][on]
    assert found["setting"] is on
    assert found["same"] or not on


@pytest.mark.parametrize(
    ("framework", "name"), [("jax", "XLA_FLAGS"), ("mxnet", "MXNET_ENFORCE_DETERMINISM")]
)
def test_a_variable_that_was_not_set_in_time_is_refused(
    framework: str, name: str, tmp_path: Path
) -> None:
    refused = told(framework, tmp_path, "yes", variables=False)["refused"]
    assert refused.startswith(f"{framework}: deterministic: {name} has not ")
    assert refused.endswith("set it before Python starts")
