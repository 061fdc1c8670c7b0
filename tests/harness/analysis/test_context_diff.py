"""What is not the same around the figures of two runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.analysis.context_diff import Difference, differences
from harness.results import store
from tests.runs import MadeUpRun

CELLS = ("toy/left/fast/cpu/float32", "toy/left/slow/cpu/float32")


def run(folder: Path, version: str = "1", layout: str = "NCHW", **machine: Any) -> store.Record:
    made = MadeUpRun(
        folder,
        {
            "cells": list(CELLS),
            "samestep": "1",
            "git_commit": None,
            "machine": {"cpu": "A", "load": [1, 2], "gpus": [], **machine},
            "options": {"threads": 2},
        },
    )
    made.framework("left", lock_sha256="ab")
    for cell in CELLS:
        made("opened", cell, versions={"lib": version}, python="3.11.7")
        made("built", cell, settings={"layout": layout, "flags": {"fast": True}})
    return made.read()


def test_runs_that_are_alike_have_none(tmp_path: Path) -> None:
    assert list(differences(run(tmp_path), run(tmp_path, load=[9, 9], mhz=3))) == []


def test_versions_settings_and_machine_are_told_with_both_values(tmp_path: Path) -> None:
    found = differences(run(tmp_path), run(tmp_path, version="2", layout="NHWC", cpu="B"))
    assert list(found) == [
        Difference("machine", "cpu", "A", "B"),
        Difference("versions", "lib", "1", "2", ("left",)),
        Difference("settings", "layout", "NCHW", "NHWC", CELLS),
    ]


def test_what_one_run_does_not_tell_is_none(tmp_path: Path) -> None:
    found = differences(run(tmp_path), run(tmp_path, governor="powersave"))
    assert list(found) == [Difference("machine", "governor", None, "powersave")]


def test_of_a_gpu_only_what_lasts_is_told(tmp_path: Path) -> None:
    gpus = [[{"name": name, "memory_free": free}] for name, free in (("X", 1), ("X", 2), ("Y", 2))]
    a, b, c = (run(tmp_path, gpus=one) for one in gpus)
    assert list(differences(a, b)) == []
    assert [one.what for one in differences(b, c)] == ["gpus"]
