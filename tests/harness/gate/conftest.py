"""What the tests of baselines share."""

from __future__ import annotations

import pytest

from harness.gate import baseline
from tests.harness.gate.made import HEAD, OTHER, Table, made


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """A baseline of two cells, as its file holds it."""
    return baseline.of(made(tmp_path_factory.mktemp("old"), {HEAD: {}, OTHER: {}}, seed=7), "old")
