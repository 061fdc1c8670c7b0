"""A small made-up run with an event of every kind, and ways to damage one field of it."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.results import store
from tests.harness.report.conftest import manifest
from tests.harness.report.made_up import ReportRun
from tests.parity_event import parity_event

CELLS = [
    f"mlp-digits/{name}/cpu/{dtype}"
    for name, dtype in (
        ("pytorch/eager", "float32"),
        ("jax/jit", "float32"),
        ("reference/numpy", "float64"),
    )
]

VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1e400,
    10**30,
    "",
    "text",
    "1",
    [],
    [None],
    [["a"]],
    {},
    {"a": 1},
    {"a": None},
)
"""What a field is set to: every type of JSON, and numbers that no field means."""

GONE = object()
"""A field that is taken out."""

Place = tuple[str | int, ...]


def damageable_run(results: Path) -> Path:
    """A run that ended well, with all that a report may show."""
    plan = manifest(CELLS, parity_steps=2, launches=2, rounds=2)
    run = ReportRun(results, {**plan, "energy": {"sources": [], "reason": "no counter"}})
    run.begin()
    run("processors", None, processors=[0, 1], waited=2.0)
    run("framework-building", framework="jax", text="building")
    run("framework-unavailable", framework="mxnet", title="MXNet", device="cpu", reason="none")
    run("workload-skipped", workload="other", reason="its data are absent")
    run("start", workload="mlp-digits", sha256={"dense1.weight": "ab" * 32})
    run("reference-run", workload="mlp-digits", steps=2, seconds=0.1)
    run("in-turn", workload="mlp-digits", turn=0, cells=CELLS)
    for cell in CELLS:
        _whole_cell(run, cell)
    run("looked", workload="mlp-digits", launches=1, undecided=[CELLS[:2]])
    run(
        "standing",
        workload="mlp-digits",
        launches=2,
        pairs=1,
        open=0,
        a=CELLS[0],
        b=CELLS[1],
        ratio=2.0,
        low=1.9,
        high=2.1,
    )
    run("stopped", workload="mlp-digits", reason="all pairs are decided")
    run.end()
    return run.folder


def _whole_cell(run: ReportRun, cell: str) -> None:
    run.open_cell(cell)
    run("parity", cell, **parity_event())
    run.train(cell)
    run.score_classes(cell, 0.97)
    run(
        "trained",
        cell,
        steps=675,
        seconds=4.2,
        losses=[2.3, 1.9],
        final_loss=0.01,
        curve={"steps": [1, 2], "seconds": [0.1, 0.2], "losses": [2.3, 1.9]},
    )
    run("latency", cell, batch=1, calls=10, p50=1e-4, p90=2e-4, p99=4e-4, seconds=0.1)
    run("limits", cell, rates={"float32 product": 1e11, "copy": 1e10}, seconds=0.5)
    run("clock", cell, steps=5, seconds=1.0, device_seconds=0.9, ratio=1.1)
    for launch in (1, 2):
        run(
            "warmed",
            cell,
            launch=launch,
            twin=False,
            steady_from=1,
            seconds=0.5,
            seconds_a_step=[0.01, 0.01],
        )
        run("calibration", workload="mlp-digits", turn=0, launch=launch, round=1, rate=1e9)
    run(
        "launched",
        cell,
        launch=2,
        twin=False,
        import_seconds=1.0,
        build_seconds=0.1,
        first_step_seconds=0.1,
    )
    curve = {"steps": [10, 20], "seconds": [0.1, 0.2], "accuracies": [0.5, 0.96]}
    again = {"seconds": 1.0, "examples": 360, "accuracy": 0.96, "diverged": False, "curve": curve}
    run("retrained", cell, launch=2, seed=1, **again)
    run("peaked", cell, launch=2, twin=False, import_rss=2**20, peak_rss=2**28, pss=2**27)
    run.time_slices(cell, rounds=2, launches=2)
    run(
        "twin-slice",
        cell,
        launch=1,
        round=1,
        kind="train",
        steps=100,
        samples=3200,
        seconds=0.1,
        cpu_seconds=0.1,
        noise=["the load rose"],
        joules=1.0,
    )
    run("cell-done", cell)


def parts(folder: Path) -> list[Any]:
    """The manifest, and the first event of each kind: what can be damaged."""
    lines = map(json.loads, (folder / store.JOURNAL).read_text().splitlines())
    first: dict[str, Any] = {}
    for event in lines:
        first.setdefault(event["event"], event)
    return [json.loads((folder / store.MANIFEST).read_text()), *first.values()]


def places(value: Any, before: Place = ()) -> Iterator[Place]:
    """Where each field of a value stands, those within others too; of a list, the first item."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value[:1])
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        yield (*before, key)
        yield from places(inner, (*before, key))


def damaged(value: Any, place: Place, new: Any) -> Any:
    """A copy of `value` with another value at a place, or none."""
    changed = copy.deepcopy(value)
    holder = changed
    for key in place[:-1]:
        holder = holder[key]
    if new is GONE:
        del holder[place[-1]]
    else:
        holder[place[-1]] = new
    return changed


def damage(folder: Path, number: int, place: Place, new: Any) -> str:
    """Damage one field of a run: of its manifest (0), or of an event in all of the events of its kind."""
    part = parts(folder)[number]
    text = (folder / store.JOURNAL).read_text()
    if number == 0:
        (folder / store.MANIFEST).write_text(json.dumps(damaged(part, place, new)))
    else:
        events = map(json.loads, text.splitlines())
        kind, rest = part["event"], []
        for event in events:
            if event["event"] == kind and has(event, place):
                event = damaged(event, place, new)
            rest.append(json.dumps(event))
        (folder / store.JOURNAL).write_text("\n".join(rest) + "\n")
    name = "manifest" if number == 0 else part["event"]
    return f"{name} {'.'.join(map(str, place))} = {'gone' if new is GONE else new!r}"


def has(value: Any, place: Place) -> bool:
    for key in place:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def all_damages(folder: Path) -> list[tuple[int, Place, Any]]:
    """Every field of every part, with every value."""
    return [
        (number, place, new)
        for number, part in enumerate(parts(folder))
        for place in places(part)
        for new in (*VALUES, GONE)
    ]


def drawn_damages(folder: Path, seed: int, count: int) -> list[tuple[int, Place, Any]]:
    """Some of all damages, drawn from a seed."""
    return random.Random(seed).sample(all_damages(folder), count)
