"""A matrix on a real Slurm of two nodes: every unit is done once, whatever happens to its jobs."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness.matrix import status
from harness.matrix.folders import UnitFolder
from harness.matrix.plan import Plan
from harness.matrix.status import MatrixState
from tests.faults.conftest import Shell
from tests.harness.matrix.cluster import Cluster, missing
from tests.harness.matrix.conftest import matrix_file, planned

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "there is a Slurm")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    begun = Cluster(tmp_path_factory.mktemp("slurm"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", begun.variables["SLURM_CONF"])
        try:
            begun.begin()
            yield begun
        finally:
            begun.end()


def submit(shell: Shell, seconds: float = 1, **variables: str) -> str:
    code, printed, errors = shell.run(
        "matrix", "submit", "--on", "slurm", STAND_IN_SECONDS=str(seconds), **variables
    )
    assert code == 0, errors
    return printed


def look(plan: Plan) -> MatrixState:
    return status.look(plan)


def all_done(cluster: Cluster, plan: Plan, seconds: float = 120) -> None:
    cluster.wait(lambda: look(plan).counts == {"done": len(plan.units)}, seconds)


def both_begun(cluster: Cluster, plan: Plan) -> None:
    """Wait until the runs of two units have begun."""
    cluster.wait(lambda: len([*plan.folder.glob("units/*/attempts/*/log.txt")]) == 2)


def results(plan: Plan) -> list[dict[str, Any]]:
    return [UnitFolder(plan.folder, number).done() or {} for number in range(len(plan.units))]


def check_each_done_once(plan: Plan) -> None:
    """One attempt of each unit counts, with its run, and on no node two of these overlap."""
    spans: dict[str, list[tuple[datetime, float]]] = {}
    for number, done in enumerate(results(plan)):
        folder = UnitFolder(plan.folder, number).folder / "attempts" / done["attempt"]
        assert (
            json.loads((folder / "run" / "manifest.json").read_text())["run"]
            == done["block"]["run"]
        )
        began = datetime.strptime(done["attempt"][:22], "%Y%m%dT%H%M%S.%f")
        ended = (folder / "ended.json").stat().st_mtime - (folder / "attempt.json").stat().st_mtime
        spans.setdefault(done["node"], []).append((began, ended))
    for of_node in spans.values():
        for (began, seconds), (following, _) in pairwise(sorted(of_node)):
            assert (following - began).total_seconds() >= seconds - 0.5


def test_a_matrix_goes_through_two_nodes_to_the_report_of_a_local_one(
    cluster: Cluster, shell: Shell, tmp_path: Path
) -> None:
    plan = planned(shell, matrix_file(tmp_path, seeds=4, replicates=2))
    both = [shell.begin("matrix", "submit", "--on", "slurm") for _ in range(2)]
    printed = "".join(process.communicate(timeout=240)[0] for process in both)
    assert sorted(re.findall(r"(\d+) units? submitted", printed)) == ["0", "8"]
    all_done(cluster, plan)
    check_each_done_once(plan)
    assert all(len(UnitFolder(plan.folder, number).attempts()) == 1 for number in range(8))
    assert {done["node"] for done in results(plan)} == {"n1", "n2"}
    assert all(done["neighbours"] == [] for done in results(plan))
    assert "0 units submitted" in submit(shell)

    _, page, _ = shell.run("matrix", "report", "--format", "md")
    nodes = [done["node"] for done in results(plan)]
    plan.folder.rename(plan.folder.with_name("before"))
    again = planned(shell, tmp_path / "toys.toml")
    (shell.root / "results" / "matrices" / "before" / "plan.json").unlink()
    for node in ("n1", "n2"):
        numbers = [str(number) for number in range(8) if nodes[number] == node]
        shell.run("matrix", "unit", *numbers, STAND_IN_SECONDS="0", SLURMD_NODENAME=node)
    assert again == plan
    assert shell.run("matrix", "report", "--format", "md")[1] == page
    assert re.search(r"\| 1 \| faulty well \| 1 \|", page)
    assert re.search(r"\| 2 \| faulty slow \| 0\.\d+x \(0\.\d+ to 0\.\d+\)", page)


@pytest.mark.nightly
def test_what_happens_to_jobs_loses_no_unit(cluster: Cluster, shell: Shell, tmp_path: Path) -> None:
    """A requeue midway, jobs cancelled while they run and wait, a failure, the controller killed."""
    plan = planned(shell, matrix_file(tmp_path, seeds=4))
    submit(shell, 10, STAND_IN_FAILS="3")
    both_begun(cluster, plan)
    array = str(json.loads(next((plan.folder / "submissions").glob("*.json")).read_text())["job"])
    cluster.call("scontrol", "requeue", f"{array}_0")
    cluster.call("scancel", f"{array}_2")
    cluster.call("scancel", f"{array}_1")
    cluster.wait(lambda: look(plan).units[1].why == "CANCELLED")
    time.sleep(6)  # the controller writes down what it did every five seconds
    cluster.kill("slurmctld")
    state = look(plan)  # unit 3 may have begun
    assert state.silent_engines and not {"lost", "broken"} & state.counts.keys()
    code, _, errors = shell.run("matrix", "submit", "--on", "slurm")
    assert code == 2 and "nothing was submitted" in errors
    cluster.begin_controller()
    cluster.call("scontrol", "update", f"JobId={array}_0", "StartTime=now")  # not after two minutes
    cluster.wait(lambda: not {"running", "waiting"} & look(plan).counts.keys(), 240)
    assert [unit.state for unit in look(plan).units] == ["done", "lost", "lost", "broken"]
    assert [unit.why for unit in look(plan).units[1:3]] == ["CANCELLED", "vanished"]
    assert "the stand-in fails" in " ".join(look(plan).units[3].log)
    assert "3 units submitted" in submit(shell)
    all_done(cluster, plan)
    check_each_done_once(plan)
    assert len(UnitFolder(plan.folder, 0).attempts()) == 2  # requeued


def test_cancel_empties_the_queue(cluster: Cluster, shell: Shell, tmp_path: Path) -> None:
    plan = planned(shell, matrix_file(tmp_path, seeds=4))
    submit(shell, 30)
    both_begun(cluster, plan)
    _, printed, _ = shell.run("matrix", "cancel")
    assert "4 jobs cancelled" in printed
    cluster.wait(lambda: look(plan).counts == {"lost": 4})


@pytest.mark.nightly
def test_a_node_whose_daemon_is_killed_loses_no_unit(
    cluster: Cluster, shell: Shell, tmp_path: Path
) -> None:
    plan = planned(shell, matrix_file(tmp_path, seeds=3))
    submit(shell, 20)
    both_begun(cluster, plan)
    cluster.kill("slurmd-n1")
    all_done(cluster, plan, 240)
    check_each_done_once(plan)
    cluster.begin_node("n1")
    cluster.wait(lambda: cluster.call("sinfo", "-h", "-t", "idle", "-o", "%D").strip() == "2")


@pytest.mark.nightly
def test_a_preempted_unit_begins_anew(cluster: Cluster, shell: Shell, tmp_path: Path) -> None:
    plan = planned(shell, matrix_file(tmp_path, seeds=2))
    submit(shell, 20)
    both_begun(cluster, plan)
    cluster.call(
        "sbatch",
        "--partition=high",
        "--exclusive",
        "--nodes=2",
        "--output=/dev/null",
        "--wrap=sleep 5",
    )
    cluster.wait(lambda: look(plan).counts.get("waiting") == 2)
    all_done(cluster, plan, 240)
    check_each_done_once(plan)
    assert [len(UnitFolder(plan.folder, number).attempts()) for number in (0, 1)] == [2, 2]


@pytest.mark.nightly
def test_a_unit_that_was_killed_is_lost_at_once(
    cluster: Cluster, shell: Shell, tmp_path: Path
) -> None:
    plan = planned(shell, matrix_file(tmp_path))
    submit(shell, 300)
    cluster.wait(lambda: [*plan.folder.glob("units/*/attempts/*/log.txt")])
    (attempt,) = UnitFolder(plan.folder, 0).attempts()
    os.kill(attempt.about["pid"], signal.SIGKILL)
    cluster.wait(lambda: look(plan).counts == {"lost": 1}, 60)
    (unit,) = look(plan).units
    assert (unit.why, unit.to_submit) == ("ended by signal 9", True)
    assert "1 unit submitted" in submit(shell)
    all_done(cluster, plan)


@pytest.mark.nightly
def test_the_time_limit_ends_a_unit_before_slurm_kills_it(
    cluster: Cluster, shell: Shell, tmp_path: Path
) -> None:
    extra = "\n[options.slurm]\ntime = 2\n"
    plan = planned(shell, matrix_file(tmp_path, extra=extra))
    submit(shell, 300)
    cluster.wait(lambda: look(plan).counts == {"lost": 1}, 180)
    (unit,) = look(plan).units
    assert (unit.why, unit.to_submit) == ("TIMEOUT", True)
    submit(shell)
    all_done(cluster, plan)


@pytest.mark.nightly
def test_eight_units_of_toys(cluster: Cluster, toys: Shell, tmp_path: Path) -> None:
    plan = planned(toys, matrix_file(tmp_path, seeds=4, replicates=2))
    submit(toys)
    all_done(cluster, plan, 580)
    check_each_done_once(plan)
    _, page, _ = toys.run("matrix", "report", "--format", "md")
    assert "8 units: 8 done" in page
    assert page.count("| 8 of 8 |") == 3  # the nodes share this machine: there may be no ranking
