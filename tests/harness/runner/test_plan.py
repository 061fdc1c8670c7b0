"""Cells are every combination of what was asked for, the reference last."""

from __future__ import annotations

import pytest

from harness.environments.framework_spec import discover
from harness.runner import plan
from workloads import spec
from workloads.errors import UserError
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


def test_each_value_of_a_sweep_is_a_workload_with_a_name_of_its_own() -> None:
    loaded = {name: spec.load(name) for name in ("mlp-digits", "cnn-digits")}
    workloads, sweep = plan.at_values(loaded, {"batch": (128, 4, 32)})
    names = [workload.name for workload in workloads.values()]
    assert names[:3] == ["mlp-digits batch 4", "mlp-digits batch 32", "mlp-digits batch 128"]
    assert [workload.data.batch for workload in workloads.values()] == [4, 32, 128] * 2
    assert sweep is not None and sweep.over == "batch"
    assert [point.workload for point in sweep.points] == names
    assert [point.as_declared for point in sweep.points] == [False, True, False] * 2
    assert sweep.by_workload()["cnn-digits"] == {
        f"cnn-digits batch {value}": value for value in (4, 32, 128)
    }


def test_a_single_value_changes_the_workload_and_its_name_and_makes_no_sweep() -> None:
    loaded = {"word": spec.load("mlp-digits")}
    workloads, sweep = plan.at_values(loaded, {"width": (0.5,), "batch": (8,), "threads": (2,)})
    assert sweep is None and workloads["word"].name == "mlp-digits width 0.5 batch 8"
    assert workloads["word"].parameters["dense1.weight"] == (64, 64)
    assert plan.at_values(loaded, {"threads": (2,)}) == (loaded, None)
    assert plan.at_values(loaded, {}) == (loaded, None)


def test_a_sweep_over_threads_leaves_the_workload_as_it_is() -> None:
    small = spec.load("mlp-digits")
    workloads, sweep = plan.at_values({"word": small}, {"threads": (2, 1), "width": (2,)})
    assert [*workloads] == ["word threads 1", "word threads 2"]
    assert {workload.data for workload in workloads.values()} == {small.data}
    assert sweep is not None and all(point.as_declared for point in sweep.points)
    assert {point.of for point in sweep.points} == {"mlp-digits width 2"}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (
            {"batch": (4, 8), "threads": (1, 2)},
            "--batch and --threads: a sweep is over one of them",
        ),
        ({"width": (1, 2, 2)}, "--width 1,2,2: give each value once"),
        ({"width": (2,)}, "--width 2: .* no hidden layer"),
    ],
)
def test_what_makes_no_sweep_is_refused(values: plan.Values, says: str) -> None:
    table = spec.load("mlp-digits").to_dict()
    flat = {**table, "layers": [{"kind": "flatten"}, {"kind": "dense", "units": 10}]}
    loaded = {"flat": spec.from_dict(flat, "a test")}
    with pytest.raises(UserError, match=says):
        plan.at_values(loaded, values)


def test_two_widths_that_give_the_same_net_are_refused() -> None:
    loaded = {"word": spec.load("mlp-2-3-2")}
    with pytest.raises(UserError, match=r"--width 1 and 1\.1: mlp-2-3-2 is the same at both"):
        plan.at_values(loaded, {"width": (1, 1.1)})
