"""The HTML report's contents, in order, from stored runs; no markup here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from harness.report import content, headlines, parity_tables, provenance
from harness.report.groups import Group, Loaded, groups, letter, load
from harness.report.headlines import Claim
from harness.report.html import (
    cell_details,
    curves,
    downsample,
    plots,
    predictions,
    seed_plots,
    style,
    sweep_plots,
)
from harness.report.html.figure import Figure
from harness.report.html.style import Style
from harness.results import store
from harness.results.metric import Metric
from harness.results.metrics import IN_TABLES
from harness.results.tables import OK
from harness.results.to_target import SeedCurve
from harness.text import Tone, count, plain

MOST_SCORES = 100
"""How many distinct outcomes on test sets are shown in a report; 2 to 8 of a group."""


@dataclass(frozen=True)
class Field:
    """A column of the table: the summary's key, its heading, and the metric that it shows, if one."""

    key: str
    title: str
    metric: Metric | None = None


FIELDS = (
    Field("label", "cell"),
    Field("framework", "framework"),
    Field("workload", "workload"),
    Field("device", "device"),
    Field("dtype", "arithmetic"),
    Field("status", "status"),
    *(Field(metric.column, metric.title, metric) for metric in IN_TABLES),
)
"""The columns of the table; a click on a cell shows its other metrics, too."""


@dataclass(frozen=True)
class Line:
    """One cell in the table: texts, and what they are sorted by; `tone` greys what is not ranked."""

    id: int
    tone: Tone
    texts: tuple[str, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """One outcome on the test set, shared by some cells."""

    name: str
    plot: str
    classes: list[dict[str, Any]]


@dataclass(frozen=True)
class Part:
    """One group on the page."""

    key: str
    title: str
    about: str
    notes: list[tuple[Tone, str]]
    claims: list[Claim]
    failed: list[tuple[str, str, list[tuple[int, str]]]]  # status, reason, ids and labels
    plots: list[tuple[str, Figure]]
    scores: Sequence[Score] = ()
    unshown: int = 0  # outcomes that are not shown
    grid: predictions.Grid | None = None


@dataclass(frozen=True)
class Place:
    """One run's surroundings; `letter` is what stands for it in the labels of several runs."""

    letter: str
    name: str
    machine: str
    verdict: tuple[Tone, str]
    warnings: list[str]
    absent: list[tuple[str, str]]
    provenance: list[tuple[str, str]]
    settings: list[tuple[str, str]]
    again: str


@dataclass(frozen=True)
class Page:
    """The whole report."""

    title: str
    claims: list[Claim]
    parity: tuple[Tone, str] | None
    places: list[Place]
    sweeps: list[sweep_plots.SweepPart]
    parts: list[Part]
    fields: list[Field]
    choices: list[tuple[Field, list[str]]]  # what a filter offers, of the fields that are words
    lines: list[Line]
    pictures: dict[str, predictions.Picture]  # by name: some parts may share them
    data: dict[str, Any]


def build(records: Sequence[store.Record]) -> Page:
    """Return the page of one or several runs; of empty, half done and failed ones, too."""
    loaded = load(records)
    rankings = groups(loaded)
    data: dict[str, Any] = {"figures": {}, "cells": {}, "tensors": parity_tables.TENSORS}
    looks = style.styles(loaded.cells)
    parts = _parts(loaded, rankings, looks, data)
    swept = sweep_plots.parts(loaded, looks)
    data["figures"] |= {part.key: part.figure.table() for part in swept}
    for number, record in enumerate(records):
        cells = loaded.cells[loaded.cells["run"] == number]
        data["cells"] |= cell_details.details(record, cells, len(loaded.cells))
    fields = [field for field in FIELDS if _has_values(loaded.cells, field)]
    names = [plain(record.manifest.get("run") or record.folder.name) for record in records]
    named = loaded.cells.assign(label=loaded.cells["workload"] + " " + loaded.cells["label"])
    return Page(
        title=f"Run {names[0]}" if len(names) == 1 else count(len(names), "run"),
        claims=[claim for part in parts for claim in part.claims if claim.kind == "train"],
        parity=parity_tables.summary(named),
        places=[_place(loaded, number, name, len(names) > 1) for number, name in enumerate(names)],
        sweeps=swept,
        parts=parts,
        fields=fields,
        choices=_choices(loaded.cells, fields),
        lines=[_line(loaded.rows[cell], fields) for cell in _in_order(loaded.cells)["id"]],
        pictures={
            name: picture
            for part in parts
            if part.grid
            for name, picture in part.grid.pictures.items()
        },
        data=data,
    )


def _parts(
    loaded: Loaded, rankings: Sequence[Group], looks: dict[int, Style], data: dict[str, Any]
) -> list[Part]:
    samples = downsample.downsample(loaded.samples)
    curves_by_cell = curves.for_cells(loaded.records, loaded.cells)
    trainings = seed_plots.for_cells(loaded.records, loaded.cells)
    most = min(max(MOST_SCORES // max(1, len(rankings)), 2), 8)
    grids = predictions.grids(loaded, rankings, most)
    parts = []
    for group in rankings:
        drawn = [
            (f"{group.key}-{place}", figure)
            for place, figure in enumerate(
                _figures(group, looks, curves_by_cell, trainings, samples)
            )
        ]
        data["figures"] |= {key: figure.table() for key, figure in drawn}
        outcomes = _outcomes(loaded, group)
        names = predictions.classes(loaded, group)
        scores = [
            _score(outcome, f"{group.key}-s{place}", names, data)
            for place, outcome in enumerate(outcomes[:most])
        ]
        part = _part(loaded, group, drawn)
        unshown, grid = len(outcomes[most:]), grids.get(group.key)
        parts.append(replace(part, scores=scores, unshown=unshown, grid=grid))
    return parts


def _figures(
    group: Group,
    looks: dict[int, Style],
    curves_by_cell: dict[int, Any],
    trainings: dict[int, list[SeedCurve]],
    samples: downsample.Downsampled,
) -> Iterator[Figure]:
    """The plots of a group that have something to show, in their order."""
    drawn = [
        *(plots.ranking(group, looks, kind) for kind in headlines.KINDS),
        plots.modes(group, looks),
        plots.latency(group, looks),
        plots.pareto(group, looks),
        plots.memory(group, looks),
        curves.curves(group, looks, curves_by_cell, "step"),
        curves.curves(group, looks, curves_by_cell, "time"),
        seed_plots.accuracy(group, looks, trainings, "step"),
        seed_plots.accuracy(group, looks, trainings, "time"),
        plots.start_up(group, looks),
        plots.utilisation(group, looks),
        *(curves.scatter(group, looks, samples, kind) for kind in headlines.KINDS),
    ]
    yield from filter(None, drawn)


def _part(loaded: Loaded, group: Group, drawn: list[tuple[str, Figure]]) -> Part:
    cells = group.cells
    return Part(
        key=group.key,
        title=group.title,
        about=", ".join(filter(None, [provenance.workload(group.spec), group.device, group.dtype])),
        notes=[note for run in cells["run"].unique() for note in _notes(loaded, group, int(run))],
        claims=headlines.claims(group),
        failed=_failed(group.as_rows(cells[cells["status"] != OK])),
        plots=drawn,
    )


def _outcomes(loaded: Loaded, group: Group) -> list[dict[str, Any]]:
    """The distinct outcomes on the test set, run by run; none where the data was made up."""
    cells = group.cells
    return [
        outcome
        for run in cells["run"].unique()
        for outcome in cell_details.scores(loaded.records[run], cells[cells["run"] == run])
        if not group.synthetic
    ]


def _failed(cells: Sequence[dict[str, Any]]) -> list[tuple[str, str, list[tuple[int, str]]]]:
    """The cells that are not ranked, those of one status and reason together."""
    failures: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for cell in cells:
        why = plain(cell["status"]), plain(cell["reason"])
        failures.setdefault(why, []).append((cell["id"], cell["label"]))
    return [(*why, cells) for why, cells in failures.items()]


def _notes(loaded: Loaded, group: Group, run: int) -> list[tuple[Tone, str]]:
    cells, pairs = (table[table["run"] == run] for table in (group.cells, group.pairs))
    whose = f"{letter(run)}: " if len(loaded.records) > 1 else ""
    notes = content.notes(loaded.records[run], cells, pairs, group.spec)
    return [(tone, whose + text) for tone, text in notes]


def _score(outcome: dict[str, Any], key: str, names: list[str], data: dict[str, Any]) -> Score:
    data["figures"][key] = curves.confusion(outcome["confusion"]).table()
    labels = outcome["labels"]
    name = labels[0] if len(labels) == 1 else f"{labels[0]} and {len(labels) - 1} with the same"
    classes = [
        {"name": " ".join(dict.fromkeys([str(place), *names[place : place + 1]]))} | scores
        for place, scores in enumerate(outcome["classes"])
    ]
    return Score(name, key, classes)


def _place(loaded: Loaded, number: int, name: str, several: bool) -> Place:
    record = loaded.records[number]
    table = loaded.cells[loaded.cells["run"] == number]
    return Place(
        letter=letter(number) if several else "",
        name=name,
        machine=provenance.machine(record.manifest.get("machine") or {}),
        verdict=content.verdict(record, table),
        warnings=[*provenance.warnings(record), *provenance.refusals(record)],
        absent=content.absent(record),
        provenance=list(provenance.entries(record, table)),
        settings=list(provenance.settings(record)),
        again=provenance.command(record),
    )


def _choices(cells: pd.DataFrame, fields: Sequence[Field]) -> list[tuple[Field, list[str]]]:
    """The values of every field of words that has several, but of the cell's own name."""
    choices = [
        (field, sorted({plain(value) for value in cells[field.key]}))
        for field in fields
        if field.metric is None and field.key != "label"
    ]
    return [(field, values) for field, values in choices if len(values) > 1]


def _in_order(cells: pd.DataFrame) -> pd.DataFrame:
    """By run and workload as planned, then the fastest first; the reference and the failed last."""
    key = pd.DataFrame(
        {
            "run": cells["run"],
            "workload": pd.factorize(cells["workload"])[0],
            "off": cells["reference"] | (cells["status"] != OK),
            "speed": -pd.to_numeric(cells["train_samples_per_s"]),
        }
    )
    order = key.sort_values([*map(str, key)], kind="stable", na_position="last")
    return cells.loc[order.index]


def _has_values(cells: pd.DataFrame, field: Field) -> bool:
    """Whether a column says anything."""
    return field.key in cells and bool(cells[field.key].notna().any())


def _line(cell: dict[Any, Any], fields: Sequence[Field]) -> Line:
    texts, keys = [], []
    for field in fields:
        value = cell[field.key]
        if field.metric is None:
            texts.append(plain(value))
            keys.append(plain(value).lower())
        else:
            texts.append(field.metric.text(cell))
            keys.append("" if pd.isna(value) else f"{float(value):.9g}")
    ranked = cell["status"] == OK and not cell["reference"]
    return Line(cell["id"], "good" if ranked else "off", tuple(texts), tuple(keys))
