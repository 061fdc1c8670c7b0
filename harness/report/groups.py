"""Stored runs made ready for one report: their cells, and which of these may be ranked together.

Cells share a ranking only where the computation (`identity.Computation`), device and arithmetic are the
same; and a claim is made only within one run, whose cells were timed in the same rounds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from harness.outcomes import MIRRORED
from harness.results import identity, store, tables
from harness.text import plain


@dataclass(frozen=True)
class Loaded:
    """Several runs' tables, one below the other: `run` is the record's place, `id` the cell's.

    A cell's `name` is its framework and mode; its `label` distinguishes it from other runs' cells too.
    Cells of workloads that were skipped or refused are `left_out` of every ranking.
    """

    records: tuple[store.Record, ...]
    cells: pd.DataFrame
    pairs: pd.DataFrame
    samples: pd.DataFrame

    @cached_property
    def rows(self) -> dict[int, dict[str, Any]]:
        """Every cell as a plain table, by its id."""
        return {row["id"]: row for row in self.cells.to_dict("records")}  # type: ignore[misc]


@dataclass(frozen=True)
class Ratio:
    """One cell's throughput over another's: 95% interval; faster, slower or inconclusive."""

    ratio: float
    low: float
    high: float
    verdict: str

    def inverse(self) -> Ratio:
        """The other one's over this one's."""
        verdict = MIRRORED.get(self.verdict, self.verdict)
        high = 1 / self.low if self.low > 0 else math.inf
        return Ratio(1 / self.ratio, 1 / self.high, high, verdict)


@dataclass(frozen=True)
class Group:
    """Cells that may stand in one ranking, the reference's among them, and their comparisons."""

    key: str
    title: str
    ground: str
    workload: str
    device: str
    dtype: str
    spec: Mapping[str, Any]
    synthetic: bool
    cells: pd.DataFrame
    pairs: pd.DataFrame
    rows: Mapping[int, dict[str, Any]]
    not_alone: frozenset[int]
    """The runs of units that did not have their node for themselves."""

    def as_rows(self, cells: pd.DataFrame) -> list[dict[str, Any]]:
        """Some of the cells as plain tables, in their order."""
        return [self.rows[cell] for cell in cells["id"]]

    @cached_property
    def ratios(self) -> dict[tuple[int, str, str, str], Ratio]:
        """The comparisons by run, kind and the two cells, either way round."""
        ratios: dict[tuple[int, str, str, str], Ratio] = {}
        for pair in self.pairs[self.pairs["low"].notna()].to_dict("records"):
            run, kind, a, b = pair["run"], pair["kind"], pair["a"], pair["b"]
            ratio = Ratio(pair["ratio"], pair["low"], pair["high"], pair["verdict"])
            ratios[run, kind, a, b], ratios[run, kind, b, a] = ratio, ratio.inverse()
        return ratios

    @cached_property
    def ranked(self) -> pd.DataFrame:
        """The cells that are ok and not the reference, the fastest in training first."""
        cells = self.cells
        candidates = cells[(cells["status"] == tables.OK) & ~cells["reference"]]
        return candidates.sort_values("train_samples_per_s", ascending=False, na_position="last")


def load(records: Sequence[store.Record]) -> Loaded:
    """Read the tables of every record."""
    cells = [_cells(record, number) for number, record in enumerate(records)]
    table = pd.concat(cells, ignore_index=True) if cells else pd.DataFrame()
    # Plain columns, for a table of many extension arrays is slow to cut.
    plainer = {
        name: float if dtype == "Int64" else object
        for name, dtype in table.dtypes.items()
        if dtype in ("Int64", "str")
    }
    table = table.astype(plainer).assign(id=range(len(table))).copy()
    many = len(records) > 1
    table["name"] = [
        plain(f"{a} {b}") for a, b in zip(table["framework"], table["mode"], strict=True)
    ]
    table["label"] = [
        f"{name} ({letter(run)})" if many else name
        for name, run in zip(table["name"], table["run"], strict=True)
    ]
    return Loaded(
        tuple(records),
        table,
        _tables([record.pairs for record in records]),
        _tables([_samples(record) for record in records]),
    )


def groups(loaded: Loaded) -> list[Group]:
    """Every ranking of the report, in the order of the plans; the reference is in all of its workload."""
    rankings = list(_groups(loaded))
    alike, same = Counter(group.workload for group in rankings), Counter(map(_title, rankings))
    titles = [
        _title(group, same[_title(group)]) if alike[group.workload] > 1 else group.workload
        for group in rankings
    ]
    return [
        replace(group, title=plain(title)) for group, title in zip(rankings, titles, strict=True)
    ]


def _title(group: Group, same: int = 1) -> str:
    """The workload, and what distinguishes the group from others of it, of which so many are the same."""
    words = [group.workload, group.device, group.dtype, "synthetic data" if group.synthetic else ""]
    words.append(f"(computation {group.ground})" if same > 1 else "")
    return " ".join(filter(None, words))


def _groups(loaded: Loaded) -> Iterator[Group]:
    cells = loaded.cells
    planned = cells[~cells["left_out"]]
    keys = ["ground", "device", "dtype"]
    for key, ranked in planned[~planned["reference"]].groupby(keys, sort=False):
        ground, device, dtype = map(str, key)
        references = planned[planned["reference"] & (planned["ground"] == ground)]
        first = loaded.records[int(ranked["run"].iloc[0])].manifest
        workload = str(ranked["workload"].iloc[0])
        pairs = loaded.pairs
        in_ranking = pairs["run"].isin(ranked["run"]) & pairs["a"].isin(ranked["cell"])
        yield Group(
            key=f"g{ranked['id'].iloc[0]}",
            title=workload,
            ground=ground,
            workload=workload,
            device=device,
            dtype=dtype,
            spec=(first.get("workloads") or {}).get(workload) or {},
            synthetic=tables.synthetic(first),
            cells=pd.concat([ranked, references]),
            pairs=pairs[in_ranking],
            rows=loaded.rows,
            not_alone=frozenset(n for n, run in enumerate(loaded.records) if run.not_alone),
        )


def _cells(record: store.Record, number: int) -> pd.DataFrame:
    table = store.summary(record)
    workloads = table["workload"].unique()
    ground = {name: identity.computation(record, name).ground for name in workloads}
    refused = table["workload"].isin(tables.refused(record.events))
    return table.assign(
        run=number,
        ground=table["workload"].map(ground),
        left_out=refused | (table["status"] == tables.SKIPPED),
    )


def _samples(record: store.Record) -> pd.DataFrame:
    return store.samples(record)[["cell", "kind", "round", "samples_per_s", "noise"]]


def _tables(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The tables one below the other, each with its number as `run`; one is not copied."""
    numbered = [table.assign(run=number) for number, table in enumerate(parts)]
    return numbered[0] if len(numbered) == 1 else pd.concat(numbered, ignore_index=True)


def letter(run: int) -> str:
    """A run among several in short: A, B, and so on to Z, then 27."""
    return chr(ord("A") + run) if run < 26 else str(run + 1)
