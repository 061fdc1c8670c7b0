"""What `--anonymous` leaves out, of every file that a run writes."""

from __future__ import annotations

import getpass
import os
import socket
from pathlib import Path

import numpy as np
import pytest

from harness.report import formats
from harness.results import classification, store
from harness.runner import run
from harness.runner.anonymous import scrubber
from tests.toy_request import toy_request


@pytest.fixture(autouse=True)
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user and a host whose names are found wherever they stand."""
    for variable in ("LOGNAME", "USER"):
        monkeypatch.setenv(variable, "zaphod")
    monkeypatch.setattr(socket, "gethostname", lambda: "heartofgold.example.org")
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "zaphod b"))
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("anonymous", [True, False])
def test_no_file_has_the_host_the_user_or_a_path(
    toy_root: Path, toy_interpreters: dict[str, Path], anonymous: bool
) -> None:
    adapter = toy_root / "frameworks" / "faulty" / "adapter.py"
    shout = "print('by zaphod on heartofgold in', __file__, flush=True)\n"
    adapter.write_text(adapter.read_text() + shout)
    request = toy_request(
        toy_root,
        modes=["well", "crash"],
        quick=True,
        interpreters=toy_interpreters,
        anonymous=anonymous,
        command=["python", "cli.py", "run", "--out", str(toy_root / "results")],
    )
    record, _ = run.execute(request, lambda event: None, toy_root, finish=formats.write)
    files = [path for path in record.folder.rglob("*") if path.is_file()]
    texts = {path.name: path.read_text(encoding="utf-8") for path in files}
    assert {"manifest.json", "events.jsonl", "report.md", "report.html"} <= texts.keys()
    assert any(name.endswith(".log") and "by " in text for name, text in texts.items())
    private = ("zaphod", "heartofgold", str(toy_root), str(toy_root.parent), str(Path.cwd()))
    hits = {(word, name) for word in private for name, text in texts.items() if word in text}
    assert bool(hits) != anonymous, hits
    assert record.manifest["options"]["anonymous"] == anonymous
    assert set(store.summary(record)["status"]) == {"ok", "crashed"}


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ('File "/usr/lib/python3/site.py", line 3', 'File "<path>/site.py", line 3'),
        ("cannot open /data/secret/x.npy: no", "cannot open <path>/x.npy: no"),
        ("by zaphod@heartofgold.example.org", "by <user>@<host>"),
        ("zaphod said", "<user> said"),
        ("on heartofgold: ok", "on <host>: ok"),
        ("mlp-digits/zaphod/eager/cpu/float32", "mlp-digits/zaphod/eager/cpu/float32"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("1/2 of 3/4", "1/2 of 3/4"),
        ("zaphods", "zaphods"),
    ],
)
def test_names_are_words_of_their_own(tmp_path: Path, text: str, scrubbed: str) -> None:
    assert scrubber(tmp_path)(text) == scrubbed


@pytest.mark.parametrize("wrong", [[], [6, 30, 31], [*range(0, 360, 7)]])
def test_packed_bytes_stay_as_they_are(tmp_path: Path, wrong: list[int]) -> None:
    correct = np.ones(360, bool)
    correct[wrong] = False  # base64 of ones is slashes: "////+////"
    event = {"right": classification.pack(correct), "preview": {"data": "AA/+/+zz/x=="}}
    assert scrubber(tmp_path)(event) == event
    assert scrubber(tmp_path)({"data": f"{tmp_path}/my.npz"}) == {"data": "<path>/my.npz"}


def test_values_keep_their_shape(tmp_path: Path) -> None:
    value = {"a": [1, None, True, tmp_path / "x"], "b": {"c": (str(tmp_path), 2.5)}}
    assert scrubber(tmp_path)(value) == {
        "a": [1, None, True, "<path>/x"],
        "b": {"c": ["<path>", 2.5]},
    }


def test_a_user_without_a_name_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", unknown)
    for variable in ("LOGNAME", "USER", "SUDO_USER"):
        monkeypatch.delenv(variable, raising=False)
    assert scrubber(tmp_path)("root of all") == "root of all"
    assert os.environ["HOME"] not in scrubber(tmp_path)(os.environ["HOME"])
