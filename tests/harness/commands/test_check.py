"""The gate's commands: what they print, what they leave, and their exit status."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

import cli
from harness import paths
from harness.gate import baseline, request
from harness.machine import interference
from harness.results import store
from harness.runner.request import Request
from tests.harness.gate.made import BASE, HEAD, OTHER, made
from tests.toy_request import BRIEF

Conduct = Callable[[Request, bool], tuple[Path, int]]


@pytest.fixture
def root(toy_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the toys, in which the commands are at home; all that is timed is short."""
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(paths, "__file__", str(toy_root / "harness" / "paths.py"))
    monkeypatch.setattr(request, "CAPTURE", replace(BRIEF, launches=3, checking=True))
    monkeypatch.setattr(
        interference.Watch, "noise", lambda self: []
    )  # slices too short to judge it by
    return toy_root


def call(*arguments: str) -> Result:
    result = CliRunner().invoke(cli.main, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


TOYS = [
    "--workload=mlp-2-3-2",
    "--threads=1",
    "--parity-steps=2",
    "--epochs=2",
    "--framework=faulty",
    *(f"--interpreter={name}={sys.executable}" for name in ("faulty", "reference")),
]


def run_of(root: Path) -> Path:
    (run,) = (path for path in (root / "results").iterdir() if (path / store.MANIFEST).is_file())
    return run


# Real runs of the toys. Their times tell of this machine what they may; so what is asked of them is
# far away from what noise could be: naps of thrice a step's time (of less on a slow machine), a
# threshold of 90%, or of 50% where a difference has to show.


@pytest.mark.slow
def test_what_is_no_slower_passes_and_leaves_what_it_promises(root: Path) -> None:
    result = call(
        "check", *TOYS, "--against=faulty/slow", "--mode=well", "--threshold=50%", "--budget=60s"
    )
    assert result.exit_code == 0, result.output
    assert "No regression against faulty/slow" in result.output
    folder = run_of(root)
    told = json.loads((folder / "check.json").read_text())
    assert (told["status"], told["against"]) == (0, "faulty/slow")
    verdicts = {one["metric"]: one["verdict"] for one in told["findings"]}
    assert verdicts["throughput"] == "improved"
    assert verdicts["parity"] == verdicts["accuracy"] == verdicts["memory"] == "same"
    assert set(verdicts) == {
        "throughput",
        "inference",
        "latency",
        "memory",
        "first-step",
        "accuracy",
        "parity",
    }
    suite = ET.fromstring((folder / "check.xml").read_text())  # noqa: S314 (our own file)
    assert suite.get("failures") == suite.get("errors") == "0"
    assert (folder / "check.md").read_text().startswith("<!-- samestep check")
    assert (folder / "report.html").exists()
    assert store.read(folder).manifest["command"][:2] == ["python", "cli.py"]


@pytest.mark.parametrize(
    ("mode", "status", "says"),
    [
        ("wrong", 1, "no longer equivalent: not equivalent: gradient of"),
        ("crash", 2, "crashed: in training:"),
    ],
)
def test_what_is_wrong_or_breaks_down_does_not_pass(
    root: Path, mode: str, status: int, says: str
) -> None:
    result = call("check", *TOYS, "--against=faulty/well", f"--mode={mode}", "--budget=1s")
    assert result.exit_code == status, result.output
    assert says in " ".join(result.output.split())
    told = json.loads((run_of(root) / "check.json").read_text())
    assert [one["verdict"] for one in told["findings"]] == [["", "regressed", "missing"][status]]


def test_a_baseline_is_kept_held_against_and_removed(root: Path) -> None:
    toys = [one for one in TOYS if not one.startswith("--framework")]
    saved = call("baseline", "save", "nightly", *toys, "--mode=well,slow")
    assert saved.exit_code == 0, saved.output
    path = root / "results" / "baselines" / "nightly.json"
    assert saved.stdout.endswith(f"{path}\n")
    assert [cell.split("/")[2] for cell in baseline.read(path).cells] == ["well", "slow"]
    interpreters = [one for one in TOYS if "interpreter" in one]
    result = call(
        "check", "--baseline=nightly", *interpreters, "--mode=well", "--budget=4s", "--json"
    )
    told = json.loads(result.stdout)
    verdicts = {one["metric"]: one["verdict"] for one in told["findings"]}
    assert verdicts["parity"] == verdicts["accuracy"] == "same"
    assert {"throughput", "inference", "latency", "memory"} <= set(verdicts)
    assert result.exit_code == told["status"] != 2
    checks = [
        one for one in store.runs(root / "results") if "check" in store.read(one.folder).manifest
    ]
    record = store.read(checks[0].folder)
    assert record.manifest["options"]["threads"] == 1  # as the baseline was measured
    assert record.manifest["workloads"]["mlp-2-3-2"]["data"]["epochs"] == 2
    assert baseline.read(record.folder / baseline.COPY).table == baseline.read(path).table
    assert "nightly" in call("baseline", "list").output
    assert call("baseline", "remove", "nightly").exit_code == 0
    assert not path.exists()


# Made-up runs.


@pytest.fixture
def conducted(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Instead of a run there is one in which HEAD and BASE, or HEAD and OTHER, did as HOW says."""
    asked: list[Request] = []

    def conduct(made_of: Request, quiet: bool) -> tuple[store.Record, int]:
        asked.append(made_of)
        print("the display's lines", file=sys.stderr if quiet else sys.stdout)
        if made_of.attachments:
            cells = {HEAD: HOW, OTHER: {}}
            table = json.loads(made_of.attachments[baseline.COPY])
            return made(made_of.results, cells, baseline=table, **MADE), 0
        cells = {HEAD: HOW, BASE: {}}
        pairs = [(HEAD, BASE)] if made_of.extra_manifest else None
        return made(made_of.results, cells, pairs=pairs, **MADE), int("failed" in HOW)

    HOW.clear()
    MADE.clear()
    MADE["launches"] = 12
    monkeypatch.setattr("harness.commands.check.conduct", conduct)
    monkeypatch.setattr("harness.commands.baseline.conduct", conduct)
    return asked


HOW: dict[str, Any] = {}
MADE: dict[str, Any] = {}
AGAINST = ["check", "--against=faulty/well", "--mode=slow"]


@pytest.mark.parametrize(
    ("how", "options", "status"),
    [
        ({}, {}, 0),
        ({"train": 0.9}, {}, 1),
        ({"wrong": 4}, {}, 1),
        ({"failed": True}, {}, 2),
        ({}, {"launches": 1}, 3),
    ],
)
def test_the_exit_status_is_the_verdict_s(
    root: Path, conducted: list[Request], how: dict[str, Any], options: dict[str, Any], status: int
) -> None:
    HOW.update(how)
    MADE.update(options)
    result = call(*AGAINST)
    assert result.exit_code == status, result.output
    assert json.loads((run_of(root) / "check.json").read_text())["status"] == status
    (asked,) = conducted
    assert not asked.synthetic
    again = call(*AGAINST, "--json")
    assert again.exit_code == status
    assert json.loads(again.stdout)["status"] == status
    assert "the display's lines" in again.stderr


def test_json_is_all_there_is_on_standard_output(
    root: Path, conducted: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    summary = root / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    HOW["train"] = 0.9
    result = call(*AGAINST, "--json")
    assert result.stdout == (run_of(root) / "check.json").read_text()
    assert "::error" in result.stderr
    assert summary.read_text() == (run_of(root) / "check.md").read_text()
    assert "::error" in call(*AGAINST).stdout


def test_what_was_asked_for_is_what_is_checked(conducted: list[Request]) -> None:
    call(
        *AGAINST,
        "--threshold=7%",
        "--margin=2%",
        "--budget=3m",
        "--steps=5",
        "--seed=4",
        "--data=synthetic",
        "--workload=mlp-2-3-2",
    )
    (asked,) = conducted
    check = asked.extra_manifest["check"]
    assert (check["threshold"], check["margin"]) == (0.07, 0.02)
    assert (asked.measuring.budget, asked.steps, asked.seed, asked.synthetic) == (180, 5, 4, True)
    assert [one.name for one in asked.workloads] == ["mlp-2-3-2"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["check"], "give one of --against and --baseline"),
        (["check", "--against=faulty", "--baseline=x"], "give one of --against and --baseline"),
        (["check", "--baseline=x"], "no such file; stored baselines: none"),
        ([*AGAINST, "--epochs=1", "--steps=1"], "are mutually exclusive"),
        ([*AGAINST, "--threshold=3"], "give a part in percent"),
        ([*AGAINST, "--margin=200%"], "give a part in percent"),
        ([*AGAINST, "--budget=soon"], "give a time as 90s, 2m or 1h"),
        ([*AGAINST, "--workload=mlp"], "no workload"),
        (["check", "--against=faulty/wel"], 'did you mean "well"'),
        (["baseline", "save", "../up"], "take letters, digits"),
        (["baseline", "save", "x", "--epochs=1", "--steps=1"], "are mutually exclusive"),
        (["baseline", "save", "x", "--run=none"], "no runs there"),
        (["baseline", "show", "x"], "no baseline 'x' in"),
        (["baseline", "remove", "../x"], "no baseline '../x' in"),
    ],
)
def test_wrong_use_is_said_exits_2_and_measures_nothing(
    conducted: list[Request], arguments: list[str], says: str
) -> None:
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert says in " ".join(result.output.split())
    assert not conducted


def test_a_run_is_kept_shown_listed_and_held_against(root: Path, conducted: list[Request]) -> None:
    result = call("baseline", "save", "old", "--mode=well", "--steps=3")
    assert result.exit_code == 0, result.output
    (asked,) = conducted
    assert asked.measuring is request.CAPTURE and asked.steps == 3 and not asked.synthetic
    path = root / "results" / "baselines" / "old.json"
    assert result.stdout.splitlines()[-1] == str(path)
    shown = " ".join(call("baseline", "show", "old").stdout.split())
    assert "A CPU, 2 threads" in shown and run_of(root).name in shown
    assert "mlp-digits, cpu, float32 throughput inference" in shown
    assert "left eager 9" in shown and "left@1.0 eager 9" in shown
    assert "0.9806" in shown and "MiB" in shown
    kept = baseline.read(path).table
    assert call("baseline", "save", "again", "--run=latest").exit_code == 0
    again = dict(baseline.read(path.with_name("again.json")).table)
    assert again == {**kept, "name": "again"}
    (path.parent / "broken.json").write_text("{")
    lines = call("baseline", "list").stdout.splitlines()
    words = [line.split()[0] for line in lines if line[:1].isalpha()]
    assert words == ["baseline", "again", "broken", "old"]
    assert "not a valid baseline" in " ".join(" ".join(lines).split())


@pytest.mark.parametrize("how", ["name", "file", "run"])
def test_a_check_takes_a_baseline_by_its_name_its_file_or_its_run(
    root: Path, conducted: list[Request], how: str
) -> None:
    table = baseline.of(made(root / "results", {HEAD: {}, OTHER: {}}, seed=7), "old")
    path = baseline.save(root / "results" / "baselines", table)
    HOW["train"] = 0.9
    word = {"name": "old", "file": str(path), "run": table["run"][:-1]}[how]
    result = call("check", f"--baseline={word}")
    assert result.exit_code == 1, result.output
    assert "Regression against the baseline old: 1 regressed" in result.output
    (asked,) = conducted
    name = table["run"] if how == "run" else "old"
    assert asked.extra_manifest["check"]["against"] == f"the baseline {name}"
    assert json.loads(asked.attachments[baseline.COPY])["cells"].keys() == {HEAD, OTHER}
    assert (asked.threads, asked.synthetic) == (min(2, os.cpu_count() or 1), False)


def test_what_is_not_well_is_not_kept(root: Path, conducted: list[Request]) -> None:
    HOW["failed"] = True
    result = call("baseline", "save", "old", "--mode=well")
    assert result.exit_code == 2
    assert "not all cells are ok, so nothing is stored" in " ".join(result.output.split())
    assert not (root / "results" / "baselines").exists()
