"""Every framework's kernels and profiler do what the contract says, in its own environment."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from frameworks.contract import Options, Unavailable
from frameworks.kernels import DISPATCHES, TRIAL_SIDE, Kernel, Sizes, dispatches, numpy_kernels
from frameworks.reference.adapter import Reference
from harness.machine.host import usable_cpus
from tests.frameworks import inside
from tests.frameworks.expected import EXPECTED
from tests.frameworks.inside import FRAMEWORK_SPECS
from workloads import spec
from workloads.init import start_weights

SCRIPT = Path(__file__).with_name("check_instruments.py")


Look = Callable[[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Look:
    """What a framework's instruments do in a mode, in one process: all of them in its first mode."""

    @cache
    def look(framework: str, mode: str) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp(f"{framework}-{mode}")
        jobs = ["profile"]
        if mode == FRAMEWORK_SPECS[framework].modes[0]:
            jobs = ["kernels", "resident", "profile"]
        told = inside.run(framework, SCRIPT, "look", framework, mode, str(folder), *jobs)
        return dict(json.loads(told.splitlines()[-1]))

    return look


@pytest.mark.parametrize("framework", FRAMEWORK_SPECS)
def test_kernels_do_all_their_work_before_they_return(framework: str, look: Look) -> None:
    rates = look(framework, FRAMEWORK_SPECS[framework].modes[0])["kernels"]
    assert {"float32 product", "copy", "tiny operations"} <= set(rates)
    # No core reaches these: a copy that only shares memory, or a product that is not waited for, does.
    assert 1e9 < rates["float32 product"] < 2e12
    assert 1e8 < rates["copy"] < 2e11
    assert 1e8 < rates.get("bfloat16 product", 1e9) < 2e13
    assert 1e2 < rates["tiny operations"] < 2e7  # nor is one of these started in 50 ns


@pytest.mark.parametrize(("framework", "mode"), inside.modes())
def test_a_profile_is_a_trace_and_operators_and_harms_nothing(
    framework: str, mode: str, look: Look
) -> None:
    inside.skip_without_program(framework, mode)
    found = look(framework, mode)["profile"]
    events = json.loads(Path(found["trace"]).read_text())["traceEvents"]
    begun, ended, whole = ([e for e in events if e.get("ph") == phase] for phase in "BEX")
    assert len(begun) == len(ended)
    assert begun or whole
    for one in (*begun, *whole):
        assert one["ts"] >= 0
        assert isinstance(one["tid"], str) or one["tid"] < 2**53  # what JSON's readers can hold
    names = " ".join(one["name"].lower() for one in found["operators"])
    assert "conv" in names  # the net has some
    for one in found["operators"]:
        assert one["calls"] >= 1
        assert one["total_us"] >= 0.999 * one["self_us"] >= -1e-3, one
    assert found["restored"]
    assert found["after"] == pytest.approx(found["before"], rel=1e-5)


@pytest.mark.parametrize("framework", FRAMEWORK_SPECS)
def test_resident_batches_train_as_those_from_the_host(framework: str, look: Look) -> None:
    found = look(framework, FRAMEWORK_SPECS[framework].modes[0])["resident"]
    assert found["offered"] == EXPECTED[framework].resident
    if found["offered"]:
        assert found["there"] == pytest.approx(found["host"], rel=1e-5)
        assert not found["copied"]
        assert found["clock"] is None  # a CPU has no clock of its own


def test_device_events_enclose_the_work_and_are_waited_for() -> None:
    told = inside.run("pytorch", SCRIPT, "events", "pytorch", "eager")
    found = json.loads(told.splitlines()[-1])
    assert found["seconds"] == 1.5
    assert found["told"] == [*["timing True"] * 2, "record", "work", "record", "synchronize"]


@pytest.mark.nightly
@pytest.mark.parametrize(("mode", "still"), [("compile", False), ("reduce-overhead", True)])
def test_what_a_replayed_step_updates_keeps_its_address(mode: str, still: bool) -> None:
    inside.skip_without_program("pytorch", mode)
    told = inside.run("pytorch", SCRIPT, "graphs", "pytorch", mode)
    found = json.loads(told.splitlines()[-1])
    train, predict = found["graphs"]
    assert train["updated"] == 2 * found["parameters"]  # and what momentum keeps of each
    assert train["move"] == (0 if still else train["updated"])
    assert predict["updated"] == predict["move"] == 0
    assert train["inference"] and predict["inference"]  # every call may overwrite the last one's


@pytest.mark.nightly
@pytest.mark.skipif(len(usable_cpus()) < 2, reason="with one processor nobody could take more")
@pytest.mark.parametrize(("framework", "mode"), inside.modes())
def test_one_thread_keeps_one_processor_busy(framework: str, mode: str) -> None:
    inside.skip_without_program(framework, mode)
    workloads = ("cifar-cnn-128", "mlp-cifar")
    told = inside.run(framework, SCRIPT, "cores", framework, mode, *workloads)
    cores = json.loads(told.splitlines()[-1])
    assert set(cores) == set(workloads)
    assert max(cores.values()) <= 1.1, cores  # no affinity was set for it


def test_the_reference_says_that_it_has_no_profiler(tmp_path: Path) -> None:
    workload = spec.load("mlp-2-3-2")
    adapter = Reference(workload, start_weights(workload), Options("numpy"))
    with pytest.raises(Unavailable, match="no profiler"):
        adapter.profile([], tmp_path)


def test_the_common_kernels_compute() -> None:
    kernels = numpy_kernels()
    for kernel in kernels.values():
        kernel.run()
    assert kernels["float32 product"].amount == 2 * 2048**3
    assert kernels["copy"].amount == 2 * 2**28


def test_tiny_operations_are_all_started_and_then_waited_for() -> None:
    told: list[str] = []
    kernel = dispatches(lambda: told.append("start"), lambda: told.append("wait"))
    kernel.run()
    assert told == ["start"] * kernel.amount + ["wait"]
    assert kernel.amount == DISPATCHES


def test_a_rate_is_that_of_the_fastest_of_runs_that_fill_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, runs = [0.0], list[float]()
    monkeypatch.setattr("frameworks.kernels.time.perf_counter", lambda: clock[0])

    def run() -> None:
        runs.append(0.25 if len(runs) == 2 else 0.5)
        clock[0] += runs[-1]

    assert Kernel(run, amount=100).rate(seconds=2.0) == 400
    assert runs == [0.5, 0.5, 0.25, 0.5, 0.5, 0.5]  # the first is not timed; the rest fill 2 s
    runs.clear()
    Kernel(run, amount=100).rate(seconds=0.0)
    assert len(runs) == 1 + 3


@pytest.mark.parametrize(("side_seconds", "is_run_whole"), [(0.001, True), (0.1, False)])
def test_a_product_that_would_take_too_long_is_not_run_whole(
    monkeypatch: pytest.MonkeyPatch, side_seconds: float, is_run_whole: bool
) -> None:
    clock, sides = [0.0], set[int]()
    monkeypatch.setattr("frameworks.kernels.time.perf_counter", lambda: clock[0])

    def of_side(side: int) -> Callable[[], None]:
        def run() -> None:
            sides.add(side)
            clock[0] += side_seconds * (side / TRIAL_SIDE) ** 3

        return run

    product = Sizes(side=2048, length=1).product(of_side)
    assert product.rate(0.1) == pytest.approx(2 * TRIAL_SIDE**3 / side_seconds)
    assert (2048 in sides) is is_run_whole
