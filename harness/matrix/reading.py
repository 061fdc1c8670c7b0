"""matrix.toml, read and checked: an error is one line with file, table, key, value, what is allowed."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from harness import paths
from workloads.errors import UserError
from workloads.reading import LARGEST, nearest, text_of

Check = Callable[[Mapping[str, Any]], None]
"""Raises UserError where `run` would not take these options, by their long names."""

MOST_UNITS = 100_000

_OVER = ("workload", "seed", "device")
_TABLES = ("always", "over", "nodes", "options")
_TOGETHER = ("framework", "mode", "dtype")
_REFUSED = {
    **dict.fromkeys(_OVER, "it belongs in [over]"),
    "out": "a unit's run is kept in the matrix",
    "resume": "a unit that was cut short begins anew",
    **dict.fromkeys(("json", "details", "help"), "nobody reads what a unit prints"),
    "anonymous": "the map of units names nodes",
    **dict.fromkeys(
        ("batch", "width"), "a sweep is one run's; write a workload file for each value"
    ),
    "seeds": "seeds are an axis: seed in [over]",
}
_SLURM_NAMES = """
    array job-name exclusive oversubscribe mem mem-per-cpu mem-per-gpu requeue no-requeue acctg-freq
    signal nodes ntasks output error open-mode input parsable wrap wait chdir exclude test-only clusters
    help usage version
"""
_SLURM_OURS = frozenset(_SLURM_NAMES.split())
_KEY = re.compile(r"[a-z][a-z0-9-]*")
_DEVICE = re.compile(r"cpu|cuda(:\d+)?")

_SHOWN = 60
"""Letters of a value in an error."""


class MatrixError(UserError):
    """A matrix cannot be planned, found or gone on with; the text is one line for the user."""


def require_file(path: Path) -> None:
    """Raise MatrixError where there is something else than a file: to read a pipe may have no end."""
    if path.exists() and not path.is_file():
        raise MatrixError(f"{path}: is no regular file: name the tar itself")


@dataclass(frozen=True)
class Contents:
    """What a matrix.toml says, with what it leaves out."""

    always: dict[str, Any]
    over: dict[str, list[Any]]
    slurm: dict[str, Any]
    replicates: int


def as_list(value: Any) -> list[Any]:
    """The values of an option that may be repeated: a list as it is, none of nothing."""
    return value if isinstance(value, list) else [] if value is None else [value]


def read(file: Path, check: Check) -> Contents:
    """Return what a file says. Raises MatrixError, SpecError."""
    try:
        table = tomllib.loads(text_of(file))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise MatrixError(f"{file}: not valid TOML: {error}") from error
    reader = _Reader(file)
    for key, value in table.items():
        if key not in _TABLES:
            hint = nearest(key, _TABLES)
            raise MatrixError(
                f"{file}: [{key}]: no table of a matrix{hint}; there are [always], [over], [nodes]"
                " and [options.slurm]"
            )
        reader.table(key, value)
    always = reader.always(table.get("always", {}), check)
    over = reader.over(table.get("over", {}))
    for about, options in (
        ("[always]", always),
        *((f'[always] on "{device}"', {**always, "device": device}) for device in over["device"]),
    ):
        try:
            check(options)
        except UserError as error:
            raise MatrixError(f"{file}: {about}: {error}") from error
    slurm, replicates = reader.slurm(table.get("options", {})), reader.nodes(table.get("nodes", {}))
    return Contents(always, over, slurm, replicates)


def wrong(file: Path, table: str, key: str, value: Any, allowed: object) -> MatrixError:
    """The error that a value is not allowed, and what is."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return MatrixError(f"{file}: [{table}] {key} = {shown}: {allowed}")


class _Reader:
    """Reads the tables of one file, each checked; all raise MatrixError."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def _wrong(self, table: str, key: str, value: Any, allowed: object) -> NoReturn:
        raise wrong(self._file, table, key, value, allowed)

    def table(self, name: str, value: Any) -> None:
        """Check that a value is a table."""
        if not isinstance(value, dict):
            text = json.dumps(value, default=str)[:_SHOWN]
            raise MatrixError(f"{self._file}: {name} = {text}: it is a table: write [{name}]")

    def always(self, options: dict[str, Any], check: Check) -> dict[str, Any]:
        """Check the options of `run`, one by one."""
        for key, value in options.items():
            if key in _REFUSED:
                self._wrong("always", key, value, f"leave it out: {_REFUSED[key]}")
            if key == "threads" and (len(as_list(value)) > 1 or "," in str(value)):
                self._wrong("always", key, value, "give one number: a sweep is one run's")
            for item in as_list(value):
                if not isinstance(item, bool | int | float | str):
                    self._wrong("always", key, value, "give a text, a number, true, or a list")
                path = str(item).partition("=")[2] if key == "interpreter" else str(item)
                is_place = key in ("data-dir", "interpreter")
                if is_place and not Path(paths.expanded(path)).is_absolute():
                    self._wrong("always", key, item, "give an absolute path")
            try:
                check({key: value})
            except UserError as error:
                self._wrong("always", key, value, error)
        return options

    def over(self, over: dict[str, Any]) -> dict[str, list[Any]]:
        """Check the axes, and return the values of each."""
        for key, value in over.items():
            if key in _TOGETHER:
                self._wrong(
                    "over",
                    key,
                    value,
                    "put it in [always]: cells that are compared share a machine and its rounds, so"
                    " one unit has them all",
                )
            if key not in _OVER:
                allowed = f"units differ by {', '.join(_OVER)}{nearest(key, _OVER)}"
                self._wrong("over", key, value, f"{allowed}; put {key} in [always]")
        if "workload" not in over:
            raise MatrixError(
                f'{self._file}: [over] has no workload: add workload = ["mlp-digits"]'
            )
        axes = {key: value if isinstance(value, list) else [value] for key, value in over.items()}
        for key, values in axes.items():
            if not values:
                self._wrong("over", key, values, f"name at least one {key}")
            for value in values:
                if allowed := _misfit(key, value):
                    self._wrong("over", key, value, allowed)
            if twice := _twice(values):
                self._wrong("over", key, twice[0], "it is there twice; name each value once")
        return {"device": ["cpu"], "seed": [None], **axes}

    def nodes(self, nodes: dict[str, Any]) -> int:
        """Return how often each unit is run."""
        for key, value in nodes.items():
            if key != "replicates":
                hint = nearest(key, ["replicates"])
                self._wrong("nodes", key, value, f"no key of [nodes]{hint}: there is replicates")
        replicates = nodes.get("replicates", 1)
        if type(replicates) is not int or not 1 <= replicates <= MOST_UNITS:
            allowed = f"a whole number from 1 to {MOST_UNITS:,}"
            self._wrong("nodes", "replicates", replicates, allowed)
        return replicates

    def slurm(self, engines: dict[str, Any]) -> dict[str, Any]:
        """Check what is for sbatch: which options there are, only Slurm knows."""
        for engine, options in engines.items():
            if engine != "slurm":
                self._wrong("options", engine, options, "there is [options.slurm] alone")
            self.table(f"options.{engine}", options)
        options = engines.get("slurm", {})
        for key, value in options.items():
            if key in _SLURM_OURS:
                self._wrong("options.slurm", key, value, "leave it out: samestep sets it itself")
            if not _KEY.fullmatch(key):
                allowed = "a long option of sbatch without its dashes, as partition"
                self._wrong("options.slurm", key, value, allowed)
            is_line = isinstance(value, str) and value.isprintable() and value.strip()
            if not (isinstance(value, bool | int) or is_line):
                allowed = 'a text of one line, a whole number, true or false, as "cpu"'
                self._wrong("options.slurm", key, value, allowed)
        return dict(options)


def _misfit(key: str, value: Any) -> str:
    """What an axis takes instead of a value; nothing where it takes it."""
    if key == "seed":
        fits = type(value) is int and 0 <= value <= LARGEST
        return "" if fits else f"a whole number from 0 to {LARGEST}"
    if key == "device":
        if value == "auto":
            return "cpu, cuda, or cuda:1 for the second card: auto would hang on the node"
        fits = isinstance(value, str) and _DEVICE.fullmatch(value) is not None
        return "" if fits else "cpu, cuda, or cuda:1 for the second card"
    return "" if isinstance(value, str) and value else "a workload's name, or its file"


def _twice(values: Iterable[Any]) -> list[Any]:
    """The values that are there a second time; cuda is cuda:0."""
    seen: set[Any] = set()
    again = []
    for value in values:
        name = "cuda:0" if value == "cuda" else value
        if name in seen:
            again.append(value)
        seen.add(name)
    return again
