"""The scripts that make the docs' figures still run."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.overhead import LOOPS
from harness.environments.framework_spec import discover
from tests.frameworks import inside
from workloads import spec

ROOT = Path(__file__).resolve().parents[1]
RANKED = [framework for framework in discover().values() if not framework.reference]


@pytest.mark.nightly
@pytest.mark.parametrize("workload", LOOPS)
@pytest.mark.parametrize("name", [framework.name for framework in RANKED])
def test_overhead_measures_an_adapter_against_its_plain_loop(name: str, workload: str) -> None:
    mode = discover()[name].modes[0]
    command = [sys.executable, "benchmarks/overhead.py", "--framework", name, "--mode", mode]
    command += ["--workload", workload]
    short = ["--batch", "4", "--launches", "1", "--rounds", "1", "--slice", "0.05"]
    done = subprocess.run([*command, *short], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    row = done.stdout.splitlines()[-1].split()
    assert row[:3] == [name, mode, "4"]
    assert 0.2 < float(row[4]) < 5  # a ratio of two speeds of one and the same step


@pytest.mark.nightly
def test_the_memory_observer_agrees_with_the_worker() -> None:
    spec = RANKED[0]
    command = [sys.executable, "benchmarks/memory_observer.py", "--framework", spec.name]
    short = ["--mode", spec.modes[-1], "--workload", "cnn-digits", "--steps", "30"]
    done = subprocess.run([*command, *short], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    row = [cell.strip() for cell in done.stdout.splitlines()[-1].split("|")]
    assert row[1:4] == ["cnn-digits", spec.title, spec.modes[-1]]
    assert float(row[6]) == pytest.approx(1, abs=0.05)


def test_the_observer_sees_what_a_process_and_its_child_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    observer_room = importlib.import_module("memory_observer")
    holding = "import time; held = bytearray(100 * 2**20); time.sleep(0.7)"
    starting = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {holding!r}])"
    with subprocess.Popen([sys.executable, "-c", starting]) as process:
        observer = observer_room.Observer(process.pid)
        observer.start()
        process.wait(20)
        observer.end()
    assert observer.processes == 2
    assert observer.peak > 100 * 2**20


@pytest.mark.nightly
def test_coverage_simulates_what_the_intervals_hold() -> None:
    command = [sys.executable, "benchmarks/coverage.py", "--trials", "20"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    tables = [table.splitlines() for table in done.stdout.split("\n\n")[1:]]
    assert len(tables) == 6
    for table in tables:
        assert len({line.count("|") for line in table}) == 1, table[0]
    held = [share for line in tables[1][2:] for share in line.split("|")[2:-1]]
    assert min(float(share.strip(" %")) for share in held) >= 75  # of 20


@pytest.mark.nightly
def test_levels_simulates_what_change_points_find() -> None:
    command = [sys.executable, "benchmarks/levels.py", "--trials", "10"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    noise, steps = (table.splitlines()[2:] for table in done.stdout.strip().split("\n\n"))

    def shares(line: str) -> list[float]:
        return [float(share.strip(" %")) for share in line.split("|")[2:-1]]

    assert max(share for line in noise for share in shares(line)) <= 40  # of 10
    assert shares(steps[-1])[-1] >= 80


@pytest.mark.parametrize("workload", LOOPS)
def test_every_framework_has_the_plain_loops_of_the_others(workload: str) -> None:
    assert workload in spec.names()
    assert LOOPS[workload] == {framework.name for framework in RANKED}


@pytest.mark.nightly
def test_the_gpu_acceptance_on_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import gpu_acceptance

    spec = RANKED[0]
    python = inside.python(spec.name)
    part = gpu_acceptance.Part("mlp-2-3-2", 2, 20, launches=1)
    monkeypatch.setattr(gpu_acceptance, "SMALL", (part,))
    given = ["--interpreter", f"{spec.name}={python}", "--mode", spec.modes[0]]
    status = gpu_acceptance.main(["--device=cpu", "--small", f"--out={tmp_path}", *given])
    said = capsys.readouterr().out
    assert status == 0, said
    assert f"{spec.name}/{spec.modes[0]}/cpu/float32: equivalent, nearest its bound: " in said
    for other in RANKED[1:]:
        assert f"{other.name} on cpu: unavailable: --interpreter {other.name}=" in said
    assert said.splitlines()[-1].startswith(
        "1 cells are equivalent and timed, 0 undecided, 0 failed; "
    )
    assert gpu_acceptance.tidy(tmp_path) < gpu_acceptance.MOST_BYTES


def test_the_gpu_acceptance_ends_in_time_with_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import gpu_acceptance

    parts = (gpu_acceptance.Part("cifar-cnn", 20, 1), gpu_acceptance.Part("mlp-2-3-2", 2, 20))
    monkeypatch.setattr(gpu_acceptance, "SMALL", parts)
    monkeypatch.setattr(gpu_acceptance, "SECONDS", 2)
    status = gpu_acceptance.main(["--device=cpu", "--small", f"--out={tmp_path}"])
    said = capsys.readouterr().out.splitlines()
    assert status == 1  # nothing is equivalent and was timed
    assert "cifar-cnn in float32" in said[-4] and said[-4].startswith("cut off after ")
    assert said[-3] == "left out: mlp-2-3-2 in float32"
    (report,) = tmp_path.glob("*/report.md")
    assert "interrupted" in report.read_text()
