"""The two walls, and that nothing of ours can shadow a library."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import frameworks
from harness.environments.framework_spec import discover

ROOT = Path(__file__).resolve().parents[1]

# Refuses every import but of the standard library, numpy and our own worker-side rooms.
GUARD = """
import sys
ours = {"workloads", "frameworks", "harness"}
WORKER = {"harness." + word for word in ("disk", "failures", "protocol", "this_process", "worker")}
class Guard:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        fine = top in sys.stdlib_module_names or top == "numpy" or top in ours
        if name.startswith("harness.") and name not in WORKER:
            fine = False
        if not fine:
            raise ImportError("the wall: " + name)
sys.meta_path.insert(0, Guard())
sys.path.append(sys.argv[1])
import importlib
for name in sys.argv[2:]:
    importlib.import_module(name)
"""


def worker_modules() -> list[str]:
    """Every module that runs inside an environment, but the adapters of real frameworks."""
    files = [*ROOT.glob("workloads/**/*.py"), *ROOT.glob("frameworks/*.py")]
    references = [name for name, spec in discover().items() if spec.reference]
    files += [path for name in references for path in ROOT.glob(f"frameworks/{name}/*.py")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
    ours = sorted(name.removesuffix(".__init__") for name in names)
    words = ("disk", "failures", "protocol", "this_process", "worker")
    return [*ours, *(f"harness.{word}" for word in words)]


def guarded(*modules: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-c", GUARD, str(ROOT), *modules]
    return subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=60)


def test_worker_modules_need_the_standard_library_and_numpy_only() -> None:
    done = guarded(*worker_modules())
    assert done.returncode == 0, done.stderr


def test_the_guard_can_fail() -> None:
    done = guarded("harness.results.store")
    assert done.returncode != 0
    assert "the wall: harness.results" in done.stderr


def test_the_harness_imports_no_framework() -> None:
    libraries = {spec.module for spec in discover().values() if not spec.reference}
    code = "import cli, sys; print(sorted(m for m in sys.argv[1:] if m in sys.modules))"
    command = [sys.executable, "-c", code, *libraries]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("room", ["harness", "workloads"])
def test_no_framework_is_named_outside_its_folder(room: str) -> None:
    framework_specs = [spec for spec in discover().values() if not spec.reference]
    words = {word for r in framework_specs for word in (r.name, r.module, *r.packages)}
    pattern = re.compile(rf"\b({'|'.join(map(re.escape, sorted(words)))})\b", re.IGNORECASE)
    for path in (ROOT / room).rglob("*.py"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            allowed = "PyTorch's default" in line or "PyTorch's dense" in line  # the formula's name
            found = None if allowed else pattern.search(line)
            assert not found, f"{path.relative_to(ROOT)}:{number} names {found[0] if found else ''}"


def test_every_framework_with_an_adapter_has_a_spec() -> None:
    assert frameworks.names() == sorted(discover())


def test_a_file_named_after_a_library_shadows_nothing(toy_root: Path, tmp_path: Path) -> None:
    # The trap: modules named like libraries wherever a worker could find them first.
    for place in (
        toy_root,
        toy_root / "frameworks",
        toy_root / "frameworks" / "faulty",
        toy_root / "harness",
    ):
        (place / "numpy.py").write_text("raise SystemExit('shadowed')")
        (place / "json.py").write_text("raise SystemExit('shadowed')")
    code = (
        "import sys; from pathlib import Path\n"
        "from harness.runner.process import WorkerProcess\n"
        "from harness import protocol\n"
        "w = WorkerProcess(Path(sys.executable), Path(sys.argv[1]), Path(sys.argv[2]), {})\n"
        "print(w.ask('open', 60, framework='faulty', version=protocol.VERSION, folder='.')['numpy'])\n"
        "w.close()\n"
    )
    command = [sys.executable, "-c", code, str(toy_root), str(tmp_path / "log")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    log = (tmp_path / "log").read_text()
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", done.stdout.strip()), done.stderr + log


def test_the_trap_would_catch_a_worker_started_without_care(toy_root: Path) -> None:
    (toy_root / "harness" / "numpy.py").write_text("raise SystemExit('shadowed')")
    command = [sys.executable, str(toy_root / "harness" / "worker.py"), "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "shadowed" in done.stderr


def test_files_stay_small_enough_to_read() -> None:
    rooms = ("cli.py", "harness/**/*.py", "workloads/**/*.py", "frameworks/**/*.py")
    lines = {path: len(path.read_text().splitlines()) for room in rooms for path in ROOT.glob(room)}
    assert {str(path): count for path, count in lines.items() if count > 400} == {}
