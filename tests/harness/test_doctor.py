"""The doctor finds what is missing and says how to fix it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import doctor
from harness.doctor import Finding
from harness.environments.installer import InstallError
from harness.machine.interference import Noise

WELL = {
    "cores_logical": 4,
    "cores_affinity": 4,
    "cores_quota": None,
    "cores_usable": 4,
    "memory_available": 16 * 2**30,
    "memory_limit": None,
    "load": [0.1, 0.1, 0.1],
    "governor": "performance",
    "gpus": [],
    "no_gpu_because": "no driver",
}

SPEC = """
title = "Toy"
python = "3.11"
package = "toy"
module = "toy"
modes = ["plain", "compiled"]
devices = ["cpu"]
[requirements]
cpu = ["toy==1"]
[[programs]]
name = "no-such-compiler"
modes = ["compiled"]
mend = "apt install toy-compiler"
[[libraries]]
name = "libno-such.so.7"
mend = "apt install toy-library"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with one framework, whose lock is there."""
    folder = tmp_path / "project" / "frameworks" / "toy"
    folder.mkdir(parents=True)
    (folder / "environment.toml").write_text(SPEC)
    (folder / "cpu.txt").write_text("toy==1 --hash=sha256:00\n")
    return tmp_path / "project"


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The machine as it is told to the doctor; a test may change it."""
    told = dict(WELL)
    monkeypatch.setattr(doctor.host, "describe", lambda: told)
    monkeypatch.setattr(doctor, "uv_program", lambda: "uv")
    monkeypatch.setattr(doctor, "LOOK_SECONDS", 0)
    see(monkeypatch)
    meter(monkeypatch, ("RAPL package-0",), None)
    return told


def see(monkeypatch: pytest.MonkeyPatch, *noise: str) -> None:
    """Have the monitor see this."""
    watch = SimpleNamespace(noise=lambda: list(noise))
    monitor = SimpleNamespace(watch=lambda pid: watch)
    monkeypatch.setattr(doctor, "InterferenceMonitor", lambda cpus: monitor)


def meter(monkeypatch: pytest.MonkeyPatch, sources: tuple[str, ...], reason: str | None) -> None:
    """Have the meter find this."""
    found = SimpleNamespace(sources=sources, reason=reason)
    monkeypatch.setattr(doctor, "Meter", lambda: found)


def examine(root: Path) -> list[Finding]:
    return doctor.examine(root, root.parent / "cache")


def about(found: list[Finding], word: str) -> Finding:
    (one,) = [finding for finding in found if word in finding.what]
    return one


def test_every_complaint_says_how_to_mend_it(root: Path) -> None:
    found = examine(root)
    assert all(finding.mend for finding in found if finding.level != "ok")
    assert not [finding for finding in found if finding.level == "error"]
    json.dumps([vars(finding) for finding in found])


def test_programs_and_libraries_come_from_the_specs(root: Path) -> None:
    found = examine(root)
    program, library = about(found, "no-such-compiler"), about(found, "libno-such.so.7")
    assert (program.level, program.mend) == ("warning", "apt install toy-compiler")
    assert "Toy, compiled" in program.what
    assert (library.level, library.mend) == ("warning", "apt install toy-library")


def test_a_program_that_is_there_is_well(root: Path) -> None:
    path = root / "frameworks/toy/environment.toml"
    path.write_text(SPEC.replace("no-such-compiler", "sh"))
    assert about(examine(root), "the program sh").level == "ok"


def test_environments_built_missing_and_outdated(root: Path) -> None:
    lock, folder = root / "frameworks/toy/cpu.txt", root.parent / "cache/environments/toy-cpu-1"
    assert "env build toy" in about(examine(root), "not built").mend
    folder.mkdir(parents=True)
    stamp = {"framework": "toy", "lock_hash": hashlib.sha256(lock.read_bytes()).hexdigest()}
    (folder / "samestep.json").write_text(json.dumps(stamp))
    assert about(examine(root), "environments built").what.endswith("toy")
    lock.write_text("toy==2 --hash=sha256:00\n")
    assert about(examine(root), "not built").level == "warning"
    lock.unlink()
    assert about(examine(root), "has no lock").mend == "python cli.py env lock toy"


def test_data_that_is_absent(root: Path) -> None:
    found = examine(root)
    assert about(found, "data digits").level == "ok"
    absent = about(found, "data cifar10")
    assert absent.level == "warning" and "data fetch cifar10" in absent.mend
    assert not any("mnist" in finding.what for finding in found)  # no workload of ours needs it


def test_uv_that_is_missing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise InstallError("uv is not installed: python -m pip install uv")

    monkeypatch.setattr(doctor, "uv_program", missing)
    finding = about(examine(root), "uv is not")
    assert (finding.level, finding.mend) == ("error", "python -m pip install uv")


def test_an_old_python(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.sys, "version_info", (3, 10, 1))
    assert about(examine(root), "too old").level == "error"


@pytest.mark.parametrize(("free", "level"), [(2**40, "ok"), (2**31, "warning"), (2**20, "error")])
def test_disk(root: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: str) -> None:
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: usage)
    finding = about(examine(root), "of disk free")
    assert finding.level == level and ("SAMESTEP_CACHE" in finding.mend) == (level != "ok")


def test_a_cache_that_cannot_be_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.os, "access", lambda place, mode: False)
    assert about(examine(root), "cannot be written").level == "error"


@pytest.mark.parametrize("place", ["/dev/null", "file", "loop", "file/within"])
def test_a_cache_that_is_no_folder(root: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    finding = about(doctor.examine(root, tmp_path / place), "cannot be written")
    assert finding.level == "error" and "SAMESTEP_CACHE" in finding.mend


@pytest.mark.parametrize(
    ("changes", "word", "mend"),
    [
        ({"memory_limit": 2**30}, "the cgroup's limit is 1.0 GiB", "--framework"),
        ({"memory_available": None}, "memory is free cannot be read", "watch"),
        ({"cores_quota": 1.5, "cores_usable": 1.5}, "quota grants 1.5 cores", "--threads 1"),
        ({"load": [3.0, 0, 0]}, "busy: load 3.0 on 4 cores", "wait"),
        ({"governor": "powersave"}, "governor is powersave", "cpupower"),
        ({"cores_usable": None}, "how many cores", "--threads"),
        ({"gpus": [{"name": "Toy GPU", "busy_percent": 90}]}, "Toy GPU: busy", "wait"),
        ({"gpus": [{"name": "Toy GPU", "processes": 2}]}, "held by 2 other programs", "nvidia-smi"),
        ({"throttled": 3}, "heat has throttled a processor 3 times", "cool"),
        ({"swap_used": 2**30}, "1.0 GiB swapped out", "swapoff"),
        ({"memory_pressure": 7.4}, "waited for memory during 7% of the last 10 s", "end other"),
    ],
)
def test_a_machine_that_disturbs(
    root: Path, machine: dict[str, Any], changes: dict[str, Any], word: str, mend: str
) -> None:
    assert not [finding for finding in examine(root) if word in finding.what]
    machine.update(changes)
    finding = about(examine(root), word)
    assert finding.level == "warning" and mend in finding.mend


def test_gpus_are_shown_and_their_absence_too(root: Path, machine: dict[str, Any]) -> None:
    assert about(examine(root), "no GPU (no driver)").level == "ok"
    machine["gpus"] = [{"name": "Toy GPU", "memory_total": 2**34, "capability": "9.0"}]
    assert about(examine(root), "Toy GPU, 16").what == "Toy GPU, 16.0 GiB, compute capability 9.0"


def test_little_of_it_is_no_complaint(root: Path, machine: dict[str, Any]) -> None:
    machine.update(throttled=0, swap_used=2**20, memory_pressure=0.02, huge_pages="madvise")
    assert not [one for one in examine(root) if "swapped" in one.what or "heat" in one.what]
    assert about(examine(root), "huge pages: madvise").level == "ok"


def test_a_short_look_finds_nothing(root: Path) -> None:
    assert about(examine(root), "saw nothing that disturbs").level == "ok"


@pytest.mark.parametrize("cause", list(Noise))
def test_each_disturbance_has_advice(
    root: Path, monkeypatch: pytest.MonkeyPatch, cause: Noise
) -> None:
    see(monkeypatch, f"{cause}: 0.4")
    finding = about(examine(root), f"saw {cause}: 0.4")
    assert (finding.level, finding.mend) == ("warning", doctor.NOISE[cause])


def test_energy(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert about(examine(root), "energy is").what == "energy is metered: RAPL package-0"
    meter(monkeypatch, (), "not readable here: no RAPL under /sys (a virtual machine?)")
    absent = about(examine(root), "energy is")
    assert (absent.level, absent.mend) == ("ok", "")
    assert absent.what == "energy is not metered: no RAPL under /sys (a virtual machine?)"
    meter(monkeypatch, (), "energy_uj is for root only: sudo chmod a+r energy_uj")
    closed = about(examine(root), "energy_uj is for root only")
    assert (closed.level, closed.mend) == ("warning", "sudo chmod a+r energy_uj")


def test_a_wrong_spec_does_not_silence_the_rest(root: Path) -> None:
    (root / "frameworks/toy/environment.toml").write_text("title = 3\n")
    found = examine(root)
    assert about(found, "spec is wrong").level == "error"
    assert about(found, "data digits")


def test_a_check_that_breaks_does_not_silence_the_rest(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: str, cache: Path) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(doctor.datasets, "state", broken)
    found = examine(root)
    assert "a bug" in about(found, "one check failed").what
    assert about(found, "of disk free")


def test_this_very_machine_can_be_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert doctor.examine()


CARD = {"name": "Toy card", "capability": "9.0", "driver": "570.1"}
CUDA = SPEC.replace('["cpu"]', '["cpu", "cuda"]').replace(
    'cpu = ["toy==1"]', 'cpu = ["toy==1"]\ncuda = ["toy==1"]\n[drivers]\ncuda = "580"'
)


def test_which_cuda_build_fits_the_driver(root: Path, machine: dict[str, Any]) -> None:
    (root / "frameworks/toy/environment.toml").write_text(CUDA)
    machine["gpus"] = [{**CARD, "driver": "580.65.06"}, {**CARD, "driver": "580.65.06"}]
    fits = about(examine(root), "CUDA builds")
    assert (fits.level, fits.what) == (
        "ok",
        "CUDA builds that fit driver 580.65.06: Toy (cuda.txt)",
    )
    machine["gpus"] = [CARD]
    old = about(examine(root), "need an NVIDIA driver 580 or later, here is 570.1")
    assert (old.level, old.mend) == ("warning", "update the NVIDIA driver")


def test_a_framework_without_a_build_for_the_card(root: Path, machine: dict[str, Any]) -> None:
    machine["gpus"] = [CARD]
    text = SPEC.replace(
        'devices = ["cpu"]', 'devices = ["cpu"]\ngiven = ["cuda"]\nlimits = ["No code for it."]'
    )
    (root / "frameworks/toy/environment.toml").write_text(text)
    found = about(examine(root), "not on cuda")
    assert "No code for it; this card, Toy card, has compute capability 9.0" in found.what
    assert (found.level, "--interpreter toy=PYTHON" in found.mend) == ("warning", True)
