"""What the report of a matrix says, whatever its format: tables of texts, and sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.matrix import merge
from harness.matrix.merge import Block, CellFigures, Group, Kind
from harness.matrix.plan import Plan, words
from harness.matrix.status import MatrixState, UnitState
from harness.matrix.unit import BROKEN, CELLS_FAILED, DONE, LOST
from harness.results import tables
from harness.stats.intervals import Ratio
from harness.text import Tone, count, interval, listed, mebibytes, percent, plain, score, times

SPEEDS = (
    "rank",
    "cell",
    "training speed, over the first's",
    "inference speed, over the first's",
    "between nodes",
    "between launches",
)
SCORES = ("cell", "accuracy", "seeds", "peak memory, MiB", "ok", "")
UNITS = ("unit", "what", "state", "node", "attempts", "why")

TONES: dict[str, Tone] = {DONE: "good", CELLS_FAILED: "warn", BROKEN: "bad", LOST: "bad"}
"""How a state stands; what waits or runs is no news."""

MANY_CONTAMINATED = 0.5
"""Of a unit's slices, above which its unit is named."""

ABOUT = (
    "A unit is one run on one node; ratios are taken within it. A node's log ratio, over its units, is"
    " one value, and the 95% intervals are Student's over nodes of one kind. Speeds of different nodes"
    " are never compared. Between nodes and between launches: the standard deviations of the training"
    " ratio."
)


@dataclass(frozen=True)
class Machines:
    """The speeds on one kind of machine."""

    title: str
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """One workload on one device: speeds by kind of machine, then accuracies."""

    title: str
    machines: tuple[Machines, ...]
    notes: tuple[tuple[Tone, str], ...]
    scores: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Report:
    """The whole report. A row of `units` has the tone of its state before its texts."""

    title: str
    tone: Tone
    verdict: str
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]
    units: tuple[tuple[Tone, tuple[str, ...]], ...]
    logs: tuple[tuple[str, tuple[str, ...]], ...]
    """Of units without a result: the unit, and the last lines of its log."""
    provenance: tuple[tuple[str, str], ...]
    """What the units were made with: a word and a sentence each."""


def build(plan: Plan, state: MatrixState) -> Report:
    """Merge what is done by now, and say it."""
    results = merge.blocks(plan, state)
    done = sum(unit.done is not None for unit in state.units)
    return Report(
        title=plan.name,
        tone="good" if done == len(state.units) else "warn",
        verdict=verdict(state),
        warnings=tuple(_warnings(state, results)),
        sections=tuple(map(_section, merge.merge(results))),
        units=tuple(unit_row(plan, unit) for unit in state.units),
        logs=tuple((f"unit {u.number}", tuple(map(plain, u.log))) for u in state.units if u.log),
        provenance=tuple(_provenance(plan, results)),
    )


def _provenance(plan: Plan, results: Sequence[Block]) -> Iterator[tuple[str, str]]:
    versions = {
        f"{framework} {version}" if version else str(framework)
        for result in results
        for framework, version in result.figures["versions"].items()
    }
    if versions:
        yield "frameworks", plain(", ".join(sorted(versions)))
    yield "options of each run", plain(" ".join(words(plan.always))) or "none"
    if made_by := sorted({str(result.figures.get("samestep") or "?") for result in results}):
        yield "made by", plain(f"samestep {', '.join(made_by)}")


def verdict(state: MatrixState) -> str:
    """How many units are in which state, in one sentence."""
    counts = [f"{number} {word}" for word, number in state.counts.items()]
    return f"{count(len(state.units), 'unit')}: {', '.join(counts)}"


def unit_row(plan: Plan, unit: UnitState) -> tuple[Tone, tuple[str, ...]]:
    """One unit's line of the map."""
    attempts = str(unit.attempts or "")
    title = plan.units[unit.number].title
    texts = (str(unit.number), title, unit.state, unit.node, attempts, unit.why)
    return TONES.get(unit.state, "off"), tuple(map(plain, texts))


def _warnings(state: MatrixState, results: Sequence[Block]) -> Iterator[str]:
    if any(unit.done is None for unit in state.units):
        yield from state.silent_engines  # of what is done they could say nothing
    legible = {result.number for result in results}
    if unread := [u.number for u in state.units if u.done and u.number not in legible]:
        yield f"{_units(unread)} has a result that this samestep cannot read: update samestep"
    if crowded := [result.number for result in results if not result.counts]:
        yield f"{_units(crowded)} not alone on the node: in no ratio and no rank"
    if differing := merge.differing(results):
        yield f"units differ in {listed(differing)}: their ratios are of different programs"
    for node, rate in merge.slow_nodes(results).items():
        yield f"{node} is slow for its kind: its reference kernel ran at {percent(rate)} of the median"
    noisy = [r.number for r in results if r.figures["contaminated"] > MANY_CONTAMINATED]
    if noisy:
        yield f"{_units(noisy)}: more than half of the slices were contaminated"
    if any(result.figures["quick"] for result in results):
        yield "quick runs: a smoke test; do not cite"


def _units(numbers: Sequence[int]) -> str:
    named = listed(numbers[:8]) if len(numbers) <= 8 else f"{', '.join(map(str, numbers[:8]))}, ..."
    return f"{count(len(numbers), 'unit')} ({named})"


def _section(group: Group) -> Section:
    references = {figures.cell for figures in group.cells if figures.reference}
    return Section(
        title=f"{group.workload} on {group.device}, {group.dtype}",
        machines=tuple(map(_machines, group.kinds)),
        notes=tuple(_notes(group)),
        scores=tuple(_score(figures, references) for figures in group.cells),
    )


def _machines(kind: Kind) -> Machines:
    nodes = count(len(kind.nodes), "node")
    leader = kind.leader("train")
    return Machines(
        f"{plain(kind.machine)} ({kind.fingerprint}): {nodes}, {count(kind.units, 'unit')}",
        tuple(_speeds(kind, cell, leader) for cell in _order(kind)),
    )


def _order(kind: Kind) -> list[str]:
    """The cells of a kind by rank, then by their speeds over the leader's."""
    leader, cells = kind.leader("train"), {cell for pair in kind.pairs["train"] for cell in pair}
    return sorted(
        cells, key=lambda cell: (kind.ranks.get(cell, (0, 0)), -_over(kind, cell, leader))
    )


def _over(kind: Kind, cell: str, leader: str | None) -> float:
    ratio = kind.between("train", cell, leader) if leader and cell != leader else None
    return ratio.estimate if ratio else math.inf


def _speeds(kind: Kind, cell: str, leader: str | None) -> tuple[str, ...]:
    deviations = ["", ""]
    if leader and cell != leader:
        a, b = sorted((cell, leader))
        pair = kind.pairs["train"].get((a, b))
        both = (pair.between_nodes, pair.between_launches) if pair else (None, None)
        deviations = ["-" if value is None else percent(value) for value in both]
    best, worst = kind.ranks.get(cell, ("-", "-"))
    rank = str(best) if best == worst else f"{best}-{worst}"
    speeds = (_ratio(kind, slices, cell, leader) for slices in ("train", "predict"))
    return (rank, label(cell), *speeds, *deviations)


def _ratio(kind: Kind, slices: str, cell: str, leader: str | None) -> str:
    if leader is None or cell == leader:
        return "1"
    return _words(kind.between(slices, cell, leader))


def _words(ratio: Ratio | None) -> str:
    if ratio is None:
        return "-"
    if math.isnan(ratio.low):
        return f"{times(ratio.estimate)} (one node: no interval)"
    return interval(ratio.estimate, ratio.low, ratio.high)


def _claim(kind: Kind) -> tuple[Tone, str]:
    """Who is fastest in training on one kind of machine, and by how much."""
    machine, order = plain(kind.machine), _order(kind)
    first = [cell for cell in order if kind.ranks[cell][0] == 1]
    if len(first) > 1 or len(order) < 2:
        return "note", f"On {machine} the fastest is open: {listed(map(label, first))} share rank 1"
    ratio = kind.between("train", order[0], order[1])
    whose = f"the training speed of {label(order[1])}"
    return "good", f"{label(order[0])} is fastest on {machine}: {_words(ratio)} {whose}"


def _notes(group: Group) -> Iterator[tuple[Tone, str]]:
    for kind in group.kinds:
        if kind.ranks:
            yield _claim(kind)
        if len(kind.nodes) < 2:
            machine = plain(kind.machine)
            yield "warn", f"{machine}: one node: at least 2 are needed for an interval and a rank"
    if len(group.kinds) > 1:
        decided, opposite = merge.contradictions(group, "train")
        if opposite:
            named = listed(f"{label(a)} and {label(b)}" for a, b in opposite[:4])
            yield "warn", f"The order does not hold on all kinds of machines: {named} change places"
        elif decided:
            pairs = count(decided, "pair")
            yield (
                "good",
                f"The order holds: {pairs} decided on several kinds of machines, all alike",
            )
        else:
            yield (
                "off",
                "No pair is decided on two kinds of machines: whether the order holds is open",
            )


def _score(figures: CellFigures, references: set[str]) -> tuple[str, ...]:
    pooled = figures.accuracy
    accuracy = "-" if math.isnan(pooled.estimate) else score(pooled.estimate)
    if not math.isnan(pooled.low):
        accuracy += f" ({score(max(0.0, pooled.low))} to {score(min(1.0, pooled.high))})"
    peak = "-" if figures.peak_memory is None else mebibytes(figures.peak_memory)
    reason = "; ".join(map(plain, figures.reasons[:2]))
    if figures.cell in references:
        reason = reason or "reference, not ranked"
    ok = f"{figures.ok} of {figures.units}"
    return label(figures.cell), accuracy, str(pooled.launches or "-"), peak, ok, reason


def label(cell: str) -> str:
    """A cell as a section names it: framework and mode."""
    parts = tables.split(cell)
    return plain(f"{parts['framework']} {parts['mode']}")
