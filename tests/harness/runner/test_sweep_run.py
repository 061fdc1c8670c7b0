"""A sweep goes through the same laboratory: each of its points is checked, timed and ranked by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.sweep_curves import sweep_curves
from harness.machine import host, processors
from harness.report import formats
from harness.results import store
from harness.results.sweep import Sweep
from harness.runner import run
from tests.toy_request import BRIEF, brief_request
from workloads.errors import UserError

pytestmark = pytest.mark.slow

TWICE = replace(BRIEF, launches=2)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path / "cache"))


def execute(root: Path, interpreters: dict[str, Path], **changes: Any) -> store.Record:
    usual: dict[str, Any] = {"frameworks": ["faulty"], "modes": ["well", "slow"], "epochs": 1}
    request = brief_request(root, TWICE, **(usual | {"interpreters": interpreters} | changes))
    record, status = run.execute(request, lambda event: None, root, finish=formats.write)
    assert status == 0, [event["reason"] for event in record.every("cell-failed")]
    return record


def test_the_points_of_a_sweep_are_workloads_of_one_run(
    toy_root: Path, toy_interpreters: dict[str, Path]
) -> None:
    record = execute(toy_root, toy_interpreters, values={"batch": (10, 20)})
    cells = record.cells
    assert sorted(cells["workload"].unique()) == ["mlp-2-3-2 batch 10", "mlp-2-3-2 batch 20"]
    assert set(cells["status"]) == {"ok"} and set(cells["parity"]) == {"equivalent"}
    assert cells["rank"].notna().all()
    sweep = Sweep.read(record.manifest)
    assert sweep is not None and [point.value for point in sweep.points] == [10, 20]
    steps = cells.groupby("workload")["steps"].first()
    assert steps["mlp-2-3-2 batch 10"] == 2 * steps["mlp-2-3-2 batch 20"]
    training, inference = sweep_curves(record)
    assert (training.kind, inference.kind) == ("train", "predict")
    assert {curve.name for curve in training.curves} == {"faulty well", "faulty slow"}
    assert all([*curve.speeds] == [10, 20] for curve in training.curves)
    (pair,) = training.pairs
    assert [*pair.ahead] == [10, 20]
    for name in ("report.md", "report.html"):
        text = (record.folder / name).read_text(encoding="utf-8")
        assert "mlp-2-3-2 over batch size: training samples/s" in text
        assert "Where each pair of cells crosses" in text


def test_each_point_of_a_sweep_over_threads_is_held_to_its_own(
    toy_root: Path, toy_interpreters: dict[str, Path]
) -> None:
    most = processors.most_threads()
    if most < 2:
        pytest.skip("one processor")
    record = execute(toy_root, toy_interpreters, values={"threads": (1, 2)}, threads=None)
    threads = {
        event["cell"].split("/")[0]: event["settings"]["threads"] for event in record.every("built")
    }
    assert threads == {"mlp-2-3-2 threads 1": 1, "mlp-2-3-2 threads 2": 2}
    (claim,) = record.every("processors")
    assert len(claim["processors"]) == 2
    measured = {event["cell"].split("/")[0] for event in record.every("limits")}
    assert measured == set(threads)  # a limit is one of so many threads
    assert record.manifest["options"]["threads"] == 2


def test_a_sweep_over_more_threads_than_there_are_is_refused(
    toy_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "usable_cpus", lambda: [0, 1])
    with pytest.raises(UserError, match="--threads 64: this process may use 2 processors"):
        brief_request(toy_root, values={"threads": (1, 64)}, threads=None)


def test_seeds_train_every_cell_to_the_target_outside_of_the_budget(
    toy_root: Path, toy_interpreters: dict[str, Path]
) -> None:
    record = execute(toy_root, toy_interpreters, epochs=8, seeds=3, seed=5)
    trainings = record.every("retrained")
    cells = [event["cell"] for event in trainings]
    assert [event["seed"] for event in trainings] == [5, 5, 6, 6, 7, 7]
    assert cells[0] == cells[3] == cells[4]  # who begins is another one with each seed
    assert {event["launch"] for event in trainings} == {1}
    steps = record.every("trained")[0]["steps"]
    for event in trainings:
        curve = event["curve"]
        assert curve["steps"][-1] == steps and len(curve["steps"]) == 20
        assert curve["seconds"] == sorted(curve["seconds"])
        assert event["accuracy"] == pytest.approx(curve["accuracies"][-1], abs=1e-6)
    by_seed = {event["seed"]: event["right"] for event in trainings}
    assert len({(event["seed"], event["right"]) for event in trainings}) == len(by_seed)
    assert {event["right"] for event in record.every("evaluated")} == {by_seed[5]}
    table = record.cells
    assert table["seeds"].tolist() == [3, 3]
    # Equivalent cells take the same steps, whatever time these take.
    assert table["steps_to_target"].nunique(dropna=False) == 1
    assert all(event["verdict"] == "equivalent" for event in record.every("parity"))
    text = (record.folder / "report.html").read_text(encoding="utf-8")
    assert "Accuracy over seeds, by step" in text


def test_seeds_without_a_target_to_come_to_are_refused(toy_root: Path) -> None:
    with pytest.raises(UserError, match="synthetic data has no accuracy"):
        brief_request(toy_root, seeds=2, data="synthetic")
    path = toy_root / "mine.toml"
    text = (toy_root / "workloads" / "catalogue" / "mlp-2-3-2.toml").read_text()
    path.write_text("".join(line for line in text.splitlines(True) if "target" not in line))
    with pytest.raises(UserError, match="mine has no target_accuracy"):
        brief_request(toy_root, seeds=2, workloads=[str(path)])
