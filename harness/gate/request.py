"""From what a check was asked for to the run that answers it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import selection
from harness.environments import variants
from harness.gate import baseline
from harness.gate.evaluate import Check, undecided
from harness.machine import processors
from harness.paths import project_root
from harness.results import store, tables
from harness.runner.context import Measuring
from harness.runner.plan import Cell
from harness.runner.request import Options, Request
from harness.runner.request import request as make_request
from workloads.reading import SpecError

SECONDS = 120.0
"""For each cell and what it is held against, for all of their timed rounds, without --budget."""

CAPTURE = Measuring(launches=12, rounds=12, checking=True)
"""How a baseline is measured, and a check in as many launches as it takes."""


def against(
    word: str,
    *,
    frameworks: Sequence[str],
    modes: Sequence[str],
    threshold: float,
    margin: float,
    budget: float | None,
    **options: Any,
) -> Request:
    """Return the request of a run in which every cell is timed beside the one it is held against.

    `word` is NAME[@VERSION][/MODE], or git:REF for the frameworks' adapters at another commit.

    Raises:
        SpecError, FrameworkSpecError: there is no such thing, or nothing to hold a cell against.
    """
    target, mode = _target(word)
    head = make_request(Options(frameworks=frameworks, modes=modes, **options))
    names = [spec.name for spec in head.framework_specs.values() if not spec.reference]
    base_frameworks = (
        [f"{name}@{word}" for name in names] if word.startswith(variants.GIT) else [target]
    )
    base_modes = [mode] if mode else modes
    base = make_request(Options(frameworks=base_frameworks, modes=base_modes, **options))
    pairs = _pairs(head, base, mode)
    if not pairs:
        raise SpecError(f"--against {word}: {_why_nothing(head, base)}")
    cells = dict.fromkeys(cell for pair in pairs for cell in pair)
    ids = [(cell.id, counterpart.id) for cell, counterpart in pairs]
    check = Check(word, ids, threshold, margin)
    return replace(
        head,
        framework_specs={**base.framework_specs, **head.framework_specs},
        cells=list(cells),
        measuring=_measuring(budget, len(pairs)),
        undecided=undecided,
        extra_manifest={"check": vars(check)},
    )


def _target(word: str) -> tuple[str, str]:
    """Return the framework and the mode ("" for each cell's own) of a word after --against."""
    of_git = variants.GIT in word  # and so may have slashes of its own
    target, _, mode = (word, "", "") if of_git else word.partition("/")
    if not target.strip():
        raise SpecError(f'--against "{word}": give NAME[@VERSION][/MODE], or git:REF')
    return target, mode


def stored(
    table: Mapping[str, Any],
    *,
    frameworks: Sequence[str],
    workloads: Sequence[str],
    modes: Sequence[str],
    threshold: float,
    margin: float,
    budget: float | None,
    **options: Any,
) -> Request:
    """Return the request of a run of a baseline's cells: all of them, or those asked for.

    What decides on the figures (epochs, steps, seed, threads, the arithmetic) is the baseline's, where
    it is not given. A cell whose framework or mode is no more is checked too: it is missing.

    Raises:
        SpecError: what is asked for is not in the baseline, or a workload of it is not here.
    """
    words = selection.words(workloads, "workload")
    by_name = {Path(word).stem if word.endswith(".toml") else word: word for word in words}
    checked = _narrowed(
        table["cells"],
        framework=frameworks,
        workload=[*by_name],
        mode=modes,
        device=[] if options.get("device") in (None, "auto") else [options["device"]],
    )
    request = _request_of(checked, by_name, _usual(table, options))
    cells = [cell for cell in request.cells if cell.id in checked]
    pairs = [(cell, cell) for cell in checked]
    check = Check(f"the baseline {table['name']}", pairs, threshold, margin, stored=True)
    return replace(
        request,
        cells=cells,
        measuring=_measuring(budget, len(pairs)),
        undecided=undecided,
        extra_manifest={"check": vars(check)},
        attachments=baseline.attachment(table),
    )


def _request_of(
    checked: Sequence[str], workloads: Mapping[str, str], options: Mapping[str, Any]
) -> Request:
    """Return the request of a run that has the cells `checked`; `workloads` are files by their names."""
    parts = {part: _values(checked, part) for part in tables.IDENTITY}
    one_device, one_dtype = (len(parts[part]) == 1 for part in ("device", "dtype"))
    root = options.get("root") or project_root()
    of_cells = {
        "frameworks": [label for label in parts["framework"] if _is_here(label, root)],
        "workloads": [workloads.get(name, name) for name in parts["workload"]],
        "modes": [],
        "device": parts["device"][0] if one_device else "auto",
        "dtype": parts["dtype"][0] if one_dtype else "all",
    }
    return make_request(Options(**{**options, **of_cells}))


def _narrowed(cells: Iterable[str], **wanted: Sequence[str]) -> list[str]:
    """Return those of a baseline's cells whose parts are among those asked for; nothing means all."""
    left = list(cells)
    for part, words in wanted.items():
        available = _values(left, part)
        chosen = selection.choose(words, available, f"{part} of the baseline") or available
        left = [cell for cell in left if tables.split(cell)[part] in chosen]
    return left


def _values(cells: Iterable[str], part: str) -> list[str]:
    return list(dict.fromkeys(tables.split(cell)[part] for cell in cells))


def _usual(table: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a check against a baseline: its own, where they are not given."""
    original = table["asked"]
    overrides = {key: value for key, value in options.items() if value is not None}
    overrides["deterministic"] = bool(overrides.get("deterministic") or original["deterministic"])
    usual = {key: original[key] for key in ("data", "seed", "epochs", "steps")}
    usual["threads"] = min(table["threads"], processors.most_threads())
    if {"epochs", "steps"} & {*overrides}:
        usual |= {"epochs": None, "steps": None}
    return {**options, **usual, **overrides}


def _is_here(label: str, root: Path) -> bool:
    """Say whether this project still has a framework of a baseline."""
    try:
        return bool(variants.choose([label], root))
    except SpecError:
        return False


def capture(**options: Any) -> Request:
    """Return the request of a run that is to be a baseline."""
    request = make_request(Options(**options))
    cells = [
        cell for cell in request.cells if not request.framework_specs[cell.framework].reference
    ]
    if not cells:
        raise SpecError("nothing to measure: the reference says what is right, and is not measured")
    return replace(request, cells=cells, measuring=CAPTURE)


def table_of(text: str, results: Path) -> Mapping[str, Any]:
    """Return the baseline that `text` means: a file, a name among those stored, or a run.

    Raises StoreError.
    """
    for path in (Path(text), results / baseline.FOLDER / f"{text}.json"):
        if path.is_file():
            return baseline.read(path).table
    try:
        return baseline.of(store.read(store.resolve(results, text)))
    except store.StoreError as error:
        available = ", ".join(baseline.names(results / baseline.FOLDER)) or "none"
        raise store.StoreError(
            f"--baseline {text}: no such file; stored baselines: {available}; {error}"
        ) from error


def _measuring(budget: float | None, pairs: int) -> Measuring:
    return replace(CAPTURE, budget=budget or SECONDS * pairs)


def _frameworks(request: Request) -> set[str]:
    return {spec.name for spec in request.framework_specs.values() if not spec.reference}


def _pairs(head: Request, base: Request, mode: str) -> list[tuple[Cell, Cell]]:
    """Return each cell of `head` with the one that it is held against, where there is one."""
    return [
        (cell, counterpart)
        for cell in head.cells
        if not head.framework_specs[cell.framework].reference
        if (counterpart := _counterpart(cell, head, base, mode)) is not None
    ]


def _counterpart(cell: Cell, head: Request, base: Request, mode: str) -> Cell | None:
    """Return the cell of `base` that computes what `cell` of `head` does; None where there is none.

    By the same framework, where `head` and `base` have one in common.
    """
    wanted = (cell.workload, mode or cell.mode, cell.device, cell.precision)
    shared, name = _frameworks(head) & _frameworks(base), head.framework_specs[cell.framework].name
    return next(
        (
            candidate
            for candidate in base.cells
            if candidate != cell
            and (candidate.workload, candidate.mode, candidate.device, candidate.precision)
            == wanted
            and (not shared or base.framework_specs[candidate.framework].name == name)
        ),
        None,
    )


def _why_nothing(head: Request, base: Request) -> str:
    head_modes, base_modes = (
        ", ".join(sorted({f"{cell.framework}/{cell.mode}" for cell in request.cells}))
        for request in (head, base)
    )
    if _frameworks(head) & _frameworks(base) and {*head.cells} & {*base.cells}:
        return (
            f"no cell is held against itself ({base_modes}); name another version, mode or commit"
        )
    return (
        f"no cell of {base_modes} computes what one of {head_modes} does; name a mode too, as"
        " NAME/MODE"
    )
