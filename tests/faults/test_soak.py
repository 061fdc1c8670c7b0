"""Promise: a run of many cells holds no more at its end than at its begin, and takes no longer a cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.soak import Soak, soak


def test_a_dozen_cells_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path / "cache"))
    seen = soak(tmp_path, 12)
    assert len(seen.seconds) == 6 and seen.statuses == {"ok"}
    assert not any(seen.children)
    assert seen.descriptors[-1] <= seen.descriptors[1]
    assert seen.memory_growth < 0.1


def test_what_grows_is_named() -> None:
    steady = {"rss": [100] * 12, "descriptors": [8] * 12, "children": [0] * 12}
    seen = Soak(**steady, processor_seconds=[1.0] * 11, statuses={"ok"})
    assert seen.complaints() == []
    for change, says in (
        ({"rss": [*range(100, 124, 2)]}, "the harness's memory grew by 17%"),
        ({"processor_seconds": [1.0, 1.0, *[1.2] * 9]}, "the last cells took 20% longer"),
        ({"descriptors": [*range(12)]}, "1 descriptors became 11"),
        ({"children": [0, 3, *[0] * 10]}, "3 processes were left"),
        ({"statuses": {"ok", "crashed"}}, "statuses: crashed, ok"),
    ):
        worse = Soak(**{**vars(seen), **change})
        assert worse.complaints() == [says]
