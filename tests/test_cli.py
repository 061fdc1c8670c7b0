"""The command line: what it prints, what it refuses, and its exit status."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

import cli
from harness.commands.errors import INTERRUPTED
from harness.environments.framework_spec import discover
from harness.report import document
from harness.results import history_db as database
from harness.results import store
from harness.verdicts import UNDECIDED
from tests.conftest import copy_with_toys
from tests.parity_event import TENSOR, parity_event
from workloads import datasets, spec

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, list(arguments))


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, command in group.commands.items():
        found.append((*path, name))
        if isinstance(command, click.Group):
            found += commands(command, (*path, name))
    return found


@pytest.mark.parametrize("path", commands(cli.main), ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...]) -> None:
    result = call(*path, "--help")
    assert result.exit_code == 0
    assert result.output.startswith("Usage:")


def test_frameworks_workloads_and_modes_are_listed() -> None:
    frameworks = call("list", "frameworks").output
    modes = call("list", "modes").output
    for framework_spec in discover().values():
        assert framework_spec.name in frameworks
        assert all(mode in modes for mode in framework_spec.modes)
    assert all(name in call("list", "workloads").output for name in spec.names())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "--framework", "tensorflw"], 'did you mean "tensorflow"'),
        (["run", "--workload", "mlp-digit"], 'did you mean "mlp-digits"'),
        (["run", "--mode", "eagre"], 'did you mean "eager"'),
        (["run", "--budget", "soon"], "give a time as 90s, 2m or 1h"),
        (["run", "--epochs", "0"], "--epochs"),
        (["run", "--epochs", "1", "--steps", "1"], "give one"),
        (["run", "--interpreter", "python"], "give a framework and its python"),
        (["run", "--threads", "9999"], "may use"),
        (["run", "--flag-that-is-not"], "No such option"),
        (["run", "--data-dir", "/no/such/folder"], "does not exist"),
        (["report", "latest", "--out", "/no/such/folder"], "no runs there"),
        (["compare", "latest", "latest", "--out", "/no/such/folder"], "no runs there"),
        (["compare", "latest"], "Missing argument"),
        (["history", "--out", "/no/such/folder"], "no runs there"),
        (["history", "--metric", "speed"], "--metric"),
        (["compare", "latest", "latest", "--format", "csv"], "--format"),
        (["data", "fetch", "cifar"], "cifar10"),
        (["profile", "mlp-digits/reference/numpi"], 'did you mean "numpy"'),
        (["profile", "mlp-digits"], "give workload/framework/mode"),
        (["env", "build", "tensorflw"], 'did you mean "tensorflow"'),
        (["no-such-command"], "No such command"),
    ],
)
def test_wrong_use_is_said_and_exits_2(arguments: list[str], says: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert says in " ".join(result.output.split())
    assert "Traceback" not in result.output


QUICK = [
    "run",
    "--quick",
    "--threads=1",
    "--workload=mlp-2-3-2",
    *(f"--interpreter={name}={sys.executable}" for name in ("faulty", "reference")),
]
"""A quick run of the toys."""


@pytest.fixture
def mine(toy_root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Arguments for a quick run of the toys, in the toy project."""
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path / "cache"))
    return QUICK


class Project(NamedTuple):
    """A project of toys with two runs, which tests read and never write to."""

    root: Path
    well: subprocess.CompletedProcess[str]
    failing: subprocess.CompletedProcess[str]
    runs: list[str]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Two runs as a user starts them: one that is well, and one, as JSON, of which a cell fails."""
    root = copy_with_toys(tmp_path_factory.mktemp("cli") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMESTEP_CACHE", str(root / "cache"))
        well = process(root, *QUICK, "--mode=well")
        failing = process(root, *QUICK, "--mode=well,raises", "--json")
        yield Project(
            root, well, failing, sorted(run.name for run in store.folders(root / "results"))
        )


def process(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "cli.py", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)


def test_a_run_prints_a_table_and_can_be_reported_again(project: Project) -> None:
    root, done, run = project.root, project.well, project.runs[0]
    assert done.returncode == 0, done.stderr
    assert "faulty well" in done.stdout
    assert "\x1b" not in done.stdout  # no terminal, no colours
    folder = root / "results" / run
    assert "faulty well" in process(root, "report", run).stdout
    assert "the reference, not ranked" in process(root, "report", run, "--details").stdout
    markdown = process(root, "report", run, "--format=md").stdout
    assert markdown.strip() == (folder / "report.md").read_text().strip()
    rows = process(root, "report", run, "--format=csv").stdout
    assert rows == (folder / "summary.csv").read_text()
    page = process(root, "report", "latest", "--format=html").stdout.strip()
    assert page.endswith(f"{project.runs[1]}/report.html")
    assert run in process(root, "list", "results").stdout


@pytest.mark.parametrize("command", [["run"], ["run", "--json"], ["parity"], ["parity", "--json"]])
def test_an_undecided_cell_is_named_and_ends_the_command_with_3(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = store.Run.create(tmp_path, {"cells": ["toy/left/fast/cpu/float32"]})
    made.append("parity", "toy/left/fast/cpu/float32", **parity_event(UNDECIDED))
    made.append("cell-done", "toy/left/fast/cpu/float32")
    made.append("run-ended", status=UNDECIDED, exit_code=3)
    made.close()
    monkeypatch.setattr("harness.commands.run.conduct", lambda *_: (store.read(made.folder), 3))
    result = call(*command)
    assert result.exit_code == 3
    assert f"parity undecided: {TENSOR}" in " ".join(result.output.split())


@pytest.mark.parametrize("command", ["run", "parity"])
def test_help_says_what_an_exit_status_means(command: str) -> None:
    words = " ".join(call(command, "--help").output.split())
    assert "1: a cell failed or is not equivalent; else 3: for some undecided cell nothing" in words


def test_several_runs_are_reported_together(project: Project) -> None:
    results, runs = project.root / "results", project.runs

    def report(*arguments: str) -> str:
        return call("report", *runs, *arguments, "--out", str(results)).stdout

    page = Path(report("--format=html").strip())
    assert page.parent == results / "reports"
    assert all(run in page.read_text() for run in runs)
    told = json.loads(report(runs[0], "--format=json"))
    sizes = [(run["run"], len(run["cells"])) for run in told["runs"]]
    assert sizes == list(zip(runs, (2, 3), strict=True))
    rows = report("--format=csv").splitlines()
    assert rows[0].startswith("run,cell,") and len(rows) == 1 + 2 + 3
    assert report().count("samestep run") == 2


def test_a_run_joins_the_history(project: Project, tmp_path: Path) -> None:
    results = tmp_path / "results"
    shutil.copytree(project.root / "results", results)

    def history(*arguments: str, status: int = 0) -> str:
        done = call("history", *arguments, "--out", str(results))
        assert done.exit_code == status, done.output
        return done.output

    gone, kept = project.runs
    assert sorted(set(database.table(results)["run"])) == [gone, kept]
    shutil.rmtree(results / gone)
    journal, aside = results / kept / store.JOURNAL, results / "aside"
    journal.rename(aside)
    shown = history("well")  # it is in the database
    assert "mlp-2-3-2/faulty/well/cpu/float32" in shown
    assert len(re.findall(r"^\d{4}-\d\d-\d\d ", shown, re.MULTILINE)) == 1
    (results / database.NAME).unlink()
    lost = history(status=2)
    assert "no stored run has training samples/s" in lost
    assert f"left out: {journal}" in lost
    aside.rename(journal)
    told = json.loads(history("--format=json", "--metric=first-step"))
    assert [[point["run"] for point in one["points"]] for one in told["series"]] == [[kept]]
    assert history("--format=csv").startswith("cell,ground,fingerprint,")
    page = Path(history("--format=html").strip())
    assert page == results / "reports" / "history-throughput.html" and page.is_file()
    assert "there are mlp-2-3-2/faulty/well" in history("no such cell", status=2)


def test_a_history_that_cannot_be_written_fails_no_run(toy_root: Path, mine: list[str]) -> None:
    (toy_root / "results" / database.NAME).mkdir(parents=True)
    done = process(toy_root, *mine, "--mode=well")
    assert done.returncode == 0, done.stderr
    assert "the history cannot be read or written" in " ".join(done.stdout.split())
    assert "faulty well" in done.stdout


def test_a_report_opens_in_a_browser(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    done = call("report", "latest", "--open", "--out", str(project.root / "results"))
    assert done.exit_code == 0, done.output
    assert opened == [Path(done.output.strip()).resolve().as_uri()]


def test_json_is_all_there_is_on_standard_output(project: Project) -> None:
    done = project.failing
    assert done.returncode == 1
    told = json.loads(done.stdout)
    (run,) = told["runs"]
    cells = {cell["mode"]: cell for cell in run["cells"]}
    assert told["schema"] == document.SCHEMA
    again = process(project.root, "report", run["run"], "--format=json")
    assert json.loads(again.stdout) == told
    assert cells["well"]["status"] == "ok"
    assert cells["raises"]["status"] == "failed"
    assert "[bold]reason[/bold]" in done.stderr  # shown, not obeyed


def test_two_runs_are_compared(project: Project) -> None:
    runs = project.runs

    def compare(*arguments: str) -> str:
        done = call("compare", *runs, *arguments, "--out", str(project.root / "results"))
        assert done.exit_code == 0, done.output
        return done.stdout

    assert [json.loads(compare("--format=json"))[side] for side in "ab"] == runs
    assert f"from A, {runs[0]}, to B, {runs[1]}" in " ".join(compare().split())
    assert compare("--format=md").startswith("# samestep")


def test_ctrl_c_ends_everything_and_says_so(toy_root: Path, mine: list[str]) -> None:
    command = [sys.executable, "cli.py", *mine, "--mode=hang"]
    with subprocess.Popen(
        command, cwd=toy_root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        wait_for(lambda: "preparing" in journal(toy_root))
        time.sleep(1)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=30)
    assert running.returncode == INTERRUPTED
    assert "interrupted" in errors
    assert "Traceback" not in errors
    (run,) = store.runs(toy_root / "results")
    assert run.status == "interrupted"
    pid = json.loads(next(x for x in journal(toy_root).splitlines() if '"preparing"' in x))["pid"]
    assert not Path(f"/proc/{pid}").exists()


def journal(root: Path) -> str:
    return "".join(path.read_text() for path in root.glob("results/*/events.jsonl"))


def wait_for(condition: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_doctor_says_what_is_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path))
    result = call("doctor", "--json")
    findings = json.loads(result.output)
    assert {"level", "what", "mend"} <= set(findings[0])
    assert any("Python" in finding["what"] for finding in findings)
    assert result.exit_code == int(any(finding["level"] == "error" for finding in findings))


def test_data_can_be_listed_and_verified(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path))
    assert "absent" in call("data", "list").output
    assert call("data", "verify").exit_code == 0


def test_data_of_ones_own_is_listed_with_its_place_and_verified(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path))
    np.savez(tmp_path / "my.npz", inputs=np.zeros((8, 2)), labels=np.arange(8) % 2)
    text = (spec.CATALOGUE / "mlp-2-3-2.toml").read_text()
    keys = 'file = "my.npz"\ntest = 0.5\nbatch = 2'
    net = tmp_path / "net.toml"
    net.write_text(re.sub(r'dataset = "xor"\nbatch = \d+', keys, text))
    workload = spec.load(str(net))
    arrays = datasets.prepare(workload.dataset, tmp_path / "datasets", seed=0)
    monkeypatch.setenv("COLUMNS", "400")
    (line,) = (line for line in call("data", "list").output.splitlines() if "my.npz" in line)
    assert "4 + 4" in line and f"MiB in {arrays.folder}" in line
    assert "ok     user data: the user's own files, test = 0.5" in call("data", "verify").output
    (arrays.folder / "test_inputs.npy").write_bytes(b"?")
    verified = call("data", "verify")
    assert verified.exit_code == 1 and "broken user data" in verified.output
    (arrays.folder / "meta.json").write_text("?")
    assert "broken" in call("data", "list").output


def test_the_program_is_installed_by_name() -> None:
    program = Path(sys.executable).with_name("samestep")
    if not program.exists():
        pytest.skip("the project is not installed in this environment: pip install -e .")
    environment = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run(
        [program, "list", "frameworks"],
        capture_output=True,
        text=True,
        cwd="/",
        timeout=60,
        env=environment,
    )
    assert "reference" in done.stdout, done.stderr
