from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from workloads import spec, toml

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
plain = (
    texts
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(texts, values, max_size=4))
def test_what_is_written_is_read(table: dict[str, Any]) -> None:
    assert tomllib.loads(toml.dumps(table)) == table


def test_a_workload_has_a_line_a_layer() -> None:
    text = toml.dumps(spec.load("cnn-digits").to_dict())
    assert '  { kind = "relu" },\n' in text and "\n[data]\n" in text
