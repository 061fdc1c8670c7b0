"""From what a check was asked for to the run that answers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import plan, store, summaries
from harness.gate import baseline
from harness.gate.check import Check, undecided
from harness.plan import Cell
from harness.run import Request, usable_cpus
from harness.run import request as make_request
from harness.setting import Measuring
from workloads.reading import SpecError

SECONDS = 120.0
"""For each cell and what it is held against, for all of their timed rounds, unless told otherwise."""

SPARED = 1
"""Processors left to the rest of the machine, unless told otherwise: a gate is for busy machines, and
threads that wait for each other come to a halt where one of them has to share its processor."""

CAPTURE = Measuring(launches=12, rounds=4, seconds=0.2, checking=True)
"""How a baseline is measured, and a check in as many launches as it takes. Twice the rounds were tried:
launches differed as much, so that it is more of them that tell more."""


def against(word: str, *, frameworks: Sequence[str], modes: Sequence[str], threshold: float,
            margin: float, budget: float | None, **options: Any) -> Request:  # fmt: skip
    """Return the request of a run in which every cell is timed beside the one it is held against.

    `word` is NAME[@VERSION][/MODE], or git:REF for the frameworks' adapters at another commit.

    Raises:
        SpecError, RecipeError: there is no such thing, or nothing to hold a cell against.
    """
    other, _, mode = word.partition("/") if not word.startswith("git:") else (word, "", "")
    options["threads"] = options.get("threads") or _threads()
    head = make_request(frameworks=frameworks, modes=modes, **options)
    names = [recipe.name for recipe in head.recipes.values() if not recipe.arbiter]
    others = [f"{name}@{word}" for name in names] if word.startswith("git:") else [other]
    base = make_request(frameworks=others, modes=[mode] if mode else modes, **options)
    pairs = [
        (one, found) for one in head.cells if not head.recipes[one.framework].arbiter
        if (found := _counterpart(one, base, mode)) is not None
    ]  # fmt: skip
    if not pairs:
        raise SpecError(f"--against {word}: {_why_nothing(head, base)}")
    cells = [cell for pair in pairs for cell in pair]
    check = Check(word, [(one.id, other.id) for one, other in pairs], threshold, margin)
    return replace(
        head,
        recipes={**base.recipes, **head.recipes},
        cells=list(dict.fromkeys(cells)),
        measuring=_measuring(budget, len(pairs)),
        undecided=undecided,
        check=check,
    )


def stored(table: Mapping[str, Any], *, frameworks: Sequence[str], workloads: Sequence[str],
           modes: Sequence[str], threshold: float, margin: float, budget: float | None,
           **options: Any) -> Request:  # fmt: skip
    """Return the request of a run of a baseline's cells: all of them, or those asked for.

    What decides on the figures (epochs, steps, seed, threads) is the baseline's, where it is not given.
    """
    parts = {cell: summaries.split(cell) for cell in table["cells"]}
    known = dict.fromkeys(one["framework"] for one in parts.values())
    chosen = plan.choose(frameworks, [*known], "framework of the baseline")
    wanted = list(dict.fromkeys(one["workload"] for one in parts.values()))
    named = {Path(one).stem: one for text in workloads for one in text.split(",")} or {
        one: one for one in wanted
    }
    checked = [
        cell for cell, one in parts.items()
        if one["framework"] in chosen and one["workload"] in named
        and (not modes or one["mode"] in modes)
    ]  # fmt: skip
    if not checked:
        raise SpecError(f"nothing of what was asked for is in the baseline: {', '.join(parts)}")
    usual = {**table["asked"], "threads": table["threads"]}
    given = {key: value for key, value in options.items() if value is not None}
    dtypes = {parts[cell]["dtype"] for cell in checked}
    given["dtype"] = dtypes.pop() if len(dtypes) == 1 else "all"
    asked = make_request(
        frameworks=chosen,
        workloads=[named[one] for one in wanted if one in named],
        modes=modes,
        **{**{key: value for key, value in usual.items() if value is not None}, **given},
    )
    cells = [cell for cell in asked.cells if cell.id in checked]
    check = Check(
        f"the baseline {table['name']}",
        [(one, one) for one in checked],
        threshold,
        margin,
        stored=True,
    )
    return replace(
        asked,
        cells=cells,
        measuring=_measuring(budget, len(cells)),
        undecided=undecided,
        check=check,
        baseline=table,
    )


def capture(**options: Any) -> Request:
    """Return the request of a run that is to be a baseline."""
    options["threads"] = options.get("threads") or _threads()
    asked = make_request(**options)
    cells = [cell for cell in asked.cells if not asked.recipes[cell.framework].arbiter]
    return replace(asked, cells=cells, measuring=CAPTURE)


def table_of(text: str, results: Path) -> Mapping[str, Any]:
    """Return the baseline that `text` means: a file, a name among those kept, or a run.

    Raises StoreError.
    """
    for path in (Path(text), results / baseline.FOLDER / f"{text}.json"):
        if path.is_file():
            return baseline.read(path).told
    try:
        return baseline.of(store.read(store.resolve(results, text)), "run")
    except store.StoreError as error:
        kept = ", ".join(baseline.names(results / baseline.FOLDER)) or "none"
        raise store.StoreError(
            f"--baseline {text}: no file, and baselines kept are: {kept}; {error}"
        ) from error


def _threads() -> int:
    return max(1, len(usable_cpus()) - SPARED)


def _measuring(budget: float | None, pairs: int) -> Measuring:
    return replace(CAPTURE, budget=budget or SECONDS * pairs)


def _counterpart(one: Cell, base: Request, mode: str) -> Cell | None:
    """Return the cell of `base` that computes what `one` does, by its framework of another arm."""
    wanted = (one.workload, mode or one.mode, one.device, one.precision)
    alike = [
        other for other in base.cells
        if other != one and (other.workload, other.mode, other.device, other.precision) == wanted
    ]  # fmt: skip
    own = [other for other in alike if base_name(other.framework) == base_name(one.framework)]
    return next(iter(own or alike), None)


def base_name(label: str) -> str:
    """Return a framework's name without its version."""
    return label.partition("@")[0]


def _why_nothing(head: Request, base: Request) -> str:
    ours, theirs = (
        ", ".join(sorted({f"{cell.framework}/{cell.mode}" for cell in one.cells}))
        for one in (head, base)
    )
    if ours == theirs:
        return f"no cell is held against itself ({ours}); name another version, mode or commit"
    return f"no cell of {theirs} computes what one of {ours} does; name a mode too, as NAME/MODE"
