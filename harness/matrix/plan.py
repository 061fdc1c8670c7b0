"""From `matrix.toml` to `plan.json`: the units, each an ordinary `run` on one whole machine.

A plan is immutable, and its folder is named after what it holds: the same file gives the same plan.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from harness import paths
from harness.matrix import reading, stored
from harness.matrix.reading import MOST_UNITS, Check, MatrixError, as_list
from harness.matrix.stored import PlanTable, UnitTable
from harness.results import serialise, store
from workloads import spec, toml
from workloads.errors import UserError
from workloads.places import program
from workloads.reading import text_of
from workloads.spec import Workload

SCHEMA = 1
PLAN = "plan.json"
MATRICES = "matrices"
"""The folder in results/ that matrices are kept in."""


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


def words(options: Mapping[str, Any]) -> list[str]:
    """Options as words of a command line: ``{"quick": True, "mode": ["a"]}`` is ``--quick --mode=a``."""
    line = []
    for key, value in options.items():
        for item in as_list(value):
            if item is not False:
                line.append(f"--{key}" if item is True else f"--{key}={item}")
    return line


def make(file: Path, results: Path, check: Check) -> Plan:
    """Plan the matrix of a file; return the plan, written before or now.

    Raises:
        MatrixError, SpecError: the file says something else than it may; nothing is written.
    """
    contents = reading.read(file, check)
    over, always, slurm = contents.over, contents.always, contents.slurm
    loaded = {name: _load(name, file) for name in over["workload"]}
    _require_names_of_their_own(loaded, file)
    texts = {name: _text(name, workload, file) for name, workload in loaded.items()}
    units = tuple(
        Unit(_stored(name), device, seed, replicate + 1)
        for name, device, seed, replicate in product(
            over["workload"], over["device"], over["seed"], range(contents.replicates)
        )
    )
    if len(units) > MOST_UNITS:
        raise MatrixError(f"{file}: {len(units):,} units; a matrix has at most {MOST_UNITS:,}")
    table = {
        "schema": SCHEMA,
        "always": always,
        "slurm": slurm,
        "units": list(map(asdict, units)),
    }
    digest = serialise.digest({"contents": table, "files": texts}, 8)
    folder = results.absolute() / MATRICES / f"{_slug(file.stem)}-{digest}"
    if not (folder / PLAN).exists():
        _write(folder, table, {_stored(name): text for name, text in texts.items() if text})
    return Plan(folder, always, slurm, units)


def load(folder: Path) -> Plan:
    """Read a plan. Raises MatrixError."""
    path = folder / PLAN
    try:
        table = json.loads(path.read_bytes())
    except OSError as error:
        raise MatrixError(f"{path}: cannot be read: {error.strerror}; is it a matrix?") from error
    except (ValueError, RecursionError) as error:
        raise MatrixError(f"{path}: no plan of a matrix ({error}); plan it again") from error
    schema = table.get("schema") if isinstance(table, dict) else None
    if isinstance(schema, int) and schema != SCHEMA:
        raise MatrixError(
            f"{path}: has schema {schema}, this samestep reads {SCHEMA}: update samestep"
        )
    if problem := stored.wrong(table, PlanTable):
        raise MatrixError(f"{path}: no plan of a matrix ({problem}); plan it again")
    units = tuple(_unit(unit) for unit in table["units"])
    return Plan(folder.absolute(), table["always"], table["slurm"], units)


def _unit(table: UnitTable) -> Unit:
    return Unit(table["workload"], table["device"], table.get("seed"), table["replicate"])


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


def _load(name: str, file: Path) -> Workload:
    try:
        return spec.load(_path(name, file))
    except UserError as error:
        raise reading.wrong(file, "over", "workload", name, error) from error


def _require_names_of_their_own(loaded: Mapping[str, Workload], file: Path) -> None:
    """Raise MatrixError where two workloads have one name: the report would take them for one."""
    first: dict[str, str] = {}
    for name, workload in loaded.items():
        namesake = first.setdefault(workload.name, name)
        if namesake != name:
            allowed = f'"{namesake}" is named {workload.name} too: rename one of the files'
            raise reading.wrong(file, "over", "workload", name, allowed)


def _text(name: str, workload: Workload, file: Path) -> str:
    """The text of a workload's own file, "" of one of the catalogue. Raises MatrixError.

    Data of the user's own is described in it, for nodes that do not have its files.
    """
    path = _path(name, file)
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
