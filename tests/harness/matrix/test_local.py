"""A matrix on this machine: from the plan to one report."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from harness.matrix import status
from harness.matrix.folders import UnitFolder
from harness.results import store
from tests.faults.conftest import Shell
from tests.harness.matrix.conftest import matrix_file, planned


def test_a_unit_is_a_run_of_the_toys(toys: Shell, tmp_path: Path) -> None:
    plan = planned(toys, matrix_file(tmp_path))
    code, printed, errors = toys.run("matrix", "unit", "0")
    assert (code, printed) == (0, "unit 0: done\n"), errors
    (attempt,) = UnitFolder(plan.folder, 0).attempts()
    record = store.read(attempt.folder / "run")
    assert (record.end or {})["status"] == "ok"
    block = (UnitFolder(plan.folder, 0).done() or {})["block"]
    assert [cell["status"] for cell in block["cells"]] == ["ok"] * 3
    assert (
        block["quick"] and block["pairs"]["train"][0][3] == record.manifest["options"]["launches"]
    )
    code, printed, _ = toys.run("matrix", "report", "--format", "md")
    assert code == 0 and "faulty slow" in printed and "do not cite" in printed


def test_a_matrix_goes_from_its_plan_to_one_report(shell: Shell, tmp_path: Path) -> None:
    plan = planned(shell, matrix_file(tmp_path, seeds=2, replicates=2))
    assert len(plan.units) == 4
    before, _, _ = shell.run("matrix", "report")
    assert before == 0
    assert status.look(plan).counts == {"waiting": 4}

    code, printed, errors = shell.run("matrix", "submit", "--on", "local")
    assert code == 0 and "4 units submitted to local" in printed, errors
    shell.wait(lambda: status.look(plan).counts == {"done": 4})
    code, printed, _ = shell.run("matrix", "submit", "--on", "local")
    assert code == 0 and "0 units submitted" in printed

    done = [UnitFolder(plan.folder, number).done() or {} for number in range(4)]
    runs = [store.read(UnitFolder(plan.folder, n).attempts()[0].folder / "run") for n in range(4)]
    assert [run.manifest["options"]["seed"] for run in runs] == [0, 0, 1, 1]
    assert [each["block"]["run"] for each in done] == [run.manifest["run"] for run in runs]
    assert all(len(UnitFolder(plan.folder, number).attempts()) == 1 for number in range(4))

    code, printed, errors = shell.run("matrix", "report", "--format", "md")
    assert code == 0, errors
    assert "4 units: 4 done" in printed and "faulty slow" in printed
    assert "one node" in printed  # and so no interval
    code, printed, errors = shell.run("matrix", "report", "--format", "html")
    assert code == 0 and "4 units: 4 done" in Path(printed.strip()).read_text(), errors


def test_a_unit_ended_by_a_signal_begins_anew(shell: Shell, tmp_path: Path) -> None:
    plan = planned(shell, matrix_file(tmp_path))
    process = shell.begin("matrix", "unit", "0")
    attempts = UnitFolder(plan.folder, 0).attempts
    shell.wait(lambda: attempts() and (attempts()[0].folder / "log.txt").exists())
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 143 and "Traceback" not in errors
    (state,) = status.look(plan).units
    assert (state.state, state.why, state.to_submit) == ("lost", "SIGTERM", True)
    assert shell.run("matrix", "unit", "0")[0] == 0
    assert len(attempts()) == 2 and status.look(plan).counts == {"done": 1}


def test_two_processes_run_a_unit_once(shell: Shell, tmp_path: Path) -> None:
    plan = planned(shell, matrix_file(tmp_path))
    both = [shell.begin("matrix", "unit", "0") for _ in range(2)]
    printed = [process.communicate(timeout=240)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert printed == ["unit 0: done\n"] * 2
    attempts = UnitFolder(plan.folder, 0).attempts()
    assert sum((attempt.folder / "run").exists() for attempt in attempts) == 1


def test_a_unit_whose_process_was_killed_is_lost_and_runs_again(
    shell: Shell, tmp_path: Path
) -> None:
    plan = planned(shell, matrix_file(tmp_path, seeds=2))
    shell.run("matrix", "submit", "--on", "local")
    (submission,) = (plan.folder / "submissions").glob("*.json")
    pid = json.loads(submission.read_text())["pid"]
    shell.wait(lambda: UnitFolder(plan.folder, 0).attempts())
    os.killpg(pid, signal.SIGKILL)
    shell.wait(lambda: status.look(plan).counts == {"lost": 2})
    assert [unit.why for unit in status.look(plan).units] == ["vanished"] * 2
    _, printed, _ = shell.run("matrix", "submit", "--on", "local")
    assert "2 units submitted" in printed
    shell.wait(lambda: status.look(plan).counts == {"done": 2})


def test_cancel_ends_what_runs(shell: Shell, tmp_path: Path) -> None:
    plan = planned(shell, matrix_file(tmp_path, seeds=2))
    shell.run("matrix", "submit", "--on", "local")
    shell.wait(lambda: status.look(plan).counts.get("running"))
    _, printed, _ = shell.run("matrix", "cancel")
    assert "1 job cancelled" in printed
    shell.wait(lambda: not {"running", "waiting"} & status.look(plan).counts.keys())
    assert all(unit.to_submit or unit.state == "done" for unit in status.look(plan).units)


def test_a_disk_that_refuses_breaks_one_unit_and_not_the_next(shell: Shell, tmp_path: Path) -> None:
    plan = planned(shell, matrix_file(tmp_path, seeds=2))
    attempts = plan.folder / "units" / "00000" / "attempts"
    process = shell.begin("matrix", "unit", "0", "1", STAND_IN_SECONDS="3")
    shell.wait(lambda: [*attempts.glob("*/log.txt")])
    (attempts.joinpath(next(attempts.iterdir()).name) / "run").write_text("in the way")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2 and "Traceback" not in errors and "submit again" in errors
    assert [unit.state for unit in status.look(plan).units] == ["broken", "done"]


def test_units_build_no_environment(shell: Shell, tmp_path: Path) -> None:
    file = matrix_file(tmp_path)
    file.write_text(file.read_text().replace("interpreter", "# interpreter"))
    plan = planned(shell, file)
    code, _, errors = shell.run("matrix", "unit", "0")
    assert code == 2 and "a unit builds none" in errors and "matrix prepare" in errors
    (state,) = status.look(plan).units
    assert state.state == "broken" and "a unit builds none" in state.why
    assert not (shell.root / "cache" / "environments").exists()


def test_a_matrix_that_is_removed_under_way_is_not_made_anew(shell: Shell, tmp_path: Path) -> None:
    plan = planned(shell, matrix_file(tmp_path))
    attempts = UnitFolder(plan.folder, 0).attempts
    process = shell.begin("matrix", "unit", "0", STAND_IN_SECONDS="2")
    shell.wait(lambda: attempts() and (attempts()[0].folder / "log.txt").exists())
    plan.folder.rename(tmp_path / "elsewhere")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2 and len(errors.splitlines()) == 1
    assert "was removed or renamed; what was measured is lost" in errors
    assert not plan.folder.exists()
