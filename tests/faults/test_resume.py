"""Promise: a run that was killed goes on with --resume, and ends with the same set of results."""

from __future__ import annotations

import json
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.kills import Toys, lost, only_in, results
from harness.results import store
from tests.conftest import copy_with_toys
from tests.faults.conftest import QUICK, Shell

pytestmark = pytest.mark.slow


def test_a_run_killed_at_random_moments_loses_nothing(tmp_path: Path) -> None:
    toys = Toys(tmp_path / "project")
    toys.root.mkdir()
    toys.make()
    whole, seconds = toys.whole()
    drawn = random.Random()
    killed = toys.killed(drawn, seconds, times=3)
    assert lost(results(whole), results(killed)) == [], toys.moments
    manifest = json.loads((killed / store.MANIFEST).read_text())
    assert set(manifest) == set(json.loads((whole / store.MANIFEST).read_text()))


def test_what_would_be_lost_is_seen(toy_run: Path) -> None:
    whole = results(toy_run)
    assert whole["slices"] and whole["events"]
    twice = {**whole, "events": whole["events"] + whole["events"]}
    fewer = {**whole, "slices": {*list(whole["slices"])[1:]}}
    assert lost(whole, whole) == []
    assert lost(whole, twice) == ["events"] and lost(whole, fewer) == ["slices"]
    gone = next(iter(whole["slices"] - fewer["slices"]))
    assert only_in(whole["slices"], fewer["slices"]) == str(gone)
    assert only_in(fewer["slices"], whole["slices"]) == "nothing"
    assert only_in(twice["events"], whole["events"]).count("(") == 2 * len(whole["events"])


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a run leaves that was killed in its rounds in `project` beside it."""
    root = copy_with_toys(tmp_path_factory.mktemp("killed") / "project")
    shell = Shell(root)
    process = shell.begin(*QUICK)
    shell.until("slice")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return root.rename(root.with_name("original"))


@pytest.fixture
def stopped(killed: Path) -> Iterator[Shell]:
    """The project of that run, as the kill left it."""
    root = shutil.copytree(killed, killed.with_name("project"))
    shell = Shell(root)
    yield shell
    shell.end()
    shutil.rmtree(root)


def only_run(shell: Shell) -> Path:
    (folder,) = store.folders(shell.root / "results")
    return folder


def test_what_is_whole_is_not_measured_again(stopped: Shell) -> None:
    shell, cut_short = stopped, only_run(stopped)
    with (cut_short / store.JOURNAL).open("a") as journal:
        journal.write('{"time": 1, "event": "sli')  # torn, as a kill leaves it
    manifest = json.loads((cut_short / store.MANIFEST).read_text())
    assert manifest["command"][:3] == ["python", "cli.py", "run"]
    installed = manifest | {"command": ["samestep", *manifest["command"][2:]]}  # as its copy says
    (cut_short / store.MANIFEST).write_text(json.dumps(installed))
    status, out, err = shell.run("run", "--resume", "latest")
    assert status == 0, err
    assert "3 of 3 cells ok" in out
    assert "cut short and resumed 1 time: its launches are not of one sitting" in " ".join(
        out.split()
    )
    record = store.read(cut_short)
    assert not record.torn
    assert len(record.every("run-resumed")) == 1 and len(record.every("trained")) == 3
    assert len(record.every("framework-ready")) == 2 and len(record.every("dataset")) == 1
    assert {event["launch"] for event in record.every("relaunched")} == {1}
    dropped = (cut_short / "dropped.jsonl").read_text().splitlines()
    assert '"slice"' in "".join(dropped) and dropped[-1].endswith('"sli')
    times = [event["time"] for event in record.events]
    assert times == sorted(times)
    again = shell.run("run", "--resume", cut_short.name)
    assert again[0] == 2 and "came to its end (ok): nothing to resume" in again[2]


def test_a_run_ended_by_a_signal_goes_on_too(shell: Shell) -> None:
    process = shell.begin(*QUICK)
    shell.until("trained")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    status, out, err = shell.run("run", "--resume", "latest", "--json")
    assert status == 0, err
    (told,) = json.loads(out)["runs"]
    assert {cell["status"] for cell in told["cells"]} == {"ok"}
    assert [event["status"] for event in store.read(only_run(shell)).every("run-ended")] == ["ok"]


def edit(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text()))


def manifest_with(**changes: Any) -> Callable[[str], str]:
    return lambda text: json.dumps(json.loads(text) | changes)


def test_what_has_changed_since_is_refused_with_the_reason(stopped: Shell) -> None:
    shell, cut_short = stopped, only_run(stopped)
    journal = (cut_short / store.JOURNAL).read_text()
    manifest = cut_short / store.MANIFEST
    kept = manifest.read_text()

    def refused(*arguments: str) -> str:
        status, _, err = shell.run("run", "--resume", "latest", *arguments)
        assert status == 2 and "Traceback" not in err, err
        return " ".join(err.split())

    assert "leave out --seed, --epochs" in refused("--seed=1", "--epochs=2")
    manifest.write_text(manifest_with(samestep="0.0.1")(kept))
    assert "changed since: samestep's version; make a new run" in refused()
    machine = json.loads(kept)["machine"] | {"cpu": "another", "cores_usable": 64}
    manifest.write_text(manifest_with(machine=machine)(kept))
    assert "the machine (processor: another, then " in refused()
    manifest.write_text(manifest_with(command=["python", "cli.py", "check"])(kept))
    assert "was not made by `run`: give its own command again" in refused()
    manifest.write_text(kept)
    edit(
        shell.root / "workloads" / "catalogue" / "mlp-2-3-2.toml",
        lambda text: text.replace("0.5", "0.4"),
    )
    assert "samestep's own files" in refused() and "a workload" in refused()
    assert (cut_short / store.JOURNAL).read_text() == journal  # refused before anything is touched


def test_another_environment_is_refused_with_the_reason(stopped: Shell) -> None:
    edit(
        only_run(stopped) / store.JOURNAL,
        lambda text: text.replace('"origin": "given"', '"origin": "built"', 1),
    )
    status, _, err = stopped.run("run", "--resume", "latest")
    assert status == 2
    assert "framework-ready of faulty cpu: origin was built, is given" in " ".join(err.split())


def test_a_run_that_goes_on_is_not_resumed(shell: Shell) -> None:
    process = shell.begin(*QUICK)
    shell.until("first-step")
    process.send_signal(signal.SIGSTOP)  # else it might end before the other command looks
    status, _, err = shell.run("run", "--resume", "latest")
    assert status == 2 and "goes on in another process" in err


def test_a_run_that_is_not_there_is_refused(shell: Shell) -> None:
    status, _, err = shell.run("run", "--resume", "latest")
    assert status == 2 and "no runs there" in err
