"""What changed between two runs: what did is found, nothing is made up, order is a matter of sign."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis.compare_runs import Change, Changes, compare
from harness.results import store
from tests.runs import MadeUpRun

LEFT, RIGHT, OTHER = (f"toy/{name}/cpu/float32" for name in ("left/fast", "left/slow", "other/one"))
MACHINE = {
    "cpu": "A CPU",
    "cores_usable": 2,
    "memory_total": 2**33,
    "kernel": "6.1",
    "governor": None,
}
SPEC = {"title": "toy", "loss": "mse", "data": {"dataset": "xor", "batch": 4, "epochs": 2}}
STEADY = (100.0, 101.0, 100.4, 99.5, 100.2)


def times(factor: float, speeds: Sequence[float] = STEADY) -> list[float]:
    return [factor * speed for speed in speeds]


def run(
    folder: Path,
    speeds: Mapping[str, Sequence[float]],
    *,
    accuracy: float | None = 0.9,
    examples: int = 1000,
    spec: Mapping[str, Any] = SPEC,
    data: str | None = "ab",
    locks: Mapping[str, str | None] | None = None,
    machine: Mapping[str, Any] | None = None,
    threads: int = 2,
    failed: str | None = None,
    peak: int = 1000,
    steps: int = 20,
    drift: Sequence[float] = (1.0, 1.1, 0.9),
) -> store.Record:
    """A run whose cells have those speeds, a launch each; `drift` hits all cells of a round alike."""
    made = MadeUpRun(
        folder,
        {
            "machine": {**MACHINE, **(machine or {})},
            "options": {"threads": threads, "data": "real"},
            "workloads": {"toy": spec},
            "cells": list(speeds),
        },
    )
    if data:
        made.dataset("toy", "xor", data)
    for name in dict.fromkeys(cell.split("/")[1] for cell in speeds):
        made.framework(name, lock_sha256={"left": "1", "other": "1", **(locks or {})}[name])
    for cell, launches in speeds.items():
        made("opened", cell, import_seconds=1.0, versions={"lib": "1"})
        made("built", cell, seconds=1.0, settings={"layout": "NCHW"})
        made.first_step(cell).parity(cell).trained(cell, steps)
        if accuracy is not None:
            made("evaluated", cell, accuracy=accuracy, examples=examples)
        made.memory(cell, peak)
        for launch, speed in enumerate(launches, 1):
            for number, wave in enumerate(drift, 1):
                made.slice(cell, speed * wave, launch, number)
        if cell == failed:
            made.fail(cell)
        else:
            made.done(cell)
    return made.end().read()


def speeds(found: Changes, anchored: bool = False) -> dict[str, Change]:
    return {
        one.cell: one
        for one in found.changes
        if one.figure == "train_samples_per_s" and (one.anchor is not None) == anchored
    }


def of(found: Changes, figure: str) -> dict[str, Change]:
    return {one.cell: one for one in found.changes if one.figure == figure}


def reasons(found: Changes) -> str:
    return "; ".join(f"{one.where}: {one.what}: {one.reason}" for one in found.refused)


def test_a_cell_that_got_faster_is_told_from_one_that_did_not(tmp_path: Path) -> None:
    a = run(tmp_path, {LEFT: times(1), OTHER: times(5)})
    b = run(tmp_path, {LEFT: times(1.3), OTHER: times(5.01)})
    found = compare(a, b)
    left, other = (speeds(found)[cell] for cell in (LEFT, OTHER))
    assert (left.verdict, other.verdict) == ("faster", "equivalent")
    assert left.low is not None and left.low < 1.3 < (left.high or 0)
    assert left.change == pytest.approx(1.3) and left.after / left.before == pytest.approx(1.3)
    assert found.advisory and not found.refused
    back = compare(b, a)
    assert speeds(back)[LEFT].verdict == "slower"


def test_few_noisy_launches_tell_nothing_apart(tmp_path: Path) -> None:
    noisy = (90.0, 115.0, 100.0)
    found = compare(run(tmp_path, {LEFT: noisy}), run(tmp_path, {LEFT: times(1.1, noisy)}))
    assert speeds(found)[LEFT].verdict == "inconclusive"


def test_one_launch_a_run_is_shown_and_not_judged(tmp_path: Path) -> None:
    found = compare(run(tmp_path, {LEFT: [100.0]}), run(tmp_path, {LEFT: [200.0]}))
    one = speeds(found)[LEFT]
    assert (one.verdict, one.low, one.p) == (None, None, None)
    assert one.change == pytest.approx(2)


def test_a_slower_machine_is_not_in_the_ratio_to_the_anchor(tmp_path: Path) -> None:
    a = run(tmp_path, {LEFT: times(1), OTHER: times(5)})
    b = run(tmp_path, {LEFT: times(0.7), OTHER: times(3.5)}, drift=(1.0, 0.5, 0.8))
    found = compare(a, b)
    assert speeds(found)[LEFT].verdict == "slower"
    relative = speeds(found, anchored=True)
    (cell,) = relative
    assert relative[cell].verdict == "equivalent" and relative[cell].anchor != cell


def test_the_anchor_is_a_cell_whose_framework_stayed_the_same(tmp_path: Path) -> None:
    a = run(tmp_path, {LEFT: times(1), OTHER: times(5)})
    b = run(tmp_path, {LEFT: times(1.5), OTHER: times(5)}, locks={"left": "2"})
    relative = speeds(compare(a, b), anchored=True)
    assert {cell: one.anchor for cell, one in relative.items()} == {LEFT: OTHER}
    assert relative[LEFT].verdict == "faster"
    assert relative[LEFT].before == pytest.approx(1 / 5)


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("cpu", "Another CPU", "processor"),
        ("cores_usable", 4, "usable cores"),
        ("memory_total", 2**35, "memory"),
        ("kernel", "6.2", "kernel"),
        ("governor", "powersave", "governor"),
        ("architecture", "arm64", "architecture"),
    ],
)
def test_on_another_machine_no_absolute_speed_is_compared(
    tmp_path: Path, key: str, value: object, name: str
) -> None:
    a = run(tmp_path, {LEFT: times(1), OTHER: times(5)})
    b = run(tmp_path, {LEFT: times(2), OTHER: times(5)}, machine={key: value})
    found = compare(a, b)
    assert not speeds(found) and not of(found, "first_step_s") and not found.advisory
    assert f"not the same machine: {name}: " in reasons(found)
    assert len(speeds(found, anchored=True)) == 1
    assert of(found, "accuracy")[LEFT].verdict == "inconclusive"
    assert set(of(found, "parity_share")) == {LEFT, OTHER}
    assert set(of(found, "peak_memory_bytes")) == {LEFT, OTHER}  # the same locks


def test_a_machine_that_is_not_described_is_not_the_same(tmp_path: Path) -> None:
    nothing = dict.fromkeys(MACHINE)
    a, b = (run(tmp_path, {LEFT: times(1)}, machine=nothing) for _ in range(2))
    found = compare(a, b)
    assert not speeds(found) and "processor: of no known name" in reasons(found)


def test_memory_under_another_lock_on_another_machine_is_refused(tmp_path: Path) -> None:
    a = run(tmp_path, {LEFT: times(1), OTHER: times(5)})
    b = run(
        tmp_path,
        {LEFT: times(1), OTHER: times(5)},
        machine={"kernel": "7"},
        peak=2000,
        locks={"left": "2"},
    )
    found = compare(a, b)
    assert {cell: one.change for cell, one in of(found, "peak_memory_bytes").items()} == {OTHER: 2}
    assert f"{LEFT}: memory: another machine" in reasons(found)
    given = [
        run(tmp_path, {LEFT: times(1)}, machine={"kernel": kernel}, locks={"left": None})
        for kernel in "67"
    ]
    assert not of(compare(*given), "peak_memory_bytes")


def test_other_threads_leave_no_speed_to_compare(tmp_path: Path) -> None:
    a = run(tmp_path, {LEFT: times(1), OTHER: times(5)})
    b = run(tmp_path, {LEFT: times(1), OTHER: times(5)}, threads=1)
    found = compare(a, b)
    assert not speeds(found) and not speeds(found, anchored=True)
    assert "cpu: speeds and times: 2 threads in A, 1 in B" in reasons(found)
    assert of(found, "accuracy")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"spec": {**SPEC, "data": {**SPEC["data"], "epochs": 9}}}, "data.epochs 2 in A, 9 in B"),  # type: ignore[dict-item]
        ({"data": "cd"}, "other data: inputs ab in A, cd in B"),
        ({"data": None}, "no hash vouches for its data in B"),
    ],
)
def test_another_workload_of_the_same_name_is_refused(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    found = compare(run(tmp_path, {LEFT: times(1)}), run(tmp_path, {LEFT: times(1)}, **changes))
    assert found.changes == ()
    assert "toy: everything: " in reasons(found) and said in reasons(found)


def test_a_title_is_only_words(tmp_path: Path) -> None:
    a = run(tmp_path, {LEFT: times(1)})
    b = run(tmp_path, {LEFT: times(1)}, spec={**SPEC, "title": "another"})
    assert speeds(compare(a, b))


def test_cells_of_one_run_only_are_named_and_their_arithmetic(tmp_path: Path) -> None:
    half = LEFT.replace("float32", "bfloat16")
    found = compare(
        run(tmp_path, {LEFT: times(1), RIGHT: times(1)}), run(tmp_path, {half: times(1)})
    )
    assert f"{LEFT}: everything: only in A: float32, where B computed in bfloat16" in reasons(found)
    assert f"{half}: everything: only in B: bfloat16, where A computed in float32" in reasons(found)
    assert f"{RIGHT}: everything: only in A: float32" in reasons(found)
    assert found.changes == ()


def test_a_cell_that_failed_in_one_run_has_a_difference_and_no_figure(tmp_path: Path) -> None:
    a = run(tmp_path, {LEFT: times(1), OTHER: times(5)})
    b = run(tmp_path, {LEFT: times(1), OTHER: times(5)}, failed=LEFT)
    found = compare(a, b)
    assert {one.cell for one in found.changes} == {OTHER}
    (status,) = (one for one in found.differences if one.what == "status")
    assert (status.before, status.after, status.where) == ("ok", "crashed", (LEFT,))
    assert "no other cell" in reasons(found)


def test_accuracy_is_judged_on_its_number_of_examples(tmp_path: Path) -> None:
    def judged(before: float, after: float, examples: int) -> str | None:
        a, b = (
            run(tmp_path, {LEFT: [1.0]}, accuracy=share, examples=examples)
            for share in (before, after)
        )
        return of(compare(a, b), "accuracy")[LEFT].verdict

    assert judged(0.95, 0.80, 360) == "lower"
    assert judged(0.80, 0.95, 360) == "higher"
    assert judged(0.95, 0.94, 360) == "inconclusive"
    assert judged(0.700, 0.701, 100_000) == "equivalent"


def test_accuracy_after_other_steps_is_refused_and_none_is_no_error(tmp_path: Path) -> None:
    a = run(tmp_path, {LEFT: times(1)})
    found = compare(a, run(tmp_path, {LEFT: times(1)}, steps=7))
    assert f"{LEFT}: accuracy: trained 20 steps in A, 7 in B" in reasons(found)
    found = compare(a, run(tmp_path, {LEFT: times(1)}, accuracy=None))
    assert not of(found, "accuracy") and not of(compare(a, a), "joules")


def test_a_run_is_the_same_as_itself(tmp_path: Path) -> None:
    a = run(tmp_path, {LEFT: times(1), OTHER: times(5)})
    found = compare(a, a)
    assert found.differences == found.refused == ()
    assert {one.verdict for one in speeds(found).values()} == {"equivalent"}
    none = {one.figure: 0.0 if one.figure == "accuracy" else 1.0 for one in found.changes}
    assert all(one.change == pytest.approx(none[one.figure]) for one in found.changes)


def test_many_cells_that_did_not_change_give_few_false_alarms(tmp_path: Path) -> None:
    # Holm: a p of 0.02 is a finding for one cell alone, and none among twenty.
    cells = {f"toy/left/m{n}/cpu/float32": times(1, (97, 103, 96, 104, 100)) for n in range(20)}
    moved = {**cells, "toy/left/m0/cpu/float32": times(1.075, (97, 103, 96, 104, 100))}
    one = "toy/left/m0/cpu/float32"
    alone = compare(run(tmp_path, {one: cells[one]}), run(tmp_path, {one: moved[one]}))
    among = compare(run(tmp_path, cells), run(tmp_path, moved))
    assert speeds(alone)[one].verdict == "faster"
    assert speeds(among)[one].verdict == "inconclusive"


LAUNCHES = st.lists(st.floats(50, 200), min_size=0, max_size=4)


@settings(max_examples=15, deadline=None)
@given(
    told=st.lists(st.tuples(LAUNCHES, st.floats(0, 1), st.integers(1, 2)), min_size=2, max_size=2),
    cells=st.lists(st.sampled_from((LEFT, RIGHT, OTHER)), min_size=1, unique=True),
)
def test_comparing_the_other_way_round_is_the_inverse(
    told: list[tuple[list[float], float, int]], cells: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        a, b = (
            run(
                Path(folder),
                {cell: times(n + 1, launches) for n, cell in enumerate(cells)},
                accuracy=accuracy,
                threads=threads,
            )
            for launches, accuracy, threads in told
        )
        there, back = compare(a, b), compare(b, a)
    key = {(one.cell, one.figure, one.anchor): one for one in back.changes}
    assert len(key) == len(there.changes)
    for one in there.changes:
        other = key[one.cell, one.figure, one.anchor]
        assert (one.before, one.after) == (other.after, other.before)
        turned = {"faster": "slower", "slower": "faster", "higher": "lower", "lower": "higher"}
        assert turned.get(str(one.verdict), one.verdict) == other.verdict
        for mine, its in ((one.change, other.change), (one.low, other.high), (one.high, other.low)):
            if mine is None or its is None:
                assert mine is its is None
            elif one.figure == "accuracy":
                assert mine == pytest.approx(-its, abs=1e-12)
            else:
                assert math.log(mine) == pytest.approx(-math.log(its), abs=1e-9)
    assert {(d.what, d.before, d.after) for d in there.differences} == {
        (d.what, d.after, d.before) for d in back.differences
    }
    assert {(r.where, r.what) for r in there.refused} == {(r.where, r.what) for r in back.refused}
