"""A unit that did not have its node for itself is stamped on every output, and ranks nothing."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from harness.matrix import block
from harness.report import formats, terminal
from harness.report.html import renderer
from harness.results.store import Record
from tests.harness.matrix.stand_in import made_up
from tests.runs import MadeUpRun

STAMP = "NOT ALONE ON ITS NODE"


def unit_run(results: Path, **more: Any) -> MadeUpRun:
    return made_up(results, unit="toys-1/0", **more)


def printed(record: Record, details: bool) -> str:
    out = io.StringIO()
    terminal.show(record, Console(file=out, width=1000), details)
    return out.getvalue()


def outputs(record: Record, folder: Path) -> dict[str, str]:
    texts = {form: formats.text([record], form) for form in formats.TEXTS}
    page = renderer.write([record], folder / "page.html").read_text()
    return texts | {"html": page, "table": printed(record, False), "all": printed(record, True)}


def test_a_unit_with_neighbours_is_stamped_and_ranks_nothing(tmp_path: Path) -> None:
    run = unit_run(tmp_path)("neighbours", jobs=[])("neighbours", jobs=["12 of ann"])
    record = run.end().read()
    assert record.not_alone == ("other jobs on its node (12 of ann)",)
    assert record.pairs.empty and record.cells["rank"].isna().all()
    assert (record.cells["status"] == "ok").all()
    for name, text in outputs(record, tmp_path).items():
        assert "fastest" not in text and "no other cell is at least as good" not in text, name
        assert "12 of ann" in text, name
        assert STAMP in text or name in ("csv", "json"), name
    assert json.loads(formats.text([record], "json"))["runs"][0]["not_alone"]
    formats.write(record)
    rows = pd.read_csv(record.folder / "summary.csv")
    assert (rows["not_alone"] == record.not_alone[0]).all() and rows["rank"].isna().all()
    figures = block.of(record)
    assert figures["not_alone"] and not figures["pairs"]["train"]


def test_a_unit_alone_on_its_node_ranks(tmp_path: Path) -> None:
    record = unit_run(tmp_path)("neighbours", jobs=[]).end().read()
    assert record.not_alone == () and list(record.cells["rank"]) == [1, 2]
    texts = outputs(record, tmp_path)
    assert "fastest" in texts["table"] and not any(STAMP in text for text in texts.values())


@pytest.mark.parametrize(
    ("noise", "alone"),
    [
        ("load of others: 1.0 cores", False),
        ("throttled by heat: 1 times; load on the other CPUs: 1.0 cores", False),
        ("stolen by the hypervisor: 20.0%", False),
        ("another process on the GPU", False),
        ("throttled by heat: 1 times", True),
    ],
)
def test_the_monitor_says_that_others_were_at_work(tmp_path: Path, noise: str, alone: bool) -> None:
    record = unit_run(tmp_path, noise=noise).end().read()
    assert (not record.not_alone) == alone
    assert made_up(tmp_path, noise=noise).end().read().not_alone == ()  # no unit's


def test_few_disturbed_slices_are_an_accident(tmp_path: Path) -> None:
    run = unit_run(tmp_path)
    for number in range(24):  # as many as it has that nothing disturbed
        run.slice("mlp-2-3-2/faulty/well/cpu/float32", 1.0, number=number, noise="load of others")
    assert run.end().read().not_alone == ()


@pytest.mark.parametrize(("slow", "alone"), [(3, True), (4, False)])
def test_the_reference_kernel_says_that_others_were_at_work(
    tmp_path: Path, slow: int, alone: bool
) -> None:
    run = unit_run(tmp_path)  # with three rounds at its best
    for number in range(slow):
        run.calibrate(700, number=number + 2)
    assert (not run.end().read().not_alone) == alone
