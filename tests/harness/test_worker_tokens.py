"""A worker's jobs on tokens with a label a step: scored by steps, fed with tokens, replayed, judged."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from harness import protocol
from harness.parity import timed
from harness.runner.replies import misfit
from harness.verdicts import EQUIVALENT, UNDECIDED
from harness.worker import Cell
from tests.frameworks.transformer_mutants import WORKLOAD
from workloads import init, spec

NET = spec.load(str(WORKLOAD))
STEPS, EXAMPLES = 6, 10


def quiet(event: str, **fields: Any) -> None:
    pass


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Cell:
    """The reference on a few windows of drawn tokens, some of whose labels are -1, trained."""
    folder, random = tmp_path_factory.mktemp("cell"), np.random.default_rng(0)
    parts = {name: folder / name for name in ("arrays", "start", "answers")}
    for path in parts.values():
        path.mkdir()
    for part in ("train", "test"):
        shape = (EXAMPLES, *NET.input_shape)
        labels = random.integers(-1, NET.classes, shape)
        np.save(
            parts["arrays"] / f"{part}_inputs.npy", random.integers(0, NET.tokens, shape, np.uint8)
        )
        np.save(parts["arrays"] / f"{part}_labels.npy", labels)
    np.save(parts["start"] / "order.npy", init.batch_order(NET, EXAMPLES, STEPS))
    for name, weight in init.start_weights(NET).items():
        np.save(parts["start"] / f"{name}.npy", weight)
    cell = Cell()
    cell.open("reference", protocol.VERSION, str(parts["answers"]), quiet)
    places = {"arrays": str(parts["arrays"]), "start": str(parts["start"])}
    cell.build(
        NET.to_dict(),
        **places,
        mode="numpy",
        device="cpu",
        precision="float32",
        threads=1,
        emit=quiet,
    )
    cell.train(STEPS, quiet)
    return cell


def test_the_test_set_is_scored_by_steps(cell: Cell) -> None:
    reply = cell.evaluate(quiet)
    assert misfit("evaluate", {"event": "done", "result": reply}) is None
    predictions = np.load(reply["predictions"])
    inputs, labels = cell.arrays["test_inputs"], cell.arrays["test_labels"]
    rows = np.arange(12) % EXAMPLES  # three whole batches
    logits = cell.adapter.predict([inputs[rows].astype(np.float32)])[:EXAMPLES]
    assert np.array_equal(predictions, logits.argmax(axis=2).ravel())
    z = logits[labels >= 0]
    losses = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), labels[labels >= 0]]
    assert reply["cross_entropy"] == pytest.approx(losses.mean(), rel=1e-6)
    assert math.exp(reply["cross_entropy"]) < 2 * NET.classes


@pytest.mark.parametrize("batch", [1, NET.data.batch])
def test_what_is_timed_singly_is_fed_with_tokens_and_judged(cell: Cell, batch: int) -> None:
    cell.latency(batch, 0.0, quiet)
    kind = "latency one" if batch == 1 else "latency"
    arrays = dict(np.load(cell.replay(kind, 3, "timed.npz", quiet)["arrays"]))
    assert arrays["timed"].shape[1:] == (batch, *NET.input_shape, NET.classes)
    assert np.array_equal(arrays["inputs"], np.rint(arrays["inputs"]))
    assert arrays["inputs"].min() >= 0 and arrays["inputs"].max() < NET.tokens
    assert timed.judge_predictions(arrays, NET, "float32").value == EQUIVALENT
    arrays["timed"] = arrays["timed"][:, :, ::-1]  # steps in another order
    assert timed.judge_predictions(arrays, NET, "float32").value not in (EQUIVALENT, UNDECIDED)


@pytest.mark.parametrize("kind", ["train", "predict", "single"])
def test_slices_are_replayed_and_judged(cell: Cell, kind: str) -> None:
    cell.slice(kind, 0, 0.0, quiet)
    arrays = dict(np.load(cell.replay(kind, 4, "timed.npz", quiet)["arrays"]))
    if kind == "train":
        run = timed.reference_of(arrays, NET, "float32")
        assert timed.judge_training(arrays, run, "float32").value == EQUIVALENT
    else:
        assert timed.judge_predictions(arrays, NET, "float32").value == EQUIVALENT
