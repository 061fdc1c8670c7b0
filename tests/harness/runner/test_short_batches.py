"""A run on a workload that keeps its short batches, and gathers gradients of several."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.report import formats, provenance
from harness.results import store
from harness.runner import run
from harness.runner.context import Timeouts
from tests.toy_request import BRIEF, brief_request
from workloads.spec import CATALOGUE

pytestmark = pytest.mark.slow

BATCH, REST, EPOCH = 300, 100, 4
"""Of 1,000 examples: three whole batches and a short one."""


def test_slices_are_made_up_as_epochs_are(
    toy_root: Path, toy_interpreters: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMESTEP_CACHE", str(toy_root / "cache"))
    text = (CATALOGUE / "mlp-2-3-2.toml").read_text()
    text = text.replace("batch = 20", f'batch = {BATCH}\nlast = "keep"')
    file = toy_root / "keep.toml"
    file.write_text(text.replace("lr = 0.5", "lr = 0.5\naccumulate = 3\naverage = 0.9"))
    request = brief_request(
        toy_root,
        replace(BRIEF, launches=2),
        interpreters=toy_interpreters,
        workloads=[str(file)],
        modes=["well", "numpy"],
        epochs=2,
    )
    record, status = run.execute(
        request, lambda event: None, toy_root, Timeouts(), finish=formats.write
    )
    assert status == 0

    slices = [event for event in record.every("slice") if "well" in event["cell"]]
    for timed in slices:
        if timed["kind"] == "predict":
            assert timed["samples"] == BATCH * timed["steps"]
        else:
            epochs, more = divmod(timed["steps"], EPOCH)
            least = epochs * (3 * BATCH + REST) + max(0, more * BATCH - (BATCH - REST))
            assert timed["samples"] in (least, least + BATCH - REST)
    assert {timed["kind"] for timed in slices} >= {"train", "predict"}
    checked = [event for event in record.every("parity") if event["when"] == "replayed"]
    assert {event["verdict"] for event in checked} == {"equivalent"}
    entries = dict(provenance.entries(record, store.summary(record)))
    assert entries["epoch of keep"] == "its last batch has 100 examples"
