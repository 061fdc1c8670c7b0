"""Reads a table (from TOML or JSON) into a dataclass, with errors that a person can act on.

Every error names the place, the key, the value, what is allowed and, for a typo, the nearest right word.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_origin, get_type_hints

from workloads.errors import UserError

T = TypeVar("T")

_KINDS = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}


class SpecError(UserError, ValueError):
    """A table does not say what it has to say; the message says where and how to fix it."""


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return `` (did you mean "x"?)`` for the allowed word most like `word`, or an empty string."""
    match = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.5)
    return f' (did you mean "{match[0]}"?)' if match else ""


def number(low: float | None = None, above: float | None = None, below: float | None = None) -> Any:
    """Metadata for a numeric field: `low` is allowed, `above` and `below` are not."""
    return {"low": low, "above": above, "below": below}


def one_of(*words: str) -> Any:
    """Metadata for a field that holds one of `words`."""
    return {"words": words}


def by_kind(base: type[T]) -> dict[str, type[T]]:
    """Return every subclass of `base` that has a `kind` of its own, by that word, as they are defined."""
    classes: dict[str, type[T]] = {}
    for cls in base.__subclasses__():
        if kind := vars(cls).get("kind"):
            classes[kind] = cls
        classes |= by_kind(cls)
    return classes


def read(cls: type[T], table: object, where: str) -> T:
    """Make a `cls` (a dataclass) from `table`; `where` begins each error message.

    Raises:
        SpecError: on a key that is unknown or missing, or a value of the wrong type or out of range.
    """
    if not isinstance(table, Mapping):
        raise SpecError(f"{where}: expected a table, got {table!r}")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            allowed = ", ".join(fields)
            raise SpecError(
                f'{where}: unknown key "{key}"{nearest(str(key), fields)}; allowed: {allowed}'
            )
    hints = get_type_hints(cls)
    values = {}
    for name, field in fields.items():
        if name in table:
            values[name] = _value(table[name], hints[name], field.metadata, f"{where}: {name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise SpecError(f'{where}: the key "{name}" is missing')
    return cls(**values)


def _value(value: Any, hint: Any, rules: Mapping[str, Any], where: str) -> Any:
    if hint == tuple[float, ...]:
        many = value if isinstance(value, list | tuple) else [value]
        return tuple(_value(item, float, rules, where) for item in many)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if get_origin(hint) is tuple and isinstance(value, tuple):
        return value  # read already
    if type(value) is not hint:
        raise SpecError(f"{where} = {value!r}: expected {_KINDS.get(hint, hint)}")
    if hint is float and not math.isfinite(value):
        raise SpecError(f"{where} = {value!r}: has to be a finite number")
    if "words" in rules and value not in rules["words"]:
        hint_word = nearest(value, rules["words"])
        raise SpecError(
            f"{where} = {value!r}: not known{hint_word}; allowed: {', '.join(rules['words'])}"
        )
    _check_range(value, rules, where)
    return value


def _check_range(value: Any, rules: Mapping[str, Any], where: str) -> None:
    low, above, below = (rules.get(name) for name in ("low", "above", "below"))
    if low is not None and value < low:
        raise SpecError(f"{where} = {value!r}: has to be at least {low}")
    if above is not None and not value > above:
        raise SpecError(f"{where} = {value!r}: has to be more than {above}")
    if below is not None and not value < below:
        raise SpecError(f"{where} = {value!r}: has to be less than {below}")
