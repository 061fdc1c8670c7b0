"""Names are chosen from what there is."""

from __future__ import annotations

import pytest

from harness import selection
from workloads.reading import SpecError

KNOWN = ["alpha", "beta", "gamma"]


def test_names_come_with_commas_repeated_or_all() -> None:
    assert selection.choose(["beta,alpha"], KNOWN, "thing") == ["alpha", "beta"]
    assert selection.choose(["beta", "alpha"], KNOWN, "thing") == ["alpha", "beta"]
    assert selection.choose(["all"], KNOWN, "thing") == KNOWN
    assert selection.choose([], KNOWN, "thing") == []


def test_a_wrong_name_gets_the_nearest_right_one() -> None:
    with pytest.raises(SpecError, match=r'no thing "bata" \(did you mean "beta"\?\); known: alpha'):
        selection.choose(["bata"], KNOWN, "thing")
