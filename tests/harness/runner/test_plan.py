"""Cells are every combination of what was asked for, the reference last."""

from __future__ import annotations

import pytest

from harness.environments.framework_spec import discover
from harness.runner import plan
from workloads import spec
from workloads.reading import SpecError


def test_all_frameworks_in_all_their_modes_and_the_reference_last() -> None:
    framework_specs = discover()
    cells = plan.cells([spec.load("mlp-digits")], framework_specs, [], ["cpu"])
    assert len(cells) == sum(
        len(framework_spec.modes_on("cpu")) for framework_spec in framework_specs.values()
    )
    references = [framework_specs[cell.framework].reference for cell in cells]
    assert references == sorted(references)
    assert [cell.precision for cell in cells if framework_specs[cell.framework].reference] == [
        "float64"
    ]


def test_modes_narrow_the_frameworks_and_keep_the_reference() -> None:
    framework_specs = discover()
    mode = next(
        mode
        for framework_spec in framework_specs.values()
        if not framework_spec.reference
        for mode in framework_spec.modes
    )
    cells = plan.cells([spec.load("mlp-digits")], framework_specs, [mode], ["cpu"])
    assert {cell.mode for cell in cells if not framework_specs[cell.framework].reference} == {mode}
    assert any(framework_specs[cell.framework].reference for cell in cells)


def test_a_mode_that_serves_on_one_device_only_is_planned_there_only() -> None:
    framework_specs = {name: r for name, r in discover().items() if r.only}
    ((mode, places),) = {one for r in framework_specs.values() for one in r.only.items()}
    cells = plan.cells([spec.load("mlp-digits")], framework_specs, [], ["cpu", "cuda:1"])
    assert {cell.device for cell in cells if cell.mode == mode} == {"cuda:1"}
    assert places == ("cuda",)
    with pytest.raises(SpecError, match=f"has the mode {mode}; there are: .* on cpu: ") as refused:
        plan.cells([spec.load("mlp-digits")], framework_specs, [mode], ["cpu"])
    assert mode not in str(refused.value).partition("there are")[2]


def test_modes_that_no_chosen_framework_has_are_wrong_use() -> None:
    framework_specs = discover()
    first, second = [
        framework_spec
        for framework_spec in framework_specs.values()
        if not framework_spec.reference
    ][:2]
    with pytest.raises(SpecError, match="no framework asked for has the mode"):
        only = next(mode for mode in second.modes if mode not in first.modes)
        plan.cells([spec.load("mlp-digits")], {first.name: first}, [only], ["cpu"])


def test_the_reference_stays_off_a_device_it_has_not() -> None:
    framework_specs = discover()
    cells = plan.cells([spec.load("mlp-digits")], framework_specs, [], ["cuda"])
    assert not any(framework_specs[cell.framework].reference for cell in cells)
