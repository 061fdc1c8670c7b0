"""Promise: SIGTERM and SIGHUP end a command as Ctrl-C does, whatever it does at that moment."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from harness.results import store
from tests.faults.conftest import Shell

pytestmark = pytest.mark.slow

STATUS = {signal.SIGTERM: 143, signal.SIGHUP: 129}


def ended(process: subprocess.Popen[str], number: signal.Signals, again: bool = False) -> str:
    """Send the signal, and return what the command said at its end, having checked its status."""
    process.send_signal(number)
    if again:
        process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == STATUS[number], errors
    assert "Traceback" not in errors
    assert f"ended by {number.name}; what was measured until now is saved" in errors
    return errors


@pytest.mark.parametrize(
    ("number", "event"), [(signal.SIGHUP, "preparing"), (signal.SIGTERM, "slice")]
)
def test_a_run_ends_as_on_ctrl_c(
    shell: Shell, quick: list[str], number: signal.Signals, event: str
) -> None:
    process = shell.begin(*quick)
    journal = shell.until(event)
    errors = ended(process, number, again=True)
    (folder,) = store.folders(shell.root / "results")
    record = store.read(folder)
    assert record.end and record.end["status"] == "interrupted"
    assert f"go on with: python cli.py run --resume {folder}" in " ".join(errors.split())
    assert (folder / "report.html").is_file() and (folder / "summary.csv").is_file()
    assert not (folder / "scratch").exists()
    pids = [json.loads(line)["pid"] for line in journal.splitlines() if '"preparing"' in line]
    assert pids and not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_signal_ends_the_build_of_an_environment(
    shell: Shell, quick: list[str], tmp_path: Path
) -> None:
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nexec sleep 300\n")
    slow.chmod(0o755)
    process = shell.begin(*quick[:-2], f"--interpreter=faulty={slow}", quick[-1])
    shell.until("dataset")
    ended(process, signal.SIGTERM)
    (folder,) = store.folders(shell.root / "results")
    assert (store.read(folder).end or {})["status"] == "interrupted"
    alive = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True).stdout
    assert str(slow) not in alive


@pytest.mark.parametrize(
    "command",
    [["check", "--against=faulty/slow"], ["baseline", "save", "old"]],
    ids=["check", "baseline save"],
)
def test_a_signal_ends_other_commands_that_measure(
    shell: Shell, quick: list[str], command: list[str]
) -> None:
    process = shell.begin(
        *command, "--framework=faulty", "--mode=well", "--epochs=1", *quick[2:4], *quick[5:]
    )
    shell.until("preparing")
    ended(process, signal.SIGTERM)
    (folder,) = store.folders(shell.root / "results")
    assert (store.read(folder).end or {})["status"] == "interrupted"
    assert not (folder / "scratch").exists()


def test_nohup_is_obeyed(shell: Shell, quick: list[str]) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a child inherits it
    try:
        process = shell.begin(*quick)
    finally:
        signal.signal(signal.SIGHUP, before)
    shell.until("first-step")
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=240)
    assert process.returncode == 0
