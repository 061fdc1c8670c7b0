"""Writes plain tables as TOML, which the standard library only reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def dumps(table: Mapping[str, Any]) -> str:
    """Return `table` as a TOML file: tables in it as sections, what is deeper on their lines.

    Values are texts, whole numbers, finite floats, true and false, lists and tables of these.
    """
    sections = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    lines = [
        f"{_key(key)} = {_top(value)}\n" for key, value in table.items() if key not in sections
    ]
    for name, section in sections.items():
        lines.append(f"\n[{_key(name)}]\n")
        lines += [f"{_key(key)} = {_value(value)}\n" for key, value in section.items()]
    return "".join(lines)


def _top(value: Any) -> str:
    """A value of the file's own: of a list of tables, each has a line."""
    if isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        return "[\n" + "".join(f"  {_value(item)},\n" for item in value) + "]"
    return _value(value)


def _value(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return _text(value)
        case Mapping():
            inner = ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items())
            return f"{{ {inner} }}"
        case list() | tuple():
            return "[" + ", ".join(map(_value, value)) + "]"
    return repr(value)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _text(value: str) -> str:
    """A basic string: JSON escapes all that TOML wants escaped, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
