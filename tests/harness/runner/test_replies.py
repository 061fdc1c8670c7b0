"""A worker may reply anything: what is no reply to its job is refused, with what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.runner import handed_back, replies
from harness.runner.process import WorkerFailed

TRAINED = {"seconds": 1.5, "losses": "/tmp/losses.npy", "moments": [[0, 0.0], [50, 1.5]]}


def done(result: Any) -> dict[str, Any]:
    return {"event": "done", "id": 1, "result": result}


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in TRAINED.items() if name != key}


def test_a_reply_as_it_has_to_be_is_taken() -> None:
    assert replies.misfit("train", done(TRAINED)) is None
    assert replies.misfit("train", done({**TRAINED, "more": "than is read"})) is None
    assert replies.misfit("begin_from", done({})) is None
    loss = {"event": "progress", "step": 1, "steps": 2, "loss": None}  # as NaN travels
    assert replies.misfit("train", loss) is None


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (done(None), "a reply without fields: 'None'"),
        (done("losses"), "a reply without fields: 'losses'"),
        (done([TRAINED]), "a reply without fields: "),
        (done({}), "a reply without seconds"),
        (done(without("losses")), "a reply without losses"),
        (done({**TRAINED, "seconds": None}), "a reply without seconds"),
        (done({**TRAINED, "seconds": "1"}), "seconds is '1', expected a number"),
        (done({**TRAINED, "seconds": 2**70}), "seconds is '1180591620717411303424'"),
        (done({**TRAINED, "losses": 5}), "losses is '5', expected a text"),
        (done({**TRAINED, "moments": [5]}), "moments[0] is '5', expected a list"),
        (done({**TRAINED, "moments": [None]}), "a reply without moments"),
        ({"event": "done", "id": 1}, "a reply without fields: 'None'"),
        ({"event": "failed", "status": "ok", "reason": ""}, "a failure with the status 'ok'"),
        ({"event": "failed", "reason": "why"}, "a failure with the status 'None'"),
        ({"event": "failed", "status": "failed"}, "a reply without reason"),
        ({"event": "failed", "status": "failed", "reason": ["a"]}, "expected a text"),
        ({"event": "progress", "step": "3", "steps": 4, "loss": 1.0}, "step is '3'"),
        ({"event": "progress"}, "a reply without step"),
        ({"event": ["done"]}, "an unexpected message: "),
        ({}, "an unexpected message: {}"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "",
)
def test_what_is_no_reply_is_named(event: dict[str, Any], says: str) -> None:
    assert says in (replies.misfit("train", event) or "")


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("leave", "says"),
    [
        (lambda path: None, "No such file"),
        (lambda path: write(path, b""), "cannot be read"),
        (lambda path: write(path, b"\x00garbage"), "cannot be read"),
        (lambda path: write(path, b"PK\x03\x04 no archive"), "cannot be read"),
        (lambda path: np.save(path, np.array(["a"])), "is of type <U1, not numbers"),
        (lambda path: np.save(path, np.array([None])), "cannot be read"),
        (lambda path: np.save(path, np.zeros((2, 2))), "no list of numbers"),
        (lambda path: np.save(path, np.zeros(0)), "no list of numbers"),
        (lambda path: path.mkdir(), "Is a directory"),
    ],
    ids=["none", "empty", "garbage", "archive", "words", "objects", "square", "nothing", "folder"],
)
def test_a_file_that_holds_no_losses_is_named(
    tmp_path: Path, leave: Callable[[Path], object], says: str
) -> None:
    path = tmp_path / "losses.npy"
    leave(path)
    with pytest.raises(WorkerFailed, match=f"train: {path} cannot be read: ") as failure:
        handed_back.array("train", str(path))
    assert says in failure.value.reason and failure.value.status == "crashed"


def test_a_file_cut_off_is_named(tmp_path: Path) -> None:
    path = tmp_path / "answers.npz"
    np.savez(path, loss=np.arange(1000.0))
    assert handed_back.arrays("answer", str(path))["loss"].sum() == 499500
    whole = path.read_bytes()
    for size in (10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(WorkerFailed, match=r"answer: .* cannot be read"):
            handed_back.arrays("answer", str(path))
    np.savez(path, loss=np.array(["a"]))
    with pytest.raises(WorkerFailed, match="loss is of type <U1"):
        handed_back.arrays("answer", str(path))
