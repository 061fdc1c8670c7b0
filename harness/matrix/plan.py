"""From `matrix.toml` to `plan.json`: the units, each an ordinary `run` on one whole machine.

A plan is immutable, and its folder is named after what it holds: the same file gives the same plan.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from harness import paths
from harness.results import serialise, store
from workloads import spec, toml
from workloads.errors import UserError
from workloads.places import program
from workloads.reading import nearest, text_of

SCHEMA = 1
PLAN = "plan.json"
MATRICES = "matrices"
"""The folder in results/ that matrices are kept in."""

MOST_UNITS = 100_000

_OVER = ("workload", "seed", "device")
_TABLES = {"always", "over", "nodes", "options"}
_TOGETHER = ("framework", "mode", "dtype")
_REFUSED = {
    **dict.fromkeys(_OVER, "it belongs in [over]"),
    "out": "a unit's run is kept in the matrix",
    "resume": "a unit that was cut short begins anew",
    "json": "nobody reads what a unit prints",
    "anonymous": "the map of units names nodes",
    **dict.fromkeys(
        ("batch", "width"), "a sweep is one run's; write a workload file for each value"
    ),
    "seeds": "seeds are an axis: seed in [over]",
}
_SLURM_NAMES = """
    array job-name exclusive oversubscribe mem mem-per-cpu requeue no-requeue acctg-freq signal nodes
    ntasks output error open-mode input parsable wrap wait chdir exclude test-only
"""
_SLURM_OURS = frozenset(_SLURM_NAMES.split())
_KEY = re.compile(r"[a-z][a-z0-9-]*")


class MatrixError(UserError):
    """A matrix cannot be planned, found or gone on with; the text is one line for the user."""


@dataclass(frozen=True)
class Unit:
    """One run: a workload, a device and a seed, on one machine. `replicate` counts from 1."""

    workload: str
    device: str
    seed: int | None
    replicate: int

    @property
    def title(self) -> str:
        """The unit in words."""
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"{Path(self.workload).stem}, {self.device}{seed}, replicate {self.replicate}"


@dataclass(frozen=True)
class Plan:
    """A planned matrix. A unit's number is its place in `units`."""

    folder: Path
    always: Mapping[str, Any]
    slurm: Mapping[str, Any]
    units: tuple[Unit, ...]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    def arguments(self, unit: Unit) -> list[str]:
        """The options of the unit's `run`, as the command line has them."""
        seed = {} if unit.seed is None else {"seed": unit.seed}
        about = {"workload": self.workload(unit.workload), "device": unit.device, **seed}
        return words({**self.always, **about})

    def workload(self, name: str) -> str:
        """A workload of the plan as `run` is told it: its name, or where the matrix has its file."""
        return str(self.folder / name) if name.endswith(".toml") else name

    def has(self, number: int) -> bool:
        """Whether there is a unit of that number."""
        return 0 <= number < len(self.units)

    def unit(self, number: int) -> Unit:
        """The unit of that number. Raises MatrixError."""
        if not self.has(number):
            raise MatrixError(f"no unit {number}: {self.name} has 0 to {len(self.units) - 1}")
        return self.units[number]


def as_list(value: Any) -> list[Any]:
    """The values of an option that may be repeated: a list as it is, none of nothing."""
    return value if isinstance(value, list) else [] if value is None else [value]


def words(options: Mapping[str, Any]) -> list[str]:
    """Options as words of a command line: ``{"quick": True, "mode": ["a"]}`` is ``--quick --mode=a``."""
    line = []
    for key, value in options.items():
        for item in as_list(value):
            if item is not False:
                line.append(f"--{key}" if item is True else f"--{key}={item}")
    return line


def make(file: Path, results: Path, check: Callable[[list[str]], None]) -> Plan:
    """Plan the matrix of a file; return the plan, written before or now.

    `check` raises UserError where `run` would not take these words.

    Raises:
        MatrixError, SpecError: the file says something else than it may; nothing is written.
    """
    table = _read(file)
    always, over = _always(table, file), _over(table, file)
    slurm, replicates = _slurm(table, file), _replicates(table, file)
    texts = {name: _workload(name, file) for name in over["workload"]}
    units = tuple(
        Unit(_stored(name), device, seed, replicate + 1)
        for name, device, seed, replicate in product(
            over["workload"], over["device"], over["seed"], range(replicates)
        )
    )
    if not 0 < len(units) <= MOST_UNITS:
        raise MatrixError(f"{file}: {len(units):,} units; a matrix has 1 to {MOST_UNITS:,}")
    contents = {
        "schema": SCHEMA,
        "always": always,
        "slurm": slurm,
        "units": list(map(asdict, units)),
    }
    digest = serialise.digest({"contents": contents, "files": texts}, 8)
    folder = results.absolute() / MATRICES / f"{_slug(file.stem)}-{digest}"
    try:
        for device in over["device"]:
            check(words({**always, "device": device}))
    except UserError as error:
        raise MatrixError(f"{file}: {error}") from error
    if not (folder / PLAN).exists():
        _write(folder, contents, {_stored(name): text for name, text in texts.items() if text})
    return Plan(folder, always, slurm, units)


def load(folder: Path) -> Plan:
    """Read a plan. Raises MatrixError."""
    path = folder / PLAN
    try:
        table = json.loads(path.read_bytes())
        if table["schema"] != SCHEMA:
            raise MatrixError(
                f"{path}: has schema {table['schema']}, this samestep reads {SCHEMA}: update samestep"
            )
        units = tuple(Unit(**unit) for unit in table["units"])
        return Plan(folder.absolute(), table["always"], table["slurm"], units)
    except OSError as error:
        raise MatrixError(f"{path}: cannot be read: {error.strerror}; is it a matrix?") from error
    except (ValueError, KeyError, TypeError) as error:
        raise MatrixError(f"{path}: no plan of a matrix ({error}); plan it again") from error


def resolve(results: Path, text: str | None) -> Path:
    """The folder of a matrix: a path, a name, the beginning of it, or the newest. Raises MatrixError."""
    if text and (Path(text) / PLAN).is_file():
        return Path(text).absolute()
    plans = sorted((results / MATRICES).glob(f"*/{PLAN}"), key=lambda path: path.stat().st_mtime)
    matches = [path.parent for path in plans if text is None or path.parent.name.startswith(text)]
    if text is None and matches:
        return matches[-1].absolute()
    if len(matches) == 1:
        return matches[0].absolute()
    if not plans:
        raise MatrixError(
            f"{results / MATRICES}: no matrix there; make one with `{program()} matrix plan FILE`"
        )
    shown = ", ".join(path.name for path in matches or [path.parent for path in plans[-3:]])
    raise MatrixError(f'"{text}" names {len(matches)} matrices; there are: {shown}')


def _read(file: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(text_of(file))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise MatrixError(f"{file}: not valid TOML: {error}") from error
    for key in table:
        if key not in _TABLES:
            raise MatrixError(
                f"{file}: [{key}] is no part of a matrix{nearest(key, _TABLES)};"
                " there are [always], [over], [nodes] and [options.slurm]"
            )
        if not isinstance(table[key], dict):
            raise MatrixError(f"{file}: {key} is a table: write [{key}]")
    return table


def _always(table: Mapping[str, Any], file: Path) -> dict[str, Any]:
    options = dict(table.get("always", {}))
    for key, value in options.items():
        if key in _REFUSED:
            raise MatrixError(f"{file}: [always] {key}: leave it out: {_REFUSED[key]}")
        if key == "threads" and (len(as_list(value)) > 1 or "," in str(value)):
            raise MatrixError(f"{file}: [always] threads: give one number: a sweep is one run's")
        for item in as_list(value):
            if not isinstance(item, bool | int | float | str):
                raise MatrixError(f"{file}: [always] {key}: give a text, a number, true, or a list")
            path = str(item).partition("=")[2] if key == "interpreter" else str(item)
            if key in ("data-dir", "interpreter") and not Path(paths.expanded(path)).is_absolute():
                raise MatrixError(f'{file}: [always] {key} "{item}": give an absolute path')
    return options


def _over(table: Mapping[str, Any], file: Path) -> dict[str, list[Any]]:
    over = table.get("over", {})
    for key in over:
        if key in _TOGETHER:
            raise MatrixError(
                f"{file}: [over] {key}: put it in [always]: cells that are compared share a machine"
                " and its rounds, so one unit has them all"
            )
        if key not in _OVER:
            raise MatrixError(
                f"{file}: [over] {key}: units differ by {', '.join(_OVER)}; put {key} in [always]"
            )
    axes = {"device": ["cpu"], "seed": [None], **over}
    if "workload" not in axes:
        raise MatrixError(f'{file}: [over] has no workload: add workload = ["mlp-digits"]')
    for key, values in axes.items():
        values = axes[key] = values if isinstance(values, list) else [values]
        kind = int if key == "seed" else str
        fits = [type(value) is kind or value is None for value in values]
        if not values or not all(fits) or len({*values}) < len(values):
            raise MatrixError(
                f"{file}: [over] {key}: give a list of different"
                f" {'whole numbers' if kind is int else 'texts'}"
            )
    if any(seed is not None and seed < 0 for seed in axes["seed"]):
        raise MatrixError(f"{file}: [over] seed: 0 or more")
    if "auto" in axes["device"]:
        raise MatrixError(f"{file}: [over] device: cpu or cuda: auto would hang on the node")
    return axes


def _replicates(table: Mapping[str, Any], file: Path) -> int:
    nodes = table.get("nodes", {})
    if unknown := [key for key in nodes if key != "replicates"]:
        raise MatrixError(f"{file}: [nodes] {unknown[0]}: there is replicates alone")
    replicates = nodes.get("replicates", 1)
    if type(replicates) is not int or replicates < 1:
        raise MatrixError(f"{file}: [nodes] replicates: a whole number, 1 or more")
    return replicates


def _slurm(table: Mapping[str, Any], file: Path) -> dict[str, Any]:
    engines = table.get("options", {})
    if unknown := [key for key in engines if key != "slurm"]:
        raise MatrixError(f"{file}: [options.{unknown[0]}]: there is [options.slurm] alone")
    options = dict(engines.get("slurm", {}))
    for key, value in options.items():
        if not _KEY.fullmatch(key) or not isinstance(value, bool | int | str):
            raise MatrixError(
                f"{file}: [options.slurm] {key}: an option of sbatch without its dashes,"
                ' with a text or a number, as partition = "cpu"'
            )
        if key in _SLURM_OURS:
            raise MatrixError(
                f"{file}: [options.slurm] {key}: samestep sets it itself: leave it out"
            )
    return options


def _workload(name: str, file: Path) -> str:
    """The text of a workload's own file, "" of one of the catalogue. Raises SpecError.

    Data of the user's own is described in it, for nodes that do not have its files.
    """
    path = _path(name, file)
    workload = spec.load(path)
    if not path.endswith(".toml"):
        return ""
    text = text_of(Path(path))
    if workload.files is None:
        return text
    table = tomllib.loads(text)
    data = workload.to_dict()["data"]
    about = {"file": str(workload.files.path), "dataset": data["dataset"]}
    table["data"] |= {**about, "user_data": data["user_data"]}
    try:
        return toml.dumps(table).encode().decode()
    except UnicodeEncodeError as error:
        raise MatrixError(f"{path}: [data]: the path of its file is not in UTF-8") from error


def _path(name: str, file: Path) -> str:
    return str((file.parent / paths.expanded(name)).absolute()) if name.endswith(".toml") else name


def _stored(name: str) -> str:
    """A workload as the plan names it; its own file is copied into the matrix."""
    if not name.endswith(".toml"):
        return name
    return f"workloads/{hashlib.sha256(name.encode()).hexdigest()[:6]}/{Path(name).name}"


def _slug(stem: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", stem).strip("-")[:40] or "matrix"


def _write(folder: Path, contents: Mapping[str, Any], files: Mapping[str, str]) -> None:
    """Write a matrix's folder; the plan comes last, so that what has one is whole."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        store.write(folder / name, text)
    folder.mkdir(parents=True, exist_ok=True)
    store.write(folder / PLAN, json.dumps(contents, indent=1) + "\n")
