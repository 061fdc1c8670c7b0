"""Builders that are killed, interrupted, or two leave whole environments or none.

The real uv builds here, from tiny wheels made on the spot and without a network.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from harness.environments import cache, installer
from harness.environments.builder import built, prepare
from harness.environments.framework_spec import FrameworkSpec
from harness.environments.installer import InstallError
from harness.paths import project_root
from tests.harness.environments.leftovers import left_over, script

BUILD = """
import sys, pathlib, pickle
from harness.environments import installer
from harness.environments.builder import prepare_all
spec, fake = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
if fake:
    installer.uv_program = lambda: fake
print(prepare_all([spec], "cpu")[spec.name].python)
"""

# Stands in for uv: makes half an environment, says so, and takes its time.
SLOW_UV = """#!{python}
import os, pathlib, sys, time
folder = pathlib.Path(sys.argv[-1])
(folder / "bin").mkdir(parents=True)
(folder / "bin" / "python").touch()
pathlib.Path({note!r}).write_text(str(os.getpid()))
time.sleep(60)
"""


@pytest.fixture
def start(spec: FrameworkSpec, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a build in another process; `slow` gives it a uv that never ends."""

    def start(*, slow: bool = False) -> subprocess.Popen[str]:
        fake = ""
        if slow:
            text = SLOW_UV.format(python=sys.executable, note=str(tmp_path / "pid"))
            fake = str(script(tmp_path / "slow-uv", text))
        asked = tmp_path / "asked"
        asked.write_bytes(pickle.dumps((spec, fake)))
        return subprocess.Popen(
            [sys.executable, "-c", BUILD, str(asked)],
            cwd=project_root(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    yield start
    note = tmp_path / "pid"
    if note.exists():
        with suppress(ProcessLookupError):
            os.kill(int(note.read_text()), signal.SIGKILL)


def wait_for(happened: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def uv_pid(tmp_path: Path) -> int:
    note = tmp_path / "pid"
    wait_for(lambda: note.exists() and note.read_text() != "")
    return int(note.read_text())


def test_a_killed_build_leaves_no_half_environment(
    spec: FrameworkSpec, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    builder = start(slow=True)
    pid = uv_pid(tmp_path)
    builder.kill()
    builder.communicate()
    assert built() == []
    # Its uv lives on and still holds the place: nobody sweeps or builds under its hands.
    cache.sweep()
    (partial,) = left_over()
    assert partial.startswith(".partial-toy-cpu-")
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    told: list[str] = []
    with pytest.raises(installer.Cancelled):
        prepare(spec, "cpu", report=lambda name, text: told.append(text), cancel=cancel)
    assert told == ["waiting for another build of the same, or for a run that uses it"]
    os.kill(pid, signal.SIGKILL)
    assert prepare(spec, "cpu").version == "1.5"
    assert left_over() == []


def test_ctrl_c_ends_uv_and_leaves_nothing(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    builder = start(slow=True)
    pid = uv_pid(tmp_path)
    builder.send_signal(signal.SIGINT)
    _, err = builder.communicate(timeout=20)
    assert "KeyboardInterrupt" in err
    assert not alive(pid)
    assert built() == [] and left_over() == []


def test_two_builders_of_the_same_both_end_well(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    builders = [start(), start()]
    answers = [builder.communicate(timeout=60) for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0], answers
    assert answers[0][0] == answers[1][0]
    assert len(built()) == 1


def test_a_command_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(InstallError, match=r"took longer than 0 s"):
        installer.run(
            [sys.executable, "-c", "import time; time.sleep(60)"], environ=os.environ, seconds=0.2
        )
    assert time.monotonic() - began < 10
