"""What a report says, of runs that went well, badly, or nowhere."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report import content
from harness.results import store
from harness.text import amount, listed, plain, seconds
from harness.verdicts import EQUIVALENT, UNDECIDED
from tests.harness.report.made_up import ReportRun
from tests.parity_event import parity_event
from workloads import spec

CELLS = ("toy/left/fast/cpu/float32", "toy/right/slow/cpu/float32", "toy/third/m/cpu/float32")


def report(folder: Path) -> content.Report:
    return content.build(store.read(folder))


def said(report: content.Report) -> str:
    return "\n".join(text for section in report.sections for _, text in section.notes)


def start(tmp_path: Path, fake: ModuleType, *cells: str, **options: object) -> ReportRun:
    return ReportRun(tmp_path, fake.manifest(cells, **options))


def test_a_good_run(tmp_path: Path, fake: ModuleType) -> None:
    told = report(fake.good_run(tmp_path))
    assert (told.tone, told.verdict) == ("good", "10 of 10 cells ok")
    assert not told.warnings and not told.failures and not told.absent
    (section,) = told.sections
    assert section.workload == "cnn-digits" and "batch 32, 15 epochs" in section.about
    assert section.about.endswith("cpu, float32")
    titles = [metric.title for metric in section.columns]
    assert titles == [
        "rank",
        "accuracy",
        "precision",
        "recall",
        "F1",
        "training samples/s",
        "training samples/s, from (95%)",
        "training samples/s, to (95%)",
        "inference samples/s",
        "cores used",
        "import, s",
        "first step, s",
        "training, s",
        "peak memory, MiB",
        "framework's own, MiB",
    ]
    assert told.again == "python cli.py run --framework all --out 'my results'"
    provenance = dict(told.provenance)
    assert "synchronisation" in provenance["clock"]
    assert "in 3 launches of every cell" in provenance["speeds"] and "95%" in provenance["speeds"]
    assert provenance["energy"] == "not measured"
    assert section.notes[0] == (
        "good",
        "Numerical equivalence was not checked, but pytorch eager is fastest on cnn-digits: 1.80x (1.79"
        " to 1.80) tensorflow xla's throughput, same accuracy, about the same memory",
    )
    assert "pytorch eager is fastest on cnn-digits in inference: 1." in section.notes[1][1]
    assert provenance["options"] == "threads 2, seed 0"
    assert provenance["machine"].startswith(
        "AMD EPYC 9354 32-Core Processor, 2 of 64 logical cores, 8.0"
    )
    assert provenance["pytorch"] == "torch 2.13.0+cpu, numpy 2.4.6, python 3.11.7"
    assert (
        "1,437 train, 360 test, sha256 train_inputs.npy abababababab" in provenance["data digits"]
    )


def test_rows_go_by_training_speed_then_failures_then_the_reference(
    tmp_path: Path, fake: ModuleType
) -> None:
    (section, _) = report(fake.mixed_run(tmp_path)).sections
    assert [row.label for row in section.rows] == [
        "pytorch eager",
        "tensorflow xla",
        "tensorflow graph",
        "jax jit",
        "tensorflow eager",
        "jax eager",
        "pytorch compile",
        "mxnet imperative",
        "mxnet hybrid",
        "reference numpy",
    ]
    assert section.rows[-1].status == "reference"
    assert "reference numpy (float64): the reference, not ranked" in [
        text for _, text in section.notes
    ]
    assert [row.tone for row in section.rows[5:]] == ["good", "off", "off", "off", "note"]


def test_a_fast_reference_and_a_failed_fast_cell_still_stand_last(
    tmp_path: Path, fake: ModuleType
) -> None:
    run = start(tmp_path, fake, "toy/reference/numpy/cpu/float64", *CELLS)
    run.begin()
    for number, cell in enumerate(["toy/reference/numpy/cpu/float64", *CELLS]):
        run.open_cell(cell)
        run.time_slices(cell, speed=1e6 / (number + 1))
        if cell == CELLS[0]:
            run.fail(cell, phase="rounds")
        else:
            run.done(cell)
    run.end()
    (section,) = report(run.folder).sections
    labels = [row.label for row in section.rows]
    assert labels == ["right slow", "third m", "left fast", "reference numpy"]
    assert section.rows[2].texts[5] == "494,072"  # what it came to is shown all the same


def test_what_is_missing_and_what_failed_is_told(tmp_path: Path, fake: ModuleType) -> None:
    told = report(fake.mixed_run(tmp_path))
    assert told.verdict == "13 of 21 cells ok: 6 unavailable, 1 crashed and 1 skipped"
    assert [section.workload for section in told.sections] == ["cnn-digits", "mlp-digits"]
    assert dict(told.absent) == {
        "mxnet": "unavailable: libquadmath.so.0 is missing: apt install libquadmath0",
        "cifar-cnn": "skipped: cifar10 is absent: run `python cli.py data fetch cifar10`",
    }
    assert [failure.status for failure in told.failures] == ["unavailable"] * 2 + ["crashed"]
    crashed = told.failures[-1]
    assert crashed.reason.startswith("in train: killed by signal SIGKILL")
    assert crashed.tail[-1] == "Killed"
    assert crashed.log == "logs/mlp-digits-tensorflow-xla-cpu-float32.log"
    assert "jax eager missed the target accuracy of 0.95" in said(told)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"quick": True}, "after one epoch"),
        ({"steps": 9, "own_epochs": {"cnn-digits": 15}}, "after 9 steps"),
        ({"own_epochs": {"cnn-digits": 30}}, "after 15 of its 30 epochs"),
        ({"quick": True, "own_epochs": {"cnn-digits": 15}}, ""),  # which were asked for
    ],
)
def test_a_target_that_a_short_training_missed_is_no_failure(
    tmp_path: Path, fake: ModuleType, options: dict[str, Any], words: str
) -> None:
    run = ReportRun(tmp_path, fake.manifest(fake.plan("cnn-digits")[:2], **options))
    for cell in fake.plan("cnn-digits")[:2]:
        run.whole_cell(cell, accuracy=0.5)
    run.end()
    missed = f"every cell missed the target accuracy of 0.95 {words}".strip()
    assert ("note" if words else "bad", missed) in report(run.folder).sections[0].notes


def losses(
    tmp_path: Path, fake: ModuleType, *each: float | None, reference: float | None = None
) -> str:
    cells = list(CELLS[: len(each)])
    run = start(tmp_path, fake, *cells)
    if reference is not None:
        cells.append("toy/reference/numpy/cpu/float64")
        each = (*each, reference)
        run.begin()
    for cell, loss in zip(cells, each, strict=True):
        run("first-step", cell, seconds=0.1, loss=loss)
        run.done(cell)
    run.end()
    return said(report(run.folder))


def test_first_losses_are_compared_with_the_references(tmp_path: Path, fake: ModuleType) -> None:
    told = losses(tmp_path, fake, 2.0, 2.000001, reference=2.0)
    assert (
        "2 cells agree with the reference's to 5.0e-07 (relative; right slow is the furthest)"
        in told
    )


def test_first_losses_are_compared_with_their_median(tmp_path: Path, fake: ModuleType) -> None:
    told = losses(tmp_path, fake, 2.0, 2.0, 2.5)
    assert "3 cells agree with their median only to 2.5e-01" in told
    assert "do not compare third m before that is explained" in told


def test_a_first_loss_that_is_no_number_is_told(tmp_path: Path, fake: ModuleType) -> None:
    assert "first loss of right slow is no finite number" in losses(tmp_path, fake, 2.0, None, 2.0)


def test_a_lone_cell_agrees_with_nobody(tmp_path: Path, fake: ModuleType) -> None:
    assert losses(tmp_path, fake, 2.0) == "On toy no cell was timed"


def test_an_unsteady_cell_is_told(tmp_path: Path, fake: ModuleType) -> None:
    run = start(tmp_path, fake, CELLS[0])
    run.time_slices(CELLS[0])
    run("warmed", CELLS[0], launch=1, steady_from=None, seconds_a_step=[1.0] * 100)
    run.done(CELLS[0])
    run.end()
    assert "left fast did not reach steady state while warming up" in said(report(run.folder))


def test_the_rate_of_tiny_operations_is_told_of_each_framework(
    tmp_path: Path, fake: ModuleType
) -> None:
    run = ReportRun(tmp_path, fake.manifest(CELLS[:2]))
    run.run.update_manifest(workloads={"toy": spec.load("mlp-digits").to_dict()})
    for cell, speed in zip(CELLS[:2], (640.0, 320.0), strict=True):
        run.time_slices(cell, speed=speed)
        rates = {"float32 product": 1e9, "tiny operations": 100 * speed}
        run("limits", cell, rates=rates)
        run.done(cell)
    run.end()
    told = said(report(run.folder))
    assert "dispatch rate on cpu, operations a second: left 64,000 and right 32,000" in told
    assert "takes as long as 3,2" in told  # batches of 32 samples
    assert "measured peak: 1 Gflop/s (float32 product)" in told


def test_an_undecided_cell_is_not_the_one_nearest_to_the_limit(
    tmp_path: Path, fake: ModuleType
) -> None:
    run = ReportRun(tmp_path, fake.manifest(CELLS[:2]))
    run.run.update_manifest(workloads={"toy": spec.load("mlp-digits").to_dict()})
    for cell, speed, verdict in zip(CELLS, (1e6, 320.0), (UNDECIDED, EQUIVALENT), strict=False):
        run("parity", cell, **parity_event(verdict))
        run.time_slices(cell, speed=speed)
        run("limits", cell, rates={"float32 product": 1e12, "tiny operations": 1e4})
        run.done(cell)
    run.end()
    notes = said(report(run.folder))
    assert "best MFU: right slow, " in notes and "a step of right slow takes" in notes


@pytest.mark.parametrize(("slices", "tone"), [(1, "note"), (8, "warn")])
def test_few_contaminated_slices_are_no_warning(
    tmp_path: Path, fake: ModuleType, slices: int, tone: str
) -> None:
    run = start(tmp_path, fake, *CELLS[:1])
    run.time_slices(CELLS[0], rounds=20)
    noise = {"noise": ["stolen by the hypervisor: 6%"], "kind": "train", "launch": 1}
    sizes = {"steps": 1, "samples": 1, "seconds": 1, "cpu_seconds": 1}
    for number in range(21, 21 + slices):
        run("slice", CELLS[0], round=number, **noise, **sizes)
    run.done(CELLS[0])
    run.end()
    notes = [note for section in report(run.folder).sections for note in section.notes]
    assert [of_note for of_note, text in notes if "contaminated" in text] == [tone]


def test_troubles_of_the_laboratory_are_told(tmp_path: Path, fake: ModuleType) -> None:
    run = start(tmp_path, fake, *CELLS[:2], threads=1, precision=1e-4, open_ended=True)
    for cell, speed in zip(CELLS[:2], (1000.0, 1001.0), strict=True):
        run.time_slices(cell, speed=speed)
        run(
            "slice",
            cell,
            launch=1,
            round=1,
            kind="single",
            steps=1,
            samples=1,
            seconds=1,
            cpu_seconds=1,
            noise=["stolen by the hypervisor: 6%"],
        )
        run.done(cell)
    run("in-turn", workload="toy", turn=0, cells=[CELLS[0]])
    run("stopped", workload="toy", reason="the budget is spent")
    run.end()
    told = said(report(run.folder))
    slices = store.read(run.folder).slices
    measured = slices[~slices["twin"] & (slices["round"] > 0)]
    assert f"2 of {len(measured)} slices contaminated" in told  # those of single predictions, too
    assert "exceeded its thread limit (1.9 of 1 cores)" in told
    assert "2 of " in told and " slices contaminated: stolen by the hypervisor (2)" in told
    assert "memory did not hold all workers: left fast were timed apart" in told
    assert "measuring ended: the budget is spent" in told
    assert "a longer run would know to 0.01%: left fast against right slow" in told
    assert "no cell leads on toy (order inconclusive)" in told


def test_synthetic_data_is_named_and_claims_no_accuracy(tmp_path: Path, fake: ModuleType) -> None:
    told = report(fake.good_run(tmp_path, data="synthetic", quick=True))
    assert "SYNTHETIC DATA" in told.warnings[0] and "--quick" in told.warnings[1]
    assert "acc" not in [column.title for column in told.sections[0].columns]
    assert "accuracy" not in said(told) and "scores" not in dict(told.provenance)
    assert "NVML" not in dict(told.provenance)["memory"]  # no cell was on a card


def test_a_busy_machine_is_named(tmp_path: Path, fake: ModuleType) -> None:
    run = start(tmp_path, fake)
    machine = store.read(run.folder).manifest["machine"]
    run.run.update_manifest(machine={**machine, "load": [3.5, 1, 1]})
    run.run.close()
    assert "load 3.5 on 2 usable cores" in report(run.folder).warnings[0]


def test_devices_that_differ_are_in_the_names(tmp_path: Path, fake: ModuleType) -> None:
    cells = ("toy/left/fast/cpu/float32", "toy/left/fast/cuda/float32")
    run = start(tmp_path, fake, *cells)
    for cell in cells:
        on_card = {"device_peak": 2**28, "device_used": 2**29} if "cuda" in cell else {}
        run("memory", cell, peak_rss=2**30, **on_card)
        run.done(cell)
    run("framework-unavailable", framework="right", device="cuda", reason="no wheel")
    run.end()
    told = report(run.folder)
    (section,) = told.sections
    assert [row.label for row in section.rows] == ["left fast cpu", "left fast cuda"]
    assert [metric.short for metric in section.columns[-2:]] == ["GPU MiB", "held MiB"]
    assert [row.texts[-2:] for row in section.rows] == [("-", "-"), ("256", "512")]
    assert "the driver (NVML) reports for the process" in dict(told.provenance)["memory"]
    assert told.absent == (("right on cuda", "unavailable: no wheel"),)


def test_an_empty_run(tmp_path: Path) -> None:
    run = ReportRun(tmp_path, {})
    run.run.close()
    told = report(run.folder)
    assert told.tone == "bad" and told.verdict.startswith("no cell was planned")
    assert told.sections == () and told.again == ""


@pytest.mark.parametrize(("status", "tone"), [("ok", "good"), ("failed", "bad")])
def test_absent_data_is_as_bad_as_the_run_s_end_says(
    tmp_path: Path, fake: ModuleType, status: str, tone: str
) -> None:
    run = start(tmp_path, fake, CELLS[0], "cifar-cnn/right/slow/cpu/float32")
    run.whole_cell(CELLS[0])
    run("workload-skipped", workload="cifar-cnn", reason="cifar10 is absent")
    run.end(status, int(status != "ok"))
    told = report(run.folder)
    assert (told.tone, told.verdict) == (tone, "1 of 2 cells ok: 1 skipped")


@pytest.mark.parametrize(("status", "words"), [("interrupted", "interrupted"), (None, "no end")])
def test_a_run_that_was_not_finished(
    tmp_path: Path, fake: ModuleType, status: str | None, words: str
) -> None:
    run = start(tmp_path, fake, *CELLS)
    run.whole_cell(CELLS[0])
    run.open_cell(CELLS[1])
    if status:
        run("run-ended", status=status, exit_code=130)
    run.run.close()
    told = report(run.folder)
    assert told.tone == "bad" and words in told.verdict and "partial" in told.verdict
    assert "1 of 3 cells ok: 1 interrupted and 1 not run" in told.verdict
    assert [failure.status for failure in told.failures] == ["interrupted"]


def test_a_run_in_which_all_failed(tmp_path: Path, fake: ModuleType) -> None:
    run = start(tmp_path, fake, *CELLS)
    for cell in CELLS:
        run.fail(cell)
    run.end("failed", 1)
    told = report(run.folder)
    assert told.verdict == "0 of 3 cells ok: 3 crashed"
    assert dict(told.provenance)["speeds"] == "no slice was timed"
    assert len(told.failures) == 3


@given(st.text())
def test_foreign_text_becomes_one_printable_line(text: str) -> None:
    line = plain(text)
    assert line.isprintable()
    line.encode()
    assert plain(line) == line


def test_terminal_codes_are_taken_out() -> None:
    assert plain("\x1b[31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07 a\nb") == "red link a b"


def test_words() -> None:
    assert [amount(v) for v in (1234.5, 99.87, 1.234, 0.0123)] == [
        "1,234",
        "99.9",
        "1.23",
        "0.0123",
    ]
    assert [seconds(v) for v in (0.0123, 1.234, 1234)] == ["0.012", "1.23", "1,234"]
    assert listed("a") == "a" and listed("abc") == "a, b and c"
