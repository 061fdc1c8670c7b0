"""The types of events and the journal's schema say the same, field by field."""

from __future__ import annotations

import json
import re
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from harness.paths import project_root
from harness.results import cell_events, events

SCHEMA = json.loads(
    (project_root() / "docs" / "reference" / "schema" / "event.schema.json").read_text("utf-8")
)
BASES = dict.fromkeys(get_type_hints(events.Event), events.Event)
TYPES = {
    re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower(): kind
    for module in (events, cell_events)
    for name, kind in vars(module).items()
    if is_typeddict(kind) and kind.__annotations__.keys() > BASES.keys() and name != "CellEvent"
}
SCALARS = {int: "integer", float: "number", str: "string", bool: "boolean", NoneType: "null"}


def table(kind: Any, without: set[str]) -> dict[str, Any]:
    """What a type says of an object, as a schema says it."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        "required": sorted(kind.__required_keys__ - BASES.keys()),
        "properties": {
            name: schema_of(hint) for name, hint in hints.items() if name not in without
        },
    }


def schema_of(hint: Any) -> dict[str, Any]:
    """What a type says of a value, as a schema says it."""
    if get_origin(hint) is NotRequired:
        return schema_of(*get_args(hint))
    if get_origin(hint) is Literal:
        return {"values": sorted(get_args(hint))}
    if get_origin(hint) is UnionType:
        parts = [schema_of(part) for part in get_args(hint)]
        return {**parts[0], "types": sorted(word for part in parts for word in part["types"])}
    if get_origin(hint) is list:
        items = [schema_of(item) for item in get_args(hint) if item is not Any]
        return {"types": ["array"], **({"items": items[0]} if items else {})}
    if get_origin(hint) is dict:
        items = [schema_of(item) for item in get_args(hint)[1:] if item is not Any]
        return {"types": ["object"], **({"items": items[0]} if items else {})}
    if is_typeddict(hint):
        return {"types": ["object"], **table(hint, set())}
    return {"types": [SCALARS[hint]]}


def described(value: dict[str, Any]) -> dict[str, Any]:
    """What the schema says of a value, without words and ranges."""
    if "enum" in value:
        return {"values": sorted(value["enum"])}
    types = value["type"] if isinstance(value["type"], list) else [value["type"]]
    items = value.get("items") or value.get("additionalProperties")
    inner = {} if items is None else {"items": described(items)}
    if "properties" in value:
        inner = {"required": sorted(value.get("required", [])), "properties": fields(value)}
    return {"types": sorted(types), **inner}


def fields(value: dict[str, Any]) -> dict[str, Any]:
    return {name: described(inner) for name, inner in value.get("properties", {}).items()}


def test_every_kind_has_a_type_and_every_type_a_kind() -> None:
    assert set(TYPES) == set(SCHEMA["$defs"])
    assert set(get_args(events.Kind)) == {*TYPES, "twin-slice"}
    assert table(events.Event, set())["properties"] == {
        name: described(SCHEMA["properties"][name]) for name in SCHEMA["required"]
    }


@pytest.mark.parametrize("kind", SCHEMA["$defs"])
def test_a_type_is_as_the_schema_says(kind: str) -> None:
    schema = SCHEMA["$defs"][kind]
    expected = {"required": sorted(schema.get("required", [])), "properties": fields(schema)}
    assert table(TYPES[kind], {*BASES, "cell"}) == expected


def test_a_difference_is_seen() -> None:
    """A field too many, another type, and one that is not required: each is another table."""
    assert table(events.Stopped, set()) != table(events.InTurn, set())
    assert schema_of(int | None) != schema_of(int) != schema_of(NotRequired[float])
    assert table(events.RunEnded, set())["required"] == ["status"]
