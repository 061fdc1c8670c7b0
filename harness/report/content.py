"""What every report says, whatever its format: tables of texts, and sentences. No layout here.

Rows are sorted by speed; a rank is given where launches support it, as the range that they leave open.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.report import (
    headlines,
    parity_tables,
    payback,
    provenance,
    seed_notes,
    sweeps,
    timing_notes,
)
from harness.report.groups import groups, load
from harness.results import store, tables
from harness.results.metric import Metric
from harness.results.metrics import IN_TABLES
from harness.results.tables import INTERRUPTED, NOT_RUN, OK, RUNNING, SKIPPED, UNAVAILABLE
from harness.text import Tone, count, listed, plain
from harness.verdicts import EQUIVALENT, NOT_CHECKED, NOT_EQUIVALENT, UNDECIDED

AGREE = 1e-5
"""First losses further apart than this (relative) are not one and the same computation."""

PLACE = ("device", "dtype")
"""What a section says once where its cells have it in common."""


@dataclass(frozen=True)
class Row:
    """One cell as texts, one a column of its section; "-" where there is nothing."""

    label: str
    tone: Tone
    status: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """One workload's table, and what is to be said beneath it: `headlines` first, then the rest."""

    workload: str
    about: str
    columns: tuple[Metric, ...]
    rows: tuple[Row, ...]
    headlines: tuple[tuple[Tone, str], ...]
    other_notes: tuple[tuple[Tone, str], ...]
    pairs: tuple[tuple[str, ...], ...]

    @property
    def notes(self) -> tuple[tuple[Tone, str], ...]:
        """Every sentence, in the order of a whole report."""
        return (*self.headlines, *self.other_notes)


@dataclass(frozen=True)
class Failure:
    """A cell that did not get through: its reason, the last lines of its log, where the log is."""

    tone: Tone
    cell: str
    status: str
    reason: str
    tail: tuple[str, ...]
    log: str


@dataclass(frozen=True)
class Report:
    """Everything that a report shows, in order."""

    title: str
    tone: Tone
    verdict: str
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]
    sweeps: tuple[sweeps.SweepTable, ...]
    absent: tuple[tuple[str, str], ...]
    failures: tuple[Failure, ...]
    parity: tuple[tuple[str, ...], ...]
    unsettled: tuple[tuple[Tone, str, list[tuple[str, ...]]], ...]
    provenance: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]
    again: str


def build(record: store.Record) -> Report:
    """Return the report of a run; of one that is empty, half done or all failed, too."""
    table = store.summary(record)
    failures = _failures(record, table)
    tone, sentence = verdict(record, table)
    return Report(
        title=f"samestep run {plain(record.manifest.get('run') or record.folder.name)}",
        tone=tone,
        verdict=sentence,
        warnings=(*provenance.warnings(record), *provenance.refusals(record)),
        sections=tuple(_sections(record, table, record.pairs)),
        sweeps=tuple(sweeps.tables(record)),
        absent=tuple(absent(record)),
        failures=failures,
        parity=tuple(parity_tables.rows(record)),
        unsettled=tuple(parity_tables.unsettled(record)),
        provenance=tuple(provenance.entries(record, table)),
        settings=tuple(provenance.settings(record)),
        again=provenance.command(record),
    )


def verdict(record: store.Record, table: pd.DataFrame) -> tuple[Tone, str]:
    """The run in a line: how many cells are well, and whether it came to its end."""
    tally = table["status"].value_counts()
    good = int(tally.get(OK, 0))
    not_ok = [f"{n} {status}" for status, n in tally.items() if status != OK]
    sentence = f"{good} of {count(len(table), 'cell')} ok" + (
        f": {listed(not_ok)}" if not_ok else ""
    )
    if not len(table):
        sentence = "no cell was planned: nothing was measured"
    if record.running:
        sentence += "; the run goes on: what is here is partial"
    elif record.end is None:
        sentence += "; the run has no end: it was killed; what is here is partial"
    elif record.end.get("status") == INTERRUPTED:
        sentence += "; the run was interrupted; what is here is partial"
    # What was skipped has failed only where it was asked for by name: the run's end knows.
    if record.running:
        return "warn", sentence
    ended = (record.end or {}).get("status")
    finished = good + int(tally.get(UNDECIDED, 0))
    if ended not in (OK, UNDECIDED) or not 0 < finished == len(table) - int(tally.get(SKIPPED, 0)):
        return "bad", sentence
    return ("good" if finished == good else "warn"), sentence


def _sections(record: store.Record, table: pd.DataFrame, pairs: pd.DataFrame) -> list[Section]:
    synthetic, refused = tables.synthetic(record.manifest), tables.refused(record.events)
    claimed = [(group.workload, headlines.claims(group)) for group in groups(load([record]))]
    sections = []
    for workload, cells in table.groupby("workload", sort=False):
        if (cells["status"] == SKIPPED).all() or workload in refused:
            continue
        columns = tuple(
            metric
            for metric in IN_TABLES
            if not (metric.quality and synthetic)
            and (metric.always or cells[metric.column].notna().any())
        )
        workload_pairs = pairs[pairs["workload"] == workload]
        claim_notes = [
            (claim.tone, claim.text)
            for name, claims in claimed
            if name == workload
            for claim in claims
        ]
        sections.append(
            _section(record, str(workload), _sorted(cells), columns, workload_pairs, claim_notes)
        )
    return sections


def _sorted(cells: pd.DataFrame) -> pd.DataFrame:
    """By training throughput; then those that failed; the reference last."""
    key = pd.DataFrame(
        {
            "reference": cells["reference"].astype(bool),
            "failed": cells["status"] != OK,
            "speed": -pd.to_numeric(cells["train_samples_per_s"]),
        }
    )
    order = key.sort_values(["reference", "failed", "speed"], kind="stable", na_position="last")
    return cells.loc[order.index]


def _section(
    record: store.Record,
    workload: str,
    cells: pd.DataFrame,
    columns: Sequence[Metric],
    pairs: pd.DataFrame,
    claim_notes: Sequence[tuple[Tone, str]],
) -> Section:
    ranked = cells[~cells["reference"]]
    labels = _labels(cells, [part for part in PLACE if ranked[part].nunique() > 1])
    entries = cells.to_dict("records")
    rows = [_row(cell, label, columns) for cell, label in zip(entries, labels, strict=True)]
    spec = (record.manifest.get("workloads") or {}).get(workload) or {}
    same = [str(ranked[part].iloc[0]) for part in PLACE if ranked[part].nunique() == 1]
    about = ", ".join(filter(None, [provenance.workload(spec), *map(plain, same)]))
    cells = cells.assign(label=labels)
    pair_rows = tuple(timing_notes.rows(pairs, dict(zip(cells["cell"], labels, strict=True))))
    cell_notes = [*_undecided(cells), *notes(record, cells, pairs, spec)]
    return Section(
        workload=plain(workload),
        about=about,
        columns=tuple(columns),
        rows=tuple(rows),
        headlines=tuple(claim_notes),
        other_notes=tuple(cell_notes),
        pairs=pair_rows,
    )


def notes(
    record: store.Record, cells: pd.DataFrame, pairs: pd.DataFrame, spec: Mapping[str, Any]
) -> list[tuple[Tone, str]]:
    """What is to be said beneath one workload's `cells` (with `label`) and its `pairs`."""
    return [
        *filter(None, [parity_tables.summary(cells)]),
        *_agreement(cells),
        *_targets(record, cells, spec),
        *timing_notes.notes(record, cells, pairs),
        *payback.notes(cells, pairs, spec),
        *seed_notes.notes(cells, spec),
        *_references(cells),
    ]


def _labels(cells: pd.DataFrame, differ: Sequence[str]) -> list[str]:
    """Framework and mode, and the parts in which the cells differ."""
    parts = ["framework", "mode", *differ]
    return [plain(" ".join(map(str, row))) for row in cells[parts].itertuples(index=False)]


def _undecided(cells: pd.DataFrame) -> list[tuple[Tone, str]]:
    """The undecided cells, each with the tensors that nothing was shown for."""
    undecided = cells.loc[cells["status"] == UNDECIDED, ["label", "reason"]]
    return [
        ("warn", plain(f"{label}: {reason}; shown, and not ranked"))
        for label, reason in undecided.itertuples(index=False)
    ]


def _references(cells: pd.DataFrame) -> list[tuple[Tone, str]]:
    references = cells.loc[cells["reference"], ["label", "dtype"]]
    return [
        ("note", plain(f"{label} ({dtype}): the reference, not ranked"))
        for label, dtype in references.itertuples(index=False)
    ]


def _row(cell: Mapping[Any, Any], label: str, columns: Sequence[Metric]) -> Row:
    texts = tuple(metric.text(cell) for metric in columns)
    status = plain(cell["status"])
    if status != OK:
        return Row(label, _tone(status), status, texts)
    if cell["reference"]:
        return Row(label, "note", "reference", texts)
    return Row(label, "good", status, texts)


def _tone(status: str) -> Tone:
    """Of a cell that is not ok: what never began is no fault of its own; not equivalent is greyed."""
    if status in (UNDECIDED, RUNNING):
        return "warn"
    return "off" if status in (NOT_RUN, SKIPPED, UNAVAILABLE, NOT_EQUIVALENT) else "bad"


def _agreement(cells: pd.DataFrame) -> list[tuple[Tone, str]]:
    """How far the first losses are from the reference's, or, without it, from their median."""
    losses = cells.dropna(subset=["first_loss"])
    judge = losses[losses["reference"]]["first_loss"]
    compared = losses[~losses["reference"]] if len(judge) else losses
    lost = cells[cells["first_loss"].isna() & cells["first_step_s"].notna()]["label"]
    notes: list[tuple[Tone, str]] = []
    if len(lost):
        notes.append(("bad", f"the first loss of {listed(lost)} is no finite number"))
    if len(compared) and len(losses) > 1:
        expected = float(judge.iloc[0] if len(judge) else losses["first_loss"].median())
        apart = (compared["first_loss"] - expected).abs() / (abs(expected) or 1.0)
        whose = "the reference's" if len(judge) else "their median"
        worst = compared["label"].iloc[int(apart.argmax())]
        far = compared["label"][apart > AGREE]
        deviation = f"to {apart.max():.1e} (relative; {worst} is the furthest)"
        if len(far):
            deviation = f"only {deviation}: do not compare {listed(far)} before that is explained"
        of = f"the first losses of {count(len(compared), 'cell')}"
        notes.append(("bad" if len(far) else "good", f"{of} agree with {whose} {deviation}"))
    return notes


def _targets(
    record: store.Record, cells: pd.DataFrame, spec: Mapping[str, Any]
) -> list[tuple[Tone, str]]:
    """Which cells missed the workload's target accuracy; of those that are equivalent, or not checked."""
    judged = cells[cells["parity"].isin((EQUIVALENT, NOT_CHECKED))].dropna(
        subset=["reached_target"]
    )
    if not len(judged):
        return []
    target = f"the target accuracy of {spec.get('target_accuracy')}"
    missed = judged[~judged["reached_target"].astype(bool)]["label"]
    if not len(missed):
        return [("good", f"{count(len(judged), 'cell')} reached {target}")]
    sentence = f"{'every cell' if len(missed) == len(judged) else listed(missed)} missed {target}"
    short = provenance.shortened(record, str(judged["workload"].iloc[0]))
    return [("note", f"{sentence} {short}") if short else ("bad", sentence)]


def absent(record: store.Record) -> list[tuple[str, str]]:
    """Frameworks that are unavailable and workloads that were skipped, each with its reason."""
    unavailable, skipped = record.every("framework-unavailable"), record.every("workload-skipped")
    return [
        (_where(event, key), f"{word}: {plain(event.get('reason') or 'no reason given')}")
        for events, key, word in (
            (unavailable, "framework", UNAVAILABLE),
            (skipped, "workload", SKIPPED),
        )
        for event in events
    ]


def _where(event: Mapping[str, Any], key: str) -> str:
    device = event.get("device", "cpu")
    return plain(event.get(key, "?")) + ("" if device == "cpu" else f" on {plain(device)}")


def _failures(record: store.Record, table: pd.DataFrame) -> tuple[Failure, ...]:
    """Cells that began, or were to begin, and failed; `absent` has those that never could."""
    failed = {event.get("cell"): event for event in record.every("cell-failed")}
    logs = {event.get("cell"): event.get("log") for event in record.every("cell-started")}
    return tuple(
        Failure(
            tone=_tone(row["status"]),
            cell=plain(row["cell"]),
            status=plain(row["status"]),
            reason=plain(row["reason"]),
            tail=tuple(map(plain, failed.get(row["cell"], {}).get("log_tail") or ())),
            log=re.sub(r".*/(?=logs/)", "", plain(logs.get(row["cell"]) or "")),
        )
        for row in table.to_dict("records")
        if row["cell"] in failed or row["status"] == INTERRUPTED
    )
