"""Runs on data of one's own, of every kind: workers get arrays, and reports a name and hashes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.report import formats
from harness.results import store
from harness.runner import run
from harness.runner.resume import Past
from tests.toy_request import BRIEF, brief_request

pytestmark = pytest.mark.slow

NET = """
title = "A net on data of one's own"
loss = "cross-entropy"
layers = [{ kind = "flatten" }, { kind = "dense", units = 2 }]
[data]
DATA
batch = 4
epochs = 1
[init]
kind = "he-uniform"
[optimiser]
kind = "sgd"
lr = 0.1
"""

LABELS = np.arange(40) % 2
NUMBERS = np.random.default_rng(0).random((40, 3)) + LABELS[:, None]


def npz(folder: Path) -> str:
    np.savez(folder / "my.npz", inputs=NUMBERS, labels=LABELS)
    return 'file = "my.npz"\ntest = 0.25'


def npy(folder: Path) -> str:
    (folder / "mine").mkdir()
    for part, rows in (("train", slice(0, 30)), ("test", slice(30, 40))):
        np.save(folder / "mine" / f"{part}_inputs.npy", NUMBERS[rows])
        np.save(folder / "mine" / f"{part}_labels.npy", LABELS[rows])
    return 'file = "mine"'


def csv(folder: Path) -> str:
    rows = (
        f"{x!r},{y!r},{'ab'[label]}\n"
        for (x, y), label in zip(NUMBERS[:, :2].tolist(), LABELS, strict=True)
    )
    (folder / "mine.csv").write_text("x,y,kind\n" + "".join(rows))
    return 'file = "mine.csv"\nlabel = "kind"\ntest = 0.25'


def pictures(folder: Path) -> str:
    for i, label in enumerate(LABELS):
        path = folder / "pets" / "ab"[label] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (5, 4), (int(label) * 200, i, 0)).save(path)
    return 'file = "pets"\ntest = 0.25\nscale = 255\naugment = [{ kind = "crop", padding = 1 }]'


@pytest.mark.parametrize("make", [npz, npy, csv, pictures], ids=lambda make: make.__name__)
def test_a_run_trains_on_it_and_names_no_path(
    make: Callable[[Path], str],
    toy_root: Path,
    toy_interpreters: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path / "cache"))
    private = tmp_path / "somebody-private"
    private.mkdir()
    net = private / "net.toml"
    net.write_text(NET.replace("DATA", make(private)))
    request = brief_request(
        toy_root,
        replace(BRIEF, budget=0.1),
        workloads=[str(net)],
        modes=["well", "numpy"],
        interpreters=toy_interpreters,
        quick=True,
    )
    record, status = run.execute(request, lambda event: None, toy_root, finish=formats.write)
    table = store.summary(record).set_index("mode")
    assert status == 0 and table["status"].to_dict() == {"well": "ok", "numpy": "ok"}
    assert table.loc["well", "accuracy"] == table.loc["numpy", "accuracy"]
    (event,) = record.every("dataset")
    assert event["images"] is None and (event["train"], event["test"]) == (30, 10)
    assert any(name.startswith("source/") for name in event["sha256"])
    for path in record.folder.rglob("*"):
        if path.is_file():
            assert b"somebody-private" not in path.read_bytes(), path.name
    report = (record.folder / "report.md").read_text()
    assert str(event["name"]) in report and "the user's own files" in report
    assert Past(record).holds("dataset", event)
