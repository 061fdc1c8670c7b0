"""What a run measured of each cell, launch by launch, as the gate compares it. From the store alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.results import classification, pairwise, store, tables
from harness.results.metric import Metric
from harness.results.metrics import IN_GATE
from harness.results.pairwise import GROUP
from harness.stats import intervals
from harness.verdicts import UNDECIDED

CALIBRATION = "calibration"
"""The fixed work of our own in each round, beside the cells."""

_FIELDS = [(metric.name, field) for metric in IN_GATE for field in metric.rule.events]
"""By metric, which event has its value of a launch."""

Logs = NDArray[np.float64]
"""By launch, the logarithm of how good something was: more is better. NaN where it is unknown."""


@dataclass(frozen=True)
class Cell:
    """How a cell came through, and which test examples it had right after training with each seed."""

    status: str
    reason: str
    parity: str
    correct: Mapping[int, NDArray[np.bool_]] = field(default_factory=dict)

    @property
    def accuracy(self) -> float | None:
        """Of all seeds together."""
        return float(np.mean(np.concatenate([*self.correct.values()]))) if self.correct else None


class Measures:
    """A run's measurements, read on demand."""

    def __init__(self, record: store.Record) -> None:
        self.record = record
        samples = record.slices
        self._samples = samples[(samples["round"] != tables.WARM_UP) & ~samples["twin"]]
        self._rates: dict[tuple[str, bool], dict[str, NDArray]] = {}
        self._calibrated: dict[str, dict[str, Logs]] = {}

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """Every cell of the run but the reference's."""
        table = self.record.cells
        rows = table[~table["reference"]].to_dict("records")
        correct = _correct(self.record)
        return {
            row["cell"]: Cell(
                row["status"], row["reason"], row["parity"], correct.get(row["cell"], {})
            )
            for row in rows
        }

    def pair(self, metric: Metric, head: str, base: str) -> Logs:
        """By launch, how much better `head` was than `base`: within rounds, where there are rounds.

        Of all rounds, contaminated or not: a load slows both down, and its changes fall into few.
        """
        if metric.rule.kind:
            rates = self._of(metric.rule.kind, clean=False)
            if head not in rates or base not in rates:
                return np.empty(0)
            return intervals.launch_ratios(rates[head], rates[base])
        x, y = (self._by_launch(metric, cell) for cell in (head, base))
        return np.log([y[launch] / x[launch] for launch in sorted({*x} & {*y})])

    def against_calibration(self, metric: Metric, cell: str) -> Logs:
        """By launch, how good `cell` was for this machine: speeds over the calibration's.

        Of undisturbed slices alone: what a load leaves of many threads and of one is not the same.
        """
        if metric.rule.kind:
            rates, control = self._of(metric.rule.kind, clean=True), _calibration_of(cell)
            if cell not in rates or control not in rates:
                return np.empty(0)
            return intervals.launch_ratios(rates[cell], rates[control])
        values = self._by_launch(metric, cell)
        logs = {launch: -np.log(value) for launch, value in values.items()}
        if metric.gate_unit == "s":
            calibration = self._calibration[self._calibration["cell"] == _calibration_of(cell)]
            speeds = calibration.groupby("launch")["samples_per_s"].median()
            logs = {
                launch: log - np.log(speeds[launch])
                for launch, log in logs.items()
                if launch in speeds
            }
        return np.asarray([logs[launch] for launch in sorted(logs)])

    def calibrated(self, metric: Metric) -> Mapping[str, Logs]:
        """Every cell's `against_calibration`; taken once, for each is held against the others.

        Cells that are undecided are left out: nothing is compared with them.
        """
        if metric.name not in self._calibrated:
            self._calibrated[metric.name] = {
                name: self.against_calibration(metric, name)
                for name, cell in self.cells.items()
                if cell.parity != UNDECIDED
            }
        return self._calibrated[metric.name]

    def value(self, metric: Metric, cell: str) -> float | None:
        """The figure itself, in the metric's unit: the geometric mean over launches."""
        if metric.rule.kind:
            all_rates, clean_rates = (
                self._of(metric.rule.kind, clean=clean) for clean in (False, True)
            )
            rates = clean_rates.get(cell, all_rates.get(cell))
            speed = np.nan if rates is None else intervals.speed(rates).estimate
            value = speed if metric.higher_is_better else 1 / speed
        else:
            values = [*self._by_launch(metric, cell).values()]
            value = float(np.exp(np.mean(np.log(values)))) if values else np.nan
        return float(value) if np.isfinite(value) else None

    def floor(self, metric: Metric, cell: str) -> float:
        """The A/A noise floor, as a logarithm; 0 where no cell ran twice."""
        if metric.rule.kind:
            return self._floors.get((*group(cell), metric.rule.kind), 0.0)
        return intervals.noise_floor(self._apart(metric, group(cell)))

    def launches(self, cell: str) -> int:
        """How often the cell was launched and timed."""
        return int(self._samples.loc[self._samples["cell"] == cell, "launch"].nunique())

    @cached_property
    def seconds_a_launch(self) -> float | None:
        """What one more launch of all cells takes."""
        times = [event["time"] for event in self.record.every("standing")]
        return float(np.median(np.diff(times))) if len(times) > 1 else None

    def _of(self, kind: str, clean: bool) -> dict[str, NDArray]:
        """Each cell's samples a second as (launches, rounds), and the calibration's beside them."""
        if (kind, clean) not in self._rates:
            slices = self._samples[self._samples["kind"] == kind]
            slices = slices[slices["noise"] == ""] if clean else slices.assign(noise="")
            both = pd.concat([slices, self._calibration.assign(kind=kind)])
            self._rates[kind, clean] = pairwise.rates(both) if len(slices) else {}
        return self._rates[kind, clean]

    @cached_property
    def _calibration(self) -> pd.DataFrame:
        """The calibration's rounds, as if they were slices."""
        events = self.record.every("calibration")
        columns = {key: [event.get(key) for event in events] for key in ("turn", "launch", "round")}
        rates = np.asarray([event.get("rate") for event in events], dtype=float)
        cells = [f"{event.get('workload')}/{CALIBRATION}" for event in events]
        return pd.DataFrame({**columns, "cell": cells, "samples_per_s": rates, "noise": ""})

    @cached_property
    def _floors(self) -> dict[tuple[str, ...], float]:
        table = self.record.pairs[[*GROUP, "kind", "floor"]].drop_duplicates()
        return {tuple(key): float(floor) for *key, floor in table.itertuples(index=False)}

    def _by_launch(self, metric: Metric, cell: str) -> dict[int, float]:
        """What is measured once a launch, of each launch.

        A framework's first launch is of another kind: it may compile for those that follow, and its peak
        has what the parity check left behind. So where there are others, it is left out: one value of
        another kind would be all that a mean and its bounds show.
        """
        values = self._once.get((metric.name, cell, False), {})
        return {launch: values[launch] for launch in values if launch > 1} or values

    @cached_property
    def _once(self) -> dict[tuple[str, str, bool], dict[int, float]]:
        """What is measured once a launch, by metric, cell, whether a replicate, and launch."""
        values: dict[tuple[str, str, bool], dict[int, float]] = defaultdict(dict)
        for event in self.record.events:
            cell, replicate = str(event.get("cell")), bool(event.get("twin"))
            for metric, value in _by_metric(event).items():
                if value is not None and value > 0:
                    values[metric, cell, replicate][event.get("launch", 1)] = value
        return values

    def _apart(self, metric: Metric, where: tuple[str, ...]) -> Logs:
        """By how much cells differed from their A/A replicates in what is measured once a launch."""
        logs = []
        for (name, cell, replicate), values in self._once.items():
            if replicate and name == metric.name and group(cell) == where:
                cell_values = self._by_launch(metric, cell)
                logs += [
                    np.log(cell_values[launch] / values[launch])
                    for launch in values
                    if launch in cell_values
                ]
        return np.asarray(logs)


def group(cell: str) -> tuple[str, ...]:
    """What cells that may be compared share; one noise floor holds for all of them."""
    parts = tables.split(cell)
    return tuple(parts[part] for part in GROUP)


def _calibration_of(cell: str) -> str:
    return f"{tables.split(cell)['workload']}/{CALIBRATION}"


def _by_metric(event: Mapping[str, Any]) -> dict[str, float | None]:
    """What an event has of what is measured once a launch."""
    return {name: field.read(event) for name, field in _FIELDS if field.kind == event["event"]}


def _correct(record: store.Record) -> dict[str, dict[int, NDArray[np.bool_]]]:
    """Which test examples each cell had right, by seed."""
    specs, correct = record.manifest.get("workloads") or {}, defaultdict[str, dict](dict)
    for event in record.events:
        if event["event"] not in ("evaluated", "retrained") or not event.get("right"):
            continue
        cell = str(event.get("cell"))
        spec = specs.get(tables.split(cell)["workload"]) or {}
        seed = event.get("seed", (spec.get("data") or {}).get("seed", 0))
        correct[cell][int(seed)] = classification.unpack(
            str(event["right"]), int(event["examples"])
        )
    return correct
