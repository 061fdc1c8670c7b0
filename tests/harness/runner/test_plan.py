"""Cells are every combination of what was asked for, the arbiter last."""

from __future__ import annotations

import pytest

from harness.environments.framework_spec import discover
from harness.runner import plan
from workloads import spec
from workloads.reading import SpecError


def test_all_frameworks_in_all_their_modes_and_the_arbiter_last() -> None:
    recipes = discover()
    cells = plan.cells([spec.load("mlp-digits")], recipes, [], ["cpu"])
    assert len(cells) == sum(len(recipe.modes_on("cpu")) for recipe in recipes.values())
    arbiters = [recipes[cell.framework].arbiter for cell in cells]
    assert arbiters == sorted(arbiters)
    assert [cell.precision for cell in cells if recipes[cell.framework].arbiter] == ["float64"]


def test_modes_narrow_the_frameworks_and_keep_the_arbiter() -> None:
    recipes = discover()
    mode = next(mode for recipe in recipes.values() if not recipe.arbiter for mode in recipe.modes)
    cells = plan.cells([spec.load("mlp-digits")], recipes, [mode], ["cpu"])
    assert {cell.mode for cell in cells if not recipes[cell.framework].arbiter} == {mode}
    assert any(recipes[cell.framework].arbiter for cell in cells)


def test_a_mode_that_serves_on_one_device_only_is_planned_there_only() -> None:
    recipes = {name: r for name, r in discover().items() if r.only}
    ((mode, places),) = {one for r in recipes.values() for one in r.only.items()}
    cells = plan.cells([spec.load("mlp-digits")], recipes, [], ["cpu", "cuda:1"])
    assert {cell.device for cell in cells if cell.mode == mode} == {"cuda:1"}
    assert places == ("cuda",)
    with pytest.raises(SpecError, match=f"has the mode {mode}; there are: .* on cpu: ") as refused:
        plan.cells([spec.load("mlp-digits")], recipes, [mode], ["cpu"])
    assert mode not in str(refused.value).partition("there are")[2]


def test_modes_that_no_chosen_framework_has_are_wrong_use() -> None:
    recipes = discover()
    first, second = [recipe for recipe in recipes.values() if not recipe.arbiter][:2]
    with pytest.raises(SpecError, match="no framework asked for has the mode"):
        only = next(mode for mode in second.modes if mode not in first.modes)
        plan.cells([spec.load("mlp-digits")], {first.name: first}, [only], ["cpu"])


def test_the_arbiter_stays_off_a_device_it_has_not() -> None:
    recipes = discover()
    cells = plan.cells([spec.load("mlp-digits")], recipes, [], ["cuda"])
    assert not any(recipes[cell.framework].arbiter for cell in cells)
