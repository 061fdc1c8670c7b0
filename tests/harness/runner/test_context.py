"""On which processors workers start."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness.runner.context import RunContext


@pytest.mark.parametrize(
    ("cpus", "spare", "lanes"),
    [
        ([0], [1], [[0], [1]]),
        ([0], [1, 2], [[0], [1]]),
        ([0, 1, 2], [3], [[0, 1, 2]]),  # a worker is never started on fewer than it is timed on
        ([0], [], [[0]]),
        ([], [], [[]]),  # where affinity is not known
    ],
)
def test_workers_start_on_what_is_timed_on_and_on_as_many_spare_processors(
    cpus: list[int], spare: list[int], lanes: list[list[int]]
) -> None:
    context = SimpleNamespace(cpus=cpus, spare_cpus=spare)
    assert RunContext.lanes.fget(context) == lanes  # type: ignore[attr-defined]
