"""Promise: a full, read-only or vanished disk costs one line, and not what was measured."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from io import FileIO
from pathlib import Path

import pytest

from harness.results import store
from harness.runner import run
from tests.faults.conftest import Mount, Shell
from tests.toy_request import BRIEF, brief_request

pytestmark = pytest.mark.slow


def spoken(text: str) -> str:
    assert "Traceback" not in text, text
    return " ".join(text.split())


def test_the_table_is_printed_though_the_page_does_not_fit(
    shell: Shell, quick: list[str], mount: Mount
) -> None:
    disk = mount("1500k")
    status, out, err = shell.run(*quick, f"--out={disk}")
    assert status == 0, err
    said = spoken(out + err)
    assert "3 of 3 cells ok" in said and "faulty well" in said
    assert "not written: report.html (" in said
    # A terminal folds a long path, wherever it may be.
    assert f"the disk at {disk} is full (".replace(" ", "") in said.replace(" ", "")
    (folder,) = store.folders(disk)
    assert (folder / "summary.csv").is_file() and (folder / "report.md").is_file()
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    status, _, err = shell.run("report", "latest", "--format=html", f"--out={disk}")
    assert status == 2 and f"the disk at {disk} is full" in spoken(err)


@pytest.mark.parametrize("size", ["300k", "36k"])
def test_a_disk_that_is_full_under_way_stops_the_run_which_can_go_on(
    shell: Shell, quick: list[str], mount: Mount, size: str
) -> None:
    disk = mount(size)
    (disk / "filler").write_bytes(bytes(4096 * (60 if size == "300k" else 1)))
    status, out, err = shell.run(*quick, f"--out={disk}")
    assert status == 2, out + err
    assert f"the disk at {disk} is full (" in spoken(err)
    assert "crashed" not in spoken(out)
    if size == "300k":
        assert "samestep run" in out  # the table of what there is
        assert "go on with: python cli.py run --resume" in spoken(err)
        (folder,) = store.folders(disk)
        subprocess.run(["mount", "-o", "remount,size=30m", str(disk)], check=True)
        status, out, err = shell.run("run", "--resume", str(folder))
        assert status == 0 and "3 of 3 cells ok" in spoken(out + err)


def test_a_worker_that_cannot_write_has_not_crashed(toy_root: Path, mount: Mount) -> None:
    disk = mount("300k")
    seen: list[str] = []

    def fill(event: dict[str, object]) -> None:
        seen.append(str(event["event"]))
        if event["event"] == "parity" and "trained" not in seen:
            with (disk / "filler").open("wb", buffering=0) as filler:
                try:
                    while filler.write(bytes(4096)):
                        pass
                except OSError:
                    pass

    request = brief_request(
        toy_root,
        BRIEF,
        modes=["well"],
        out=disk,
        epochs=100,
        interpreters=dict.fromkeys(("faulty", "reference"), Path(sys.executable)),
    )
    with pytest.raises(run.CutShort, match=re.escape(f"the disk at {disk} is full")) as failure:
        run.execute(request, fill, toy_root)
    table = store.summary(failure.value.record)
    assert "crashed" not in set(table["status"])


def test_a_folder_that_vanishes_under_way_ends_the_run_in_one_line(
    shell: Shell, quick: list[str]
) -> None:
    process = shell.begin(*quick)
    shell.until("slice")
    (folder,) = store.folders(shell.root / "results")
    shutil.rmtree(folder)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert f"{folder}: there is no such folder: it was removed or renamed" in spoken(err)
    assert not folder.exists()


def test_a_disk_that_becomes_read_only_under_way_ends_the_run_with_what_there_is(
    toy_root: Path, toy_interpreters: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []

    def append(file: FileIO, data: bytes) -> None:
        if b'"trained"' in data or b'"run-ended"' in data:  # as after an error of the disk
            raise OSError(errno.EROFS, "Read-only file system")
        written.append(data)
        file.write(data)

    monkeypatch.setattr("harness.disk.append", append)
    request = brief_request(toy_root, modes=["well"], interpreters=toy_interpreters)
    heard: list[str] = []
    with pytest.raises(run.CutShort, match=r"the disk at .* is read-only; fix that, then") as cut:
        run.execute(request, lambda event: heard.append(event["event"]), toy_root)
    assert cut.value.record.end is None and len(cut.value.record.every("opened")) == 1
    assert store.summary(cut.value.record)["status"].tolist() == ["interrupted"] * 2
    assert not (cut.value.record.folder / "scratch").exists()


def test_results_that_cannot_be_written_are_refused_at_once(
    shell: Shell, quick: list[str], mount: Mount
) -> None:
    disk = mount("1m")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    status, _, err = shell.run(*quick, f"--out={disk}/results")
    assert status == 2
    said = spoken(err)
    assert f"no run can be stored there (the disk at {disk} is read-only); name another" in said


def test_a_report_into_a_read_only_folder_is_refused_in_one_line(
    shell: Shell, toy_run: Path, mount: Mount
) -> None:
    disk = mount("30m")
    shutil.copytree(toy_run, disk / toy_run.name)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    status, _, err = shell.run("report", "latest", "--format=html", f"--out={disk}")
    assert status == 2 and len(err.strip().splitlines()) == 1
    assert f"report.html: cannot be written: the disk at {disk} is read-only" in spoken(err)
    status, out, _ = shell.run("report", "latest", f"--out={disk}")
    assert status == 0 and "faulty well" in out


@pytest.mark.parametrize(
    ("tail", "status"), [("> /dev/full", 0), ("| head -1 > /dev/null", 0)], ids=["full", "head"]
)
def test_a_run_that_nobody_can_read_is_whole(
    shell: Shell, quick: list[str], tail: str, status: int
) -> None:
    line = f'"$0" cli.py "$@" {tail}; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", line, sys.executable, *quick],
        cwd=shell.root,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "SAMESTEP_CACHE": str(shell.root / "cache")},
    )
    assert done.returncode == status
    assert re.fullmatch(r"standard output cannot be written: .*\n", done.stderr)
    (folder,) = store.folders(shell.root / "results")
    assert (store.read(folder).end or {})["status"] == "ok"
    assert (folder / "report.html").is_file()


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("latin-1", marks=pytest.mark.nightly)])
def test_a_name_with_letters_that_the_terminal_lacks_fails_no_run(
    shell: Shell, quick: list[str], encoding: str
) -> None:
    text = (shell.root / "workloads" / "catalogue" / "mlp-2-3-2.toml").read_text()
    (shell.root / "größe-模型.toml").write_text(text)
    arguments = [word.replace("=mlp-2-3-2", "=größe-模型.toml") for word in quick]
    status, out, err = shell.run(*arguments, PYTHONIOENCODING=encoding)
    assert status == 0, err
    assert ("gr??e-??" if encoding == "ascii" else "gr\ufffd\ufffde-??") in out
    for form in ("md", "csv", "json"):
        status, _, err = shell.run(
            "report", "latest", f"--format={form}", PYTHONIOENCODING=encoding
        )
        assert status == 0, err
