"""What Slurm's programs are asked, and what their answers are taken for; the programs are fakes."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from harness.machine import node
from harness.matrix import engines, folders, slurm, status, submit
from harness.matrix.engines import EngineError, Job
from harness.matrix.folders import Attempt, UnitFolder
from harness.matrix.plan import Plan, Unit
from harness.matrix.stored import SlurmSubmission
from tests.harness.matrix.blocks import made_up_block, made_up_result

CONFIG = "MaxArraySize            = 1001\n"


class Programs:
    """Fake programs: each says what a test wrote for it, and notes how it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("sbatch", "squeue", "scontrol", "scancel"):
            program = folder / name
            program.write_text(
                f'#!/bin/sh\ncd "{folder}"\nprintf "%s\\n" "$0 $*" >> calls\nenv > environment\n'
                f"cat > {name}.input\ncat {name}.error >&2 2>/dev/null\n"
                f'[ "$1 $2" = "show config" ] && cat config && exit 0\n'
                f"cat {name}.says 2>/dev/null\nexit $(cat {name}.status 2>/dev/null || echo 0)\n"
            )
            program.chmod(0o755)
        (folder / "config").write_text(CONFIG)
        self.says("sbatch", "77\n")

    def says(self, name: str, text: str, status: int = 0, error: str = "") -> None:
        (self.folder / f"{name}.says").write_text(text)
        (self.folder / f"{name}.status").write_text(str(status))
        (self.folder / f"{name}.error").write_text(error)

    def queue(self, plan: Plan, *lines: str) -> None:
        """Let squeue print these lines, in which NAME begins the name of the matrix's jobs."""
        text = "".join(f"{line}\n" for line in lines)
        self.says("squeue", text.replace("NAME-", slurm._prefix(plan)))

    def calls(self, name: str) -> list[list[str]]:
        lines = (self.folder / "calls").read_text().splitlines()
        words = [line.split(" ") for line in lines]
        return [rest for program, *rest in words if Path(program).name == name]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    for name in list(os.environ):
        if name.startswith("SLURM"):
            monkeypatch.delenv(name)
    return Programs(folder)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    folder = tmp_path / "results" / "matrices" / "toys-1"
    folder.mkdir(parents=True)
    units = tuple(Unit("mlp-digits", "cpu", seed, 1) for seed in range(2500))
    return Plan(folder, {}, {"partition": "long", "gres": "gpu:4"}, units)


def test_whole_nodes_are_asked_for_in_arrays(
    programs: Programs, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_ARRAY_INX", "0-9")
    monkeypatch.setenv("SQUEUE_USERS", "ann")
    slurm.submit(plan, [0, 1, 2, 7, 1000, 1001, 2100], None)
    first, second, third = programs.calls("sbatch")
    always = "--parsable --nodes=1 --exclusive --mem=0 --requeue --acctg-freq=0 --signal=B:TERM@60"
    for words in (first, second, third):
        assert {*always.split(), "--partition=long", "--gres=gpu:4"} <= {*words}
    assert "--array=0-2,7,1000" in first and f"--job-name={slurm._prefix(plan)}0" in first
    assert "--array=0" in second and f"--job-name={slurm._prefix(plan)}1001" in second
    assert "--array=98" in third and f"--job-name={slurm._prefix(plan)}2002" in third
    environment = (programs.folder / "environment").read_text()
    assert "SBATCH_" not in environment and "SQUEUE_" not in environment
    assert [s["units"] for s in engines.submissions(plan, slurm.NAME, SlurmSubmission)] == [
        "0-2,7,1000",
        "1001",
        "2100",
    ]


def test_a_task_runs_the_unit_of_its_number(programs: Programs, plan: Plan) -> None:
    slurm.submit(plan, [1001, 1005], "n9")
    assert "--exclude=n9" in programs.calls("sbatch")[0]
    script = (programs.folder / "sbatch.input").read_text().replace("exec ", "echo ")
    environment = {**os.environ, "SLURM_ARRAY_TASK_ID": "4"}
    told = subprocess.run(["sh"], input=script, env=environment, capture_output=True, text=True)
    assert told.stdout.split()[-4:] == ["matrix", "unit", "1005", f"--matrix={plan.folder}"]


def test_the_queue_says_which_units_wait_and_run(programs: Programs, plan: Plan) -> None:
    programs.queue(
        plan,
        "5_0|NAME-0|RUNNING|n1|None",
        "5_[2-3,9%4]|NAME-0|PENDING||Priority",
        "6_4|NAME-1001|COMPLETING|n2|None",
        "7_1|samestep-toys-12-0|RUNNING|n3|None",
        "8|something|RUNNING|n3|None",
    )
    assert slurm.jobs(plan) == {
        0: Job("running", "", "n1", "5_0"),
        2: Job("waiting", "Priority", "", "5_2"),
        3: Job("waiting", "Priority", "", "5_3"),
        9: Job("waiting", "Priority", "", "5_9"),
        1005: Job("running", "", "n2", "6_4"),
    }


@pytest.mark.parametrize(
    ("word", "job"),
    [
        ("NODE_FAIL", Job("lost", "NODE_FAIL", "n1", "77_0")),
        ("PREEMPTED", Job("lost", "PREEMPTED", "n1", "77_0")),
        ("TIMEOUT", Job("lost", "TIMEOUT", "n1", "77_0")),
        ("OUT_OF_MEMORY", Job("lost", "OUT_OF_MEMORY", "n1", "77_0")),
        ("CANCELLED", Job("lost", "CANCELLED", "n1", "77_0")),
        ("FAILED", Job("over", "exit status 2", "n1", "77_0")),
    ],
)
def test_a_job_that_left_the_queue_is_looked_up(
    programs: Programs, plan: Plan, word: str, job: Job
) -> None:
    slurm.submit(plan, [0], None)
    programs.says(
        "scontrol",
        f"JobId=78 ArrayJobId=77 ArrayTaskId=0 JobState={word} ExitCode=2:0 NodeList=n1 Reason=x\n",
    )
    assert slurm.jobs(plan) == {0: job}
    state = status.look(plan).units[0]
    assert state.state == ("broken" if word == "FAILED" else "lost")
    assert state.why == job.why and state.node == "n1" and state.to_submit


def age(path: Path, seconds: float) -> None:
    moment = time.time() - seconds
    os.utime(path, (moment, moment))


def forget(programs: Programs, plan: Plan, seconds: float) -> None:
    """Let Slurm know nothing of a job that was submitted so long ago."""
    programs.says("scontrol", "", 1, "slurm_load_jobs error: Invalid job id specified")
    (path,) = (plan.folder / "submissions").iterdir()
    table = json.loads(path.read_text())
    path.write_text(json.dumps(table | {"submitted": time.time() - seconds}))


def test_what_slurm_forgot_has_a_time_of_grace(programs: Programs, plan: Plan) -> None:
    slurm.submit(plan, [0], None)
    forget(programs, plan, 5)
    assert status.look(plan).units[0].state == "waiting"
    forget(programs, plan, 95)
    unit = status.look(plan).units[0]
    assert (unit.state, unit.why, unit.to_submit) == ("lost", "vanished", True)
    assert status.look(plan).units[1].why == status.NOT_SUBMITTED


def test_an_attempt_that_gives_signs_of_life_runs(programs: Programs, plan: Plan) -> None:
    slurm.submit(plan, [0], None)
    forget(programs, plan, 1000)
    attempt = Attempt.begin(UnitFolder(plan.folder, 0).folder, {"node": "n1"})
    assert status.look(plan).units[0].state == "running"
    age(attempt.folder / "beat", 95)
    unit = status.look(plan).units[0]
    assert (unit.state, unit.why, unit.node) == ("lost", "vanished", "n1")


def test_a_slurm_that_does_not_answer_loses_nothing(programs: Programs, plan: Plan) -> None:
    slurm.submit(plan, [0, 1], None)
    attempt = Attempt.begin(UnitFolder(plan.folder, 0).folder, {"node": "n1"})
    attempt.end(state="lost", reason="SIGTERM")  # it may have been requeued
    programs.says("squeue", "", 1, "slurm_load_jobs error: Unable to contact slurm controller")
    state = status.look(plan)
    assert {unit.state for unit in state.units} == {"waiting"}
    assert "Unable to contact" in state.silent_engines[0]
    calls = len(programs.calls("sbatch"))
    with pytest.raises(EngineError, match="nothing was submitted"):
        submit.submit(plan, "slurm")
    assert len(programs.calls("sbatch")) == calls


def test_units_in_the_queue_are_not_submitted_again(programs: Programs, plan: Plan) -> None:
    """Nor where nothing was written down, for the submission was killed after sbatch."""
    programs.queue(plan, "5_[0-998]|NAME-0|PENDING||None")
    assert submit.submit(plan, "slurm")[:2] == (1501, 0)
    programs.queue(
        plan,
        "5_[0-1000]|NAME-0|PENDING||None",
        "6_[0-1000]|NAME-1001|PENDING||None",
        "7_[0-497]|NAME-2002|PENDING||None",
    )
    assert submit.submit(plan, "slurm") == (0, 0, {"waiting": 2500})


def test_units_of_a_slow_node_are_sent_elsewhere_once(programs: Programs, plan: Plan) -> None:
    plan = Plan(plan.folder, {}, {}, plan.units[:5])
    for number in range(5):
        rate = 80 if number == 4 else 100 + number
        block = made_up_block(number, {"a": 0.0}, f"n{number}", kernel_rate=rate)
        folder = UnitFolder(plan.folder, number)
        folder.folder.mkdir(parents=True)
        folders.publish(folder.target, made_up_result(block))
    assert submit.submit(plan, "slurm")[:2] == (1, 1)
    (words,) = programs.calls("sbatch")
    assert {"--exclude=n4", "--array=4"} <= {*words}
    retried = UnitFolder(plan.folder, 4)
    assert retried.target.name == folders.REDONE
    programs.queue(plan, "77_4|NAME-0|RUNNING|n2|None")
    assert status.look(plan).units[4].state == "running"
    programs.says("squeue", "")
    assert submit.submit(plan, "slurm")[:2] == (0, 0)  # not a third time
    forget(programs, plan, 95)
    assert status.look(plan).units[4].state == "done"


def test_cancel_names_every_array(programs: Programs, plan: Plan) -> None:
    slurm.submit(plan, [0, 1], None)
    programs.queue(
        plan,
        "5_0|NAME-0|RUNNING|n1|None",
        "5_1|NAME-0|PENDING||None",
        "6_0|NAME-1001|RUNNING|n1|None",
        "9_0|other|RUNNING|n1|None",
    )
    assert submit.cancel(plan) == 3
    assert programs.calls("scancel") == [["5", "6"]]


def test_a_job_ended_by_a_signal_is_lost(programs: Programs, plan: Plan) -> None:
    slurm.submit(plan, [0], None)
    task = "JobId=78 ArrayJobId=77 ArrayTaskId=0 JobState=FAILED ExitCode=0:9 NodeList=(null)\n"
    programs.says("scontrol", task)
    unit = status.look(plan).units[0]
    assert (unit.state, unit.why, unit.node) == ("lost", "ended by signal 9", "")


def test_what_sbatch_refuses_is_told_with_the_option(programs: Programs, plan: Plan) -> None:
    error = "sbatch: unrecognized option '--qqos=a'\nTry \"sbatch --help\" for more information\n"
    programs.says("sbatch", "", 1, error)
    with pytest.raises(EngineError, match="unrecognized option '--qqos=a'; Try"):
        slurm.submit(plan, [0], None)
    programs.says("sbatch", "Usage: sbatch\n")
    with pytest.raises(EngineError, match="no number of a job"):
        slurm.submit(plan, [0], None)
    assert engines.submissions(plan, slurm.NAME, SlurmSubmission) == []


def test_without_slurm_the_error_says_so(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="scontrol: no such program"):
        slurm.submit(plan, [0], None)


@pytest.mark.parametrize(
    ("queue", "others"),
    [
        ("4711|root|RUNNING\n", []),
        ("4711|root|RUNNING\n12|ann|RUNNING\n13|bob|PENDING\n", ["12 of ann"]),
        ("12|ann|SUSPENDED\n", ["12 of ann"]),
    ],
)
def test_a_unit_sees_who_else_is_on_its_node(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, queue: str, others: list[str]
) -> None:
    assert node.neighbours() is None  # no engine says
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("SLURMD_NODENAME", "n1")
    programs.says("squeue", queue)
    assert node.neighbours() == others
    assert "--nodelist=n1" in programs.calls("squeue")[0]


def test_why_a_unit_was_terminated(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    assert node.why_terminated() == "SIGTERM"
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    soon = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(time.time() + 60))
    for text, why in (
        ("JobState=PREEMPTED EndTime=Unknown", "PREEMPTED"),
        (f"JobState=RUNNING EndTime={soon}", "TIMEOUT"),
        ("JobState=RUNNING EndTime=2099-01-01T00:00:00", "SIGTERM"),
        ("JobState=RUNNING EndTime=Unknown", "SIGTERM"),
    ):
        programs.says("scontrol", text)
        assert node.why_terminated() == why


def test_what_engines_set_does_not_reach_a_run() -> None:
    environ = {"OMP_NUM_THREADS": "1", "MKL_X": "1", "MALLOC_ARENA_MAX": "1", "PATH": "/bin"}
    environ |= {"CUDA_VISIBLE_DEVICES": "3", "SLURM_CONF": "/c", "SBATCH_X": "1", "OMP_KEPT": "1"}
    expected = {"PATH": "/bin", "SLURM_CONF": "/c", "OMP_KEPT": "1"}
    assert node.environment(environ, ["OMP_KEPT"]) == expected


@pytest.mark.parametrize("numbers", [[], [5], [0, 1, 2, 7, 9, 10]])
def test_numbers_are_written_as_ranges(numbers: list[int]) -> None:
    assert engines.numbers_of(engines.ranges(numbers)) == {*numbers}


def test_ranges_with_a_step_and_a_limit_are_read() -> None:
    assert engines.numbers_of("0-6:3,9%2") == {0, 3, 6, 9}
