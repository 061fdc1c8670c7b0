"""Whole runs with a toy: options are obeyed, and what cannot be run is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.report import formats
from harness.results import store
from harness.runner import run, schedule
from harness.runner.context import Measuring, Timeouts
from harness.runner.request import Request
from harness.runner.training import learning_curve
from harness.verdicts import EQUIVALENT, REPLAYED, UNDECIDED
from tests.frameworks.transformer_mutants import WORKLOAD as TRANSFORMER
from tests.parity_event import parity_event
from tests.toy_request import BRIEF, brief_request
from workloads import datasets
from workloads.datasets import text

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path / "cache"))


SOON_OVER = replace(BRIEF, budget=0.1)


def asked(
    root: Path,
    interpreters: dict[str, Path],
    measuring: Measuring = SOON_OVER,
    **changes: Any,
) -> Request:
    usual = {"epochs": 1, "quick": True, "interpreters": interpreters}
    return brief_request(root, measuring, **(usual | changes))


def execute(
    request: Request, root: Path, patience: Timeouts = run.PATIENCE
) -> tuple[store.Record, int, list[dict[str, Any]]]:
    heard: list[dict[str, Any]] = []
    record, status = run.execute(request, heard.append, root, patience, finish=formats.write)
    return record, status, heard


def test_without_the_parity_check_every_output_says_so(
    toy_root: Path, toy_interpreters: dict[str, Path]
) -> None:
    request = asked(toy_root, toy_interpreters, modes=["well", "wrong"], no_parity=True)
    record, status, _ = execute(request, toy_root)
    assert status == 0
    assert record.every("parity") == []
    assert set(store.summary(record)["parity"]) == {"not checked"}
    assert "numerical equivalence was not checked" in (record.folder / "report.md").read_text()


def test_the_parity_check_alone_trains_and_times_nothing(
    toy_root: Path, toy_interpreters: dict[str, Path]
) -> None:
    request = asked(toy_root, toy_interpreters, modes=["well"], only_parity=True, parity_steps=3)
    record, status, _ = execute(request, toy_root)
    assert status == 0
    checks = record.every("parity")
    assert {event["verdict"] for event in checks} == {"equivalent"}
    assert [event["steps"] for event in checks if event["when"] == "before timing"] == [3, 3]
    kinds = [event["kind"] for event in checks if event["when"] == "replayed"]
    assert kinds == ["train", "predict", "single"] * 2
    assert record.every("trained") == record.every("slice") == []


def test_determinism_is_asked_of_every_worker_and_told(
    toy_root: Path, toy_interpreters: dict[str, Path]
) -> None:
    toml = toy_root / "frameworks" / "faulty" / "environment.toml"
    toml.write_text(toml.read_text() + '\n[deterministic]\nMALLOC_TOY = "fixed"\n')
    request = asked(toy_root, toy_interpreters, modes=["well"], deterministic=True)
    record, _, _ = execute(request, toy_root)
    assert record.manifest["options"]["deterministic"]
    built, opened = (
        {one["cell"].split("/")[1]: one for one in record.every(event)}
        for event in ("built", "opened")
    )
    assert built["faulty"]["settings"]["deterministic"]
    assert opened["faulty"]["allocator"]["MALLOC_TOY"] == "fixed"
    assert "MALLOC_TOY" not in opened["reference"]["allocator"]
    assert "deterministic algorithms" in (record.folder / "report.md").read_text()


def test_a_learning_curve_has_means_of_stretches() -> None:
    losses = np.arange(1000.0)
    found = learning_curve(losses, [(0, 0.0), (500, 1.0), (1000, 3.0)])
    assert len(found["steps"]) == 200 and found["steps"][-1] == 1000
    assert found["losses"][0] == losses[:5].mean() and found["seconds"][99:101] == [1.0, 1.02]
    assert learning_curve(losses[:3], [(0, 0.0), (3, 1.0)])["losses"] == [0, 1, 2]


def test_a_run_with_a_precision_stops_when_it_is_reached(
    toy_root: Path, toy_interpreters: dict[str, Path]
) -> None:
    measuring = replace(BRIEF, rounds=1, launches=9, precision=9.0)
    request = asked(toy_root, toy_interpreters, measuring, modes=["well", "slow"])
    record, status, _ = execute(request, toy_root)
    assert status == 0
    (stopped,) = record.every("stopped")
    assert stopped["reason"] == "every ratio is known to the precision"
    *before, last = record.every("looked")
    assert before and all(look["undecided"] for look in before) and not last["undecided"]


def test_where_memory_does_not_hold_all_they_run_in_turn(
    toy_root: Path, toy_interpreters: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "room_for_one_more", lambda alive: False)
    request = asked(toy_root, toy_interpreters, BRIEF, modes=["well", "slow"])
    record, status, _ = execute(request, toy_root)
    assert status == 0 and len(record.every("in-turn")) == 1
    assert {one["turn"] for one in record.every("slice")} == {0, 1}
    assert "memory did not hold all workers" in (record.folder / "report.md").read_text()


def test_synthetic_data_is_named_and_not_scored(
    toy_root: Path, toy_interpreters: dict[str, Path]
) -> None:
    record, status, _ = execute(
        asked(toy_root, toy_interpreters, modes=["well"], data="synthetic"), toy_root
    )
    assert status == 0
    assert record.every("evaluated") == []
    assert record.every("dataset")[0]["source"] == "synthetic, made from seed 0"
    assert "synthetic" in (record.folder / "report.md").read_text()
    assert store.summary(record)["accuracy"].isna().all()


def test_absent_data_is_said_in_one_line_and_the_rest_runs(
    toy_root: Path, toy_interpreters: dict[str, Path]
) -> None:
    request = asked(
        toy_root, toy_interpreters, modes=["well"], workloads=["mlp-2-3-2", "cifar-cnn"]
    )
    record, status, _ = execute(request, toy_root)
    skipped = record.every("workload-skipped")
    assert [one["workload"] for one in skipped] == ["cifar-cnn"]
    assert "data fetch cifar10" in skipped[0]["reason"]
    assert "\n" not in skipped[0]["reason"]
    assert status == 1  # it was asked for by name
    assert store.summary(record).set_index("workload").loc["mlp-2-3-2", "status"].tolist() == [
        "ok",
        "ok",
    ]


def test_without_a_workload_absent_data_is_no_failure(
    toy_root: Path, toy_interpreters: dict[str, Path]
) -> None:
    request = asked(
        toy_root,
        toy_interpreters,
        modes=["well"],
        workloads=[],
        epochs=None,
        steps=2,
        parity_steps=2,
    )
    record, status, _ = execute(request, toy_root)
    assert [one["workload"] for one in record.every("workload-skipped")] == ["cifar-cnn-128"]
    done = set(store.summary(record).query("status == 'ok'")["workload"])
    assert done == {"mlp-digits", "cnn-digits"}
    assert status == 0


def run_on_text(
    toy_root: Path, interpreters: dict[str, Path], rate: float
) -> tuple[store.Record, int]:
    """Run two steps of the transformer on text, at a learning rate."""
    workload = toy_root / "text.toml"
    workload.write_text(TRANSFORMER.read_text().replace("lr = 0.5", f"lr = {rate}"))
    options: dict[str, Any] = {"epochs": None, "steps": 2, "parity_steps": 2}
    request = asked(toy_root, interpreters, modes=["well"], workloads=[str(workload)], **options)
    record, status, _ = execute(request, toy_root)
    return record, status


def test_a_label_a_step_is_scored_by_steps_and_by_perplexity(
    toy_root: Path, toy_interpreters: dict[str, Path]
) -> None:
    record, status = run_on_text(toy_root, toy_interpreters, rate=0.01)
    assert status == 0, [e["reason"] for e in record.every("cell-failed")]
    scores = record.every("evaluated")
    tokens = text.TEST * text.STEPS
    assert [(score["examples"], np.sum(score["confusion"])) for score in scores] == [
        (tokens,) * 2
    ] * 2
    perplexities = store.summary(record)["perplexity"]
    assert perplexities.tolist() == [score["perplexity"] for score in scores]
    assert all(1 < perplexity < 200 for perplexity in perplexities)
    assert "perplexity" in (record.folder / "report.md").read_text()


def test_a_training_that_diverges_once_it_is_timed_is_undecided(
    toy_root: Path, toy_interpreters: dict[str, Path]
) -> None:
    record, status = run_on_text(toy_root, toy_interpreters, rate=5.0)
    undecided = [e["sentence"] for e in record.every("parity") if e["verdict"] == UNDECIDED]
    assert any("the reference is not finite" in sentence for sentence in undecided)
    assert status == 3 and not record.every("cell-failed")
    assert record.pairs.empty


def test_a_framework_that_cannot_run_is_listed_and_the_others_go_on(
    toy_root: Path, toy_interpreters: dict[str, Path], tmp_path: Path
) -> None:
    interpreters = {**toy_interpreters, "faulty": tmp_path / "no" / "python"}
    record, status, _ = execute(asked(toy_root, interpreters, modes=["well"]), toy_root)
    unavailable = record.every("framework-unavailable")
    assert [one["framework"] for one in unavailable] == ["faulty"]
    assert "no/python" in unavailable[0]["reason"]
    table = store.summary(record).set_index("framework")
    assert table["status"].to_dict() == {"faulty": "unavailable", "reference": "ok"}
    assert status == 1


def test_a_device_that_is_not_here_builds_nothing_and_says_so(toy_root: Path) -> None:
    toml = toy_root / "frameworks" / "faulty" / "environment.toml"
    toml.write_text(
        toml.read_text()
        .replace('["cpu"]', '["cpu", "cuda"]')
        .replace('cpu = ["numpy"]', 'cpu = ["numpy"]\ncuda = ["numpy"]')
    )
    record, status, _ = execute(asked(toy_root, {}, device="cuda", modes=["well"]), toy_root)
    assert status == 1
    assert "no cuda device" in record.every("framework-unavailable")[0]["reason"]


def test_ctrl_c_keeps_what_there_is_and_leaves_no_worker(
    toy_root: Path, toy_interpreters: dict[str, Path]
) -> None:
    pids: list[int] = []
    seen: list[Path] = []

    def interrupt(event: dict[str, Any]) -> None:
        if event["event"] == "run-started":
            seen.append(Path(event["folder"]))
        if event["event"] == "preparing":
            pids.append(event["pid"])
        if event["event"] == "trained":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        request = asked(toy_root, toy_interpreters, modes=["well"])
        run.execute(request, interrupt, toy_root, finish=formats.write)
    record = store.read(seen[0])
    assert record.end and record.end["status"] == "interrupted"
    assert (record.folder / "report.md").exists()
    assert not (record.folder / "scratch").exists()
    assert pids and not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_too_large_a_batch_is_told(toy_root: Path, toy_interpreters: dict[str, Path]) -> None:
    toml = toy_root / "big.toml"
    text = (toy_root / "workloads" / "catalogue" / "mlp-2-3-2.toml").read_text()
    toml.write_text(text.replace("batch = 20", "batch = 2000"))
    record, status, _ = execute(
        asked(toy_root, toy_interpreters, modes=["well"], workloads=[str(toml)]), toy_root
    )
    assert status == 1
    assert "take a smaller batch" in record.every("workload-skipped")[0]["reason"]


@pytest.mark.parametrize(
    ("verdicts", "failures", "refused", "status", "ending"),
    [
        ([EQUIVALENT], 0, False, 0, "ok"),
        ([EQUIVALENT, UNDECIDED, EQUIVALENT], 0, False, 3, "undecided"),
        ([UNDECIDED], 1, False, 1, "failed"),
        ([EQUIVALENT, UNDECIDED], 0, True, 1, "failed"),
    ],
)
def test_a_run_in_which_something_is_undecided_ends_with_3_unless_something_failed(
    toy_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    verdicts: list[str],
    failures: int,
    refused: bool,
    status: int,
    ending: str,
) -> None:
    def conduct(session: run._Session) -> None:
        for verdict in verdicts:
            session.emit("parity", session.asked.cells[0].id, **parity_event(verdict))
        if refused:
            reason = "the reference is not finite"
            session.emit("workload-refused", None, workload="mlp-2-3-2", reason=reason)
        session.failures += failures

    monkeypatch.setattr(run, "_conduct_all", conduct)
    record, code, _ = execute(asked(toy_root, {}), toy_root)
    assert code == status
    assert record.end and (record.end["status"], record.end["exit_code"]) == (ending, status)


def test_a_run_whose_undecided_replay_is_decided_by_a_later_one_ends_with_0(
    toy_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def conduct(session: run._Session) -> None:
        for verdict in (UNDECIDED, EQUIVALENT):
            event = parity_event(verdict, when=REPLAYED, kind="train")
            session.emit("parity", session.asked.cells[0].id, **event)

    monkeypatch.setattr(run, "_conduct_all", conduct)
    record, code, _ = execute(asked(toy_root, {}), toy_root)
    assert record.end and (record.end["status"], code) == ("ok", 0)


def test_a_budget_is_shared_between_workloads() -> None:
    assert run._share(Measuring(budget=10), 4).budget == 2.5
    assert run._share(Measuring(), 4).budget is None
    assert run._share(Measuring(workload_budget=10), 4).budget == 10
    assert run._share(Measuring(budget=8, workload_budget=10), 4).budget == 2


def test_epochs_count_whole_batches(tmp_path: Path) -> None:
    from workloads import spec

    workload = spec.load("mlp-digits").with_data(epochs=3)
    arrays = datasets.prepare("digits", tmp_path, seed=0)
    assert schedule.training_steps(workload, arrays, None) == 3 * (1437 // 32)
    assert schedule.training_steps(workload, arrays, 7) == 7
