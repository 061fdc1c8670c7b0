"""The proof: a cell computes the reference's training step, or it is not ranked.

For one workload the reference is run once (`rehearse`): in float64, which is what is right; and in
float32 and with kinks moved, which shows how far rounding alone can lead away; and for each coarser
arithmetic with products rounded as that does. Each cell's answers
are then held against the float64 run, tensor by tensor (`judge`). The bounds are derived in
docs/parity.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from frameworks.contract import Answers, Options, Weights, answers
from frameworks.reference.adapter import Reference
from frameworks.reference.rounding import ROUNDINGS
from harness.bounds import Bounds, storage_floor
from workloads.batches import Batch
from workloads.layers import Relu
from workloads.spec import Workload

DEFAULT_STEPS = 20

DRIFT = 4.0
"""How many times the reference's own drift under rounding a framework may drift."""


@dataclass(frozen=True)
class Check:
    """One tensor's error: `error` is ||a - r|| / ||r||, `largest` the same in the maximum norm."""

    tensor: str
    when: str
    error: float
    bound: float
    largest: float
    largest_bound: float

    @property
    def share(self) -> float:
        """How much of its bound is used up; above 1 it fails, and so does what is not a number."""
        shares = (self.error / self.bound, self.largest / self.largest_bound)
        return max(shares) if all(map(math.isfinite, shares)) else math.inf

    @property
    def ok(self) -> bool:
        """Whether the tensor is the reference's."""
        return self.share <= 1


@dataclass(frozen=True)
class Verdict:
    """All checks of one cell, in the order in which a step computes them."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return bool(self.checks) and all(check.ok for check in self.checks)

    @property
    def worst(self) -> Check:
        """The check to name: of the earliest moment that fails, else of all, the nearest its bound."""
        failed = [check for check in self.checks if not check.ok]
        first = (
            [check for check in failed if check.when == failed[0].when] if failed else self.checks
        )
        return max(first, key=lambda check: check.share)

    def sentence(self) -> str:
        """Say it to a person."""
        if self.ok:
            return "same maths"
        worst = self.worst
        error, bound = worst.error, worst.bound
        if not error / bound > 1:
            error, bound = worst.largest, worst.largest_bound
        size = f"{error:.1e}" if math.isfinite(error) else "a value that is not finite"
        return (
            f"not the same maths: {worst.tensor} differs by {size} (bound {bound:.0e}) {worst.when}"
        )


@dataclass(frozen=True)
class Standard:
    """What is right for a workload, and how far rounding leads away from it."""

    workload: Workload
    start: Weights
    batches: tuple[Batch, ...]
    right: Answers
    drifts: Mapping[str, tuple[Answers, ...]]
    """By precision; what has none of its own has float32's."""

    @property
    def steps(self) -> int:
        """How many steps were rehearsed."""
        return len(self.batches)

    def first_step(self) -> Standard:
        """Return the same for the first step alone: what is asked again after the timed part."""

        def kept(found: Answers) -> Answers:
            first = {key: one for key, one in found.items() if not key.startswith("last/")}
            return {**first, "losses": found["losses"][:1]}

        drifts = {name: tuple(map(kept, runs)) for name, runs in self.drifts.items()}
        return replace(self, batches=self.batches[:1], right=kept(self.right), drifts=drifts)


def rehearse(
    workload: Workload, start: Weights, batches: Sequence[Batch], precisions: Iterable[str] = ()
) -> Standard:
    """Run the reference over `batches` from `start`: in float64, in float32, and with kinks moved.

    For those of `precisions` that are coarser than float32, also with products rounded so: there
    the rounding itself decides the kinks.

    The gradients of ReLU and of a maximum jump. Where a value is within rounding of the jump, two
    right computations may take different sides; a run with every such kink taken on one side, and
    one on the other, show what that can do. In a third, what ReLU may let pass is the largest of its
    window wherever that window has nothing else.
    """

    plan = Standard(workload, start, tuple(batches), {}, {})
    # One thread: small products split over many threads wait more than they compute.
    with threadpool_limits(1):
        near = Bounds(workload, "float32").near_kinks()
        far = {name: -margin for name, margin in near.items()}
        relus = {one.name for one in workload.leaves if isinstance(one.layer, Relu)}
        found = {name: margin for name, margin in far.items() if name in relus}
        right = rehearse_once(plan)
        whole = [rehearse_once(plan, dtype=np.float32)]
        whole += [rehearse_once(plan, kinks=kinks) for kinks in (near, far, found)]
        drifts = {"float32": tuple(whole)} | {
            name: tuple(rehearse_once(plan, rounding=one) for one in ROUNDINGS[name])
            for name in precisions
            if name in ROUNDINGS
        }
    return replace(plan, right=right, drifts=drifts)


def rehearse_once(standard: Standard, **study: Any) -> Answers:
    """Let the reference compute the answers to a standard's workload, start and batches."""
    reference = Reference(standard.workload, standard.start, Options("numpy"), **study)
    return answers(reference, standard.start, standard.batches)


def judge(found: Mapping[str, NDArray], standard: Standard, precision: str) -> Verdict:
    """Hold a cell's answers against the standard; what is missing or of another shape fails."""
    if precision in ROUNDINGS and precision not in standard.drifts:
        raise ValueError(f"{precision} was not rehearsed")
    bounds = Bounds(standard.workload, precision)
    runs = standard.drifts.get(precision, standard.drifts["float32"])
    return Verdict(tuple(_checks(found, standard, bounds, runs)))


def _checks(
    found: Mapping[str, NDArray], standard: Standard, bounds: Bounds, runs: Sequence[Answers]
) -> Iterator[Check]:
    for key, right in standard.right.items():
        if key == "losses":
            continue
        kind, _, name = key.partition("/")
        steps = standard.steps if kind == "last" else 1
        title, when = _words(kind, name, steps)
        origin = standard.start[name].astype(np.float64) if kind in ("first", "last") else 0.0
        drifts = [one[key] for one in runs]
        base = bounds.of(kind, name, steps)
        if kind in ("first", "last"):
            base += storage_floor(right, origin, steps, bounds.storage)
        yield _check(title, when, found.get(key), right, drifts, origin, base)
    yield from _loss_checks(found, standard, bounds, runs)


def _loss_checks(
    found: Mapping[str, NDArray], standard: Standard, bounds: Bounds, runs: Sequence[Answers]
) -> Iterator[Check]:
    """The loss at every step, each against its own bound."""
    right = standard.right["losses"]
    losses = np.atleast_1d(found.get("losses", np.empty(0)))
    for i, value in enumerate(right):
        mine = losses[i] if len(losses) == len(right) else None
        drifts = [one["losses"][i] for one in runs]
        base = bounds.of("losses", "", i + 1)
        yield _check("the loss", f"at step {i + 1}", mine, value, drifts, 0.0, base)


def _check(
    title: str,
    when: str,
    found: NDArray | None,
    right: NDArray,
    drifts: Sequence[NDArray],
    origin: NDArray | float,
    base: float,
) -> Check:
    """Compare what was found with what is right, both as differences from `origin`."""
    right = np.asarray(right, np.float64)
    if found is None or np.shape(found) != right.shape:
        return Check(title, when, math.inf, base, math.inf, base)
    moved = right - origin
    pairs = []
    for size in (np.linalg.norm, lambda x: np.max(np.abs(x), initial=0.0)):
        whole = float(size(np.ravel(moved)))

        def off(one: NDArray, size: object = size, whole: float = whole) -> float:
            distance = float(size(np.ravel(np.asarray(one, np.float64) - right)))  # type: ignore[operator]
            return distance / whole if whole else (0.0 if distance == 0 else math.inf)

        drift = max(map(off, drifts))
        pairs.append((off(found), base + DRIFT * drift))
    return Check(title, when, pairs[0][0], pairs[0][1], pairs[1][0], pairs[1][1])


def _words(kind: str, name: str, steps: int) -> tuple[str, str]:
    """Name a tensor and its moment."""
    return {
        "logits": ("logits", "at step 1"),
        "loss": ("the loss", "at step 1"),
        "gradient": (f"gradient of {name}", "at step 1"),
        "first": (f"what {name} moved by", "after step 1"),
        "last": (f"what {name} moved by", f"after step {steps}"),
    }[kind]
