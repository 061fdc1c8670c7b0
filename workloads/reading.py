"""Reads a table (from TOML or JSON) into a dataclass, with errors that a person can act on.

Every error names the place, the key, the value, what is allowed and, for a typo, the nearest right word.
"""

from __future__ import annotations

import codecs
import dataclasses
import difflib
import math
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

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


LARGEST = 2**63 - 1
"""No whole number is larger: it would fit into no array's shape and no seed."""
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""Byte-order marks of other encodings; UTF-32's begins with that of UTF-16."""


class SpecError(UserError, ValueError):
    """A table does not say what it has to say; the message says where and how to fix it."""


@contextmanager
def at(where: str) -> Iterator[None]:
    """Put `where` before the message of a SpecError that is raised within."""
    try:
        yield
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from error


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return `` (did you mean "x"?)`` for the allowed word most like `word`, or an empty string."""
    match = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.5)
    return f' (did you mean "{match[0]}"?)' if match else ""


def text_of(path: Path) -> str:
    """Return the text of a file in UTF-8; a byte-order mark before it is read over.

    Raises:
        SpecError: it is in another encoding, or a pipe or a device, which may have no end.
        OSError: it cannot be read.
    """
    mode = path.stat().st_mode
    if not (
        stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    ):  # a folder cannot be read: the system says so
        raise SpecError(f"{path}: is no regular file: save what it gives to one")
    content = path.read_bytes()
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            raise SpecError(f"{path}: is text in {encoding}: save it as UTF-8")
    if b"\0" in content:
        raise SpecError(f"{path}: holds zero bytes, as UTF-16 does: save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise SpecError(
            f"{path}: line {line} is not in UTF-8 (byte 0x{byte:02x}): save it as UTF-8"
        ) from error


def number(low: float | None = None, above: float | None = None, below: float | None = None) -> Any:
    """Metadata for a numeric field: `low` is allowed, `above` and `below` are not."""
    return {"low": low, "above": above, "below": below}


def one_of(*words: str) -> Any:
    """Metadata for a field that holds one of `words`, or several of them."""
    return {"words": words}


def later(default: Any, rules: Mapping[str, Any] | None = None) -> Any:
    """Return a field that came after the first release: `table_of` leaves it out at its `default`.

    So a spec that does not use it keeps its hash, and workers of older commits can read it.
    """
    return dataclasses.field(default=default, metadata={**(rules or {}), "later": True})


def table_of(record: Any) -> dict[str, Any]:
    """Return a dataclass as the plain table that `read` takes, with its `kind` first where it has one."""
    table = {"kind": record.kind} if hasattr(record, "kind") else {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if "later" not in field.metadata or value != field.default:
            table[field.name] = _plain(value)
    return table


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return table_of(value)
    if isinstance(value, tuple) and any(_is_nested(entry) for entry in value):
        return [_plain(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return value


def _is_nested(entry: Any) -> bool:
    return dataclasses.is_dataclass(entry) or isinstance(entry, tuple)


def by_kind(base: type[T]) -> dict[str, type[T]]:
    """Return every subclass of `base` that has a `kind` of its own, by that word, as they are defined."""
    classes: dict[str, type[T]] = {}
    for cls in base.__subclasses__():
        if kind := vars(cls).get("kind"):
            classes[kind] = cls
        classes |= by_kind(cls)
    return classes


def text(pattern: str = ".+", meant: str = "a text that is not empty") -> Any:
    """Metadata for a text that matches `pattern` as a whole; `meant` says so in an error."""
    return {"pattern": re.compile(pattern, re.DOTALL), "meant": meant}


def check_word(word: str, allowed: Iterable[str], where: str) -> None:
    """Raise SpecError where `word` is not `allowed`; `where` ends with the key that holds it."""
    words = list(allowed)
    if word not in words:
        raise SpecError(
            f"{where} = {word!r}: not known{nearest(word, words)}; allowed: {', '.join(words)}"
        )


def read(cls: type[T], table: Any, where: str) -> T:
    """Make a `cls` (a dataclass) from `table`; `where` begins each error message.

    A field is a number, a text, true or false; such or None; a tuple of them, for which the table may
    hold a single one; another dataclass, or a tuple of it; or a dict of these, whose keys are free.

    Raises:
        SpecError: on a key that is unknown or missing, or a value of the wrong type or out of range.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    table = _table(table, where)
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


def read_kind(kinds: Mapping[str, type[T]], table: Any, where: str) -> T:
    """Read the rest of `table` as the class that its `kind` names."""
    kind = table.get("kind") if isinstance(table, Mapping) else None
    if not isinstance(kind, str) or kind not in kinds:
        guess = nearest(kind, kinds) if isinstance(kind, str) else ""
        allowed = ", ".join(sorted(kinds))
        raise SpecError(f"{where}: kind = {kind!r}: not known{guess}; allowed: {allowed}")
    parameters = {key: value for key, value in table.items() if key != "kind"}
    return read(kinds[kind], parameters, f"{where} ({kind})")


def _value(value: Any, hint: Any, rules: Mapping[str, Any], where: str) -> Any:
    if "reader" in rules:  # a function of the value and of `where`
        return rules["reader"](value, where)
    origin = get_origin(hint)
    if origin is UnionType:  # X | None: a table has no None, the key is left out
        return _value(value, get_args(hint)[0], rules, where)
    if origin is tuple:
        return _several(value, get_args(hint)[0], rules, where)
    if origin is dict:
        values, item = _table(value, where), get_args(hint)[1]
        return {key: _value(entry, item, rules, f"{where}.{key}") for key, entry in values.items()}
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else read(hint, value, where)  # type: ignore[arg-type]
    if isinstance(value, int) and abs(value) > LARGEST:
        raise SpecError(f"{where}: a number of {len(str(abs(value)))} digits: at most {LARGEST}")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not hint:
        raise SpecError(f"{where} = {value!r}: expected {_KINDS.get(hint, hint)}")
    if hint is float and not math.isfinite(value):
        raise SpecError(f"{where} = {value!r}: has to be a finite number")
    if "words" in rules:
        check_word(value, rules["words"], where)
    if "pattern" in rules and not rules["pattern"].fullmatch(value):
        raise SpecError(f"{where} = {value!r}: expected {rules['meant']}")
    _check_range(value, rules, where)
    return value


def _table(value: Any, where: str) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise SpecError(f"{where}: expected a table, got {value!r}")
    return value


def _several(value: Any, item: Any, rules: Mapping[str, Any], where: str) -> tuple[Any, ...]:
    """Read a list, or the single value in its stead; texts are different, and at least one."""
    if dataclasses.is_dataclass(item):
        if not isinstance(value, list | tuple):
            raise SpecError(f"{where}: expected a list of tables, got {value!r}")
        return tuple(_value(entry, item, rules, f"{where}[{i}]") for i, entry in enumerate(value))
    entries = value if isinstance(value, list | tuple) else [value]
    values = tuple(_value(entry, item, rules, where) for entry in entries)
    if item is str and (not values or len(set(values)) < len(values)):
        raise SpecError(f"{where} = {value!r}: expected at least one text, and none twice")
    return values


def _check_range(value: Any, rules: Mapping[str, Any], where: str) -> None:
    low, above, below = (rules.get(name) for name in ("low", "above", "below"))
    if low is not None and value < low:
        raise SpecError(f"{where} = {value!r}: has to be at least {low}")
    if above is not None and not value > above:
        raise SpecError(f"{where} = {value!r}: has to be more than {above}")
    if below is not None and not value < below:
        raise SpecError(f"{where} = {value!r}: has to be less than {below}")
