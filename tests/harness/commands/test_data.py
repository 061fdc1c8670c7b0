"""``data``: what it says of data sets that are not here."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import main


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path))
    return tmp_path


def test_a_data_set_that_is_named_and_not_here_is_not_verified(cache: Path) -> None:
    done = CliRunner().invoke(main, ["data", "verify", "mnist", "xor"])
    assert done.exit_code == 1
    assert [line.partition(" (")[0] for line in done.output.splitlines()] == [
        f"absent {name}: nothing of it in {cache / 'datasets'}" for name in ("mnist", "xor")
    ]


def test_an_empty_cache_has_nothing_to_verify_and_says_where(cache: Path) -> None:
    done = CliRunner().invoke(main, ["data", "verify"])
    assert done.exit_code == 0 and done.output.startswith(f"no data in {cache / 'datasets'}; ")
