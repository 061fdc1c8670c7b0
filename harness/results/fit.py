"""Whether what was read from a stored run has the types that its readers count on."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints, is_typeddict

from harness.results import cell_events, events

_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    NoneType: "null",
    list: "a list",
    dict: "an object",
}


_TOO_LARGE = 2**63
"""No count or size comes near it, and the history's database holds none above."""

_DEEPEST = 50
"""Levels of lists and objects within a field; a run writes fewer than ten."""

_SHOWN_IF_THEY_FIT = ("images", "predicted")
"""Pictures, which a report leaves out where they are none."""


def event_types() -> dict[str, type]:
    """The type of each kind of event, by its name in the journal."""
    types = {
        re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower(): kind
        for module in (events, cell_events)
        for name, kind in vars(module).items()
        if is_typeddict(kind)
    }
    return {**types, "twin-slice": types["slice"]}


_EVENTS = event_types()


def event_misfit(event: Mapping[str, Any]) -> str | None:
    """Say what of an event has another type than its kind's; None where all fits.

    What is unknown, or lacks, is none: fields come and go between versions.
    """
    checked = {key: value for key, value in event.items() if key not in _SHOWN_IF_THEY_FIT}
    return too_deep(checked) or misfit(checked, _EVENTS.get(event["event"], events.Event))


def too_deep(fields: Mapping[str, Any]) -> str | None:
    """Say which field is nested deeper than all that a run writes, and than readers can follow."""
    return next(
        (f"{key} is nested too deep" for key in fields if _is_deep(fields[key], _DEEPEST)), None
    )


def _is_deep(value: Any, levels: int) -> bool:
    if not isinstance(value, list | dict):
        return False
    items = value.values() if isinstance(value, dict) else value
    return not levels or any(_is_deep(item, levels - 1) for item in items)


def misfit(value: Any, hint: Any, name: str = "") -> str | None:
    """Say where `value` is not what a type says: the first field, what it is and what is meant.

    Null fits everywhere: it is what a number that is not finite is in JSON, and as good as a field that
    is missing.
    """
    if hint is Any or value is None:
        return None
    if get_origin(hint) is UnionType:
        inner = [misfit(value, part, name) for part in get_args(hint)]
        return None if None in inner else inner[0]
    if get_origin(hint) is Literal:
        return None if isinstance(value, str) else _said(name, value, str)
    kind = dict if is_typeddict(hint) else get_origin(hint) or hint
    if not _is(value, kind):
        return _said(name, value, kind)
    return next(filter(None, (misfit(*part) for part in _parts(value, hint, name))), None)


def lacking(value: Any, hint: Any, name: str = "") -> str | None:
    """Say which field that a type requires is missing, or null where null is none of its types.

    The value has to fit otherwise, as `misfit` says.
    """
    if value is None:
        return None if hint is Any or NoneType in get_args(hint) else f"{name} is null"
    if is_typeddict(hint) and (absent := sorted(hint.__required_keys__ - value.keys())):
        return f"{name}.{absent[0]} is missing" if name else f"{absent[0]} is missing"
    return next(filter(None, (lacking(*part) for part in _parts(value, hint, name))), None)


def _parts(value: Any, hint: Any, name: str) -> list[tuple[Any, Any, str]]:
    """What is in a value, each with its type and its name."""
    if is_typeddict(hint):
        hints = _hints(hint)
        return [
            (value[key], hints[key], f"{name}.{key}" if name else key)
            for key in hints.keys() & value.keys()
        ]
    if get_origin(hint) is list:
        return [(item, *get_args(hint), f"{name}[{place}]") for place, item in enumerate(value)]
    if get_origin(hint) is dict:
        return [(item, get_args(hint)[1], f"{name}.{key}") for key, item in value.items()]
    return []


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _is(value: Any, kind: type) -> bool:
    if kind in (int, float):
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
            and abs(value) < _TOO_LARGE
        )
    return isinstance(value, kind)


def _said(name: str, value: Any, kind: type) -> str:
    return f"{name} is {str(value)[:40]!r}, expected {_WORDS[kind]}"
