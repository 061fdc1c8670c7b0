"""Holds a cell's answers against the reference run, tensor by tensor: equivalent, not, or undecided."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.arithmetic import ROUNDED
from harness.limits import NEEDED_UPDATES
from harness.parity.deviations import sizes
from harness.parity.reference import DECIDES, ZERO, ReferenceRun
from harness.verdicts import EQUIVALENT, NOT_EQUIVALENT, UNDECIDED


@dataclass(frozen=True)
class Check:
    """One tensor against the reference's.

    `error`, `bound` and `effect` are norms: of the difference, of what rounding allows of that, and of
    the expected value (of a weight, of its update); `largest`, `largest_bound` and
    `largest_effect` are the same of the largest element. `steps` is how many were taken. `vanishing`:
    the right value is zero, so that any bound decides.
    """

    tensor: str
    when: str
    steps: int
    error: float
    bound: float
    effect: float
    largest: float
    largest_bound: float
    largest_effect: float
    vanishing: bool = False

    @property
    def share(self) -> float:
        """How much of its bound is used up; above 1 it fails, and so does what is not a number."""
        return max(_share(self.error, self.bound), _share(self.largest, self.largest_bound))

    @property
    def ok(self) -> bool:
        """Whether the difference is within what rounding allows."""
        return self.share <= 1

    @property
    def decides(self) -> bool:
        """Whether the bound is small enough to show anything."""
        return self.vanishing or self.bound < DECIDES * self.effect

    @property
    def place(self) -> str:
        """The tensor and the moment."""
        return f"{self.tensor} {self.when}"


def _share(error: float, bound: float) -> float:
    if not math.isfinite(error):
        return math.inf
    return error / bound if bound else (0.0 if error == 0 else math.inf)


@dataclass(frozen=True)
class Verdict:
    """All checks of one cell, in the order in which a step computes them.

    `undecided` names what nothing was shown of, though it had to be: tensors with their moments.
    """

    checks: tuple[Check, ...]
    steps: int
    undecided: tuple[str, ...] = ()

    @property
    def value(self) -> str:
        """One of EQUIVALENT, NOT_EQUIVALENT and UNDECIDED."""
        if not self.checks or not all(check.ok for check in self.checks):
            return NOT_EQUIVALENT
        return UNDECIDED if self.undecided else EQUIVALENT

    @property
    def decided_steps(self) -> int:
        """Up to which step everything is decided."""
        open_steps = [check.steps for check in self.checks if not check.decides]
        decided = [check.steps for check in self.checks]
        return max((n for n in decided if n < min(open_steps, default=math.inf)), default=0)

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
        if self.value == UNDECIDED:
            return f"undecided: rounding alone may be half of {_listed(self.undecided)}"
        if self.value == EQUIVALENT:
            upto = self.decided_steps
            return "equivalent" + (
                f", decided up to step {upto} of {self.steps}" if upto < self.steps else ""
            )
        worst = self.worst
        error, bound, effect = worst.error, worst.bound, worst.effect
        if not _share(error, bound) > 1:
            error, bound, effect = worst.largest, worst.largest_bound, worst.largest_effect
        if not math.isfinite(error):
            return f"not equivalent: {worst.tensor} is not finite, or missing, {worst.when}"
        if worst.vanishing or not effect:
            return (
                f"not equivalent: {worst.tensor} is {error:.1e} (bound {bound:.0e}) where zero is"
                f" right, {worst.when}"
            )
        return (
            f"not equivalent: {worst.tensor} differs by {error / effect:.1e}"
            f" (bound {bound / effect:.0e}) {worst.when}"
        )


def _listed(places: Sequence[str], most: int = 3) -> str:
    unnamed = len(places) - most
    return ", ".join(places[:most]) + (f" and {unnamed} more" if unnamed > 0 else "")


def judge(answers: Mapping[str, NDArray], run: ReferenceRun, precision: str) -> Verdict:
    """Hold a cell's answers against the reference; what is missing or of another shape fails.

    Raises:
        ValueError: the reference run has no bounds for this precision.
    """
    if precision in ROUNDED and precision not in run.bounds:
        raise ValueError(f"the reference run has no bounds for {precision}: name it in precisions")
    named = precision if precision in run.bounds else "float32"
    bounds, apart = run.bounds[named], run.apart[named]
    checks = [*_checks(answers, run, bounds, apart), *_loss_checks(answers, run, bounds)]
    checks.sort(key=lambda check: check.steps)
    # Until an optimiser's memory has been used, all has to be decided.
    needed = min(run.steps, NEEDED_UPDATES * run.workload.optimiser.accumulate)
    undecided = [c.place for c in checks if not c.decides and c.steps <= needed]
    return Verdict(tuple(checks), run.steps, tuple(undecided))


def _checks(
    answers: Mapping[str, NDArray],
    run: ReferenceRun,
    bounds: Mapping[str, NDArray],
    apart: Mapping[str, NDArray],
) -> Iterator[Check]:
    for key, expected in run.answers.items():
        if key == "losses":
            continue
        kind, _, name = key.partition("/")
        tensor, when, steps = _words(kind, name)
        name = name.partition("/")[2] if kind in ("weights", "average") else name
        origin = run.start[name].astype(np.float64) if kind == "weights" else 0.0
        if kind == "average":  # what tells it from the weights: by itself it hardly moves at first
            origin = run.answers[f"weights/{steps}/{name}"]
        words, marks = (tensor, when, steps), apart.get(key)
        check = compare(words, answers.get(key), expected, bounds[key], origin, marks)
        check = replace(check, effect=max(check.effect, _state_scale(run, name, steps)))
        # A parameter's update is also next to nothing where the learning rate is.
        moved = name in run.workload.parameters and run.updates(steps) > 0
        moved = moved and kind in ("weights", "average")
        zero = check.effect <= ZERO * check.bound and not moved
        yield replace(check, vanishing=zero or name in run.vanishing)


def _state_scale(run: ReferenceRun, name: str, steps: int) -> float:
    """Return what counts as the effect on a running mean or variance, however little it moved; else 0.

    That is the share of the batches in it, times the variance; for the mean, times the deviation, by
    which its errors count.
    """
    layer, _, short = name.rpartition(".")
    if name not in run.workload.state or not steps:
        return 0.0
    place = next(place for place in run.workload.leaves if place.name == layer)
    share = 1 - (1 - getattr(place.layer, "momentum", 0.0)) ** steps
    variance = run.answers[f"weights/{steps}/{layer}.variance"]
    return share * float(np.linalg.norm(variance if short == "variance" else np.sqrt(variance)))


def _loss_checks(
    answers: Mapping[str, NDArray], run: ReferenceRun, bounds: Mapping[str, NDArray]
) -> Iterator[Check]:
    """The loss of every step, each against its own bound."""
    expected = run.answers["losses"]
    losses = np.atleast_1d(answers.get("losses", np.empty(0)))
    for i, value in enumerate(expected):
        loss = losses[i] if len(losses) == len(expected) else None
        bound = np.full(2, bounds["losses"][i])
        yield compare(("the loss", f"at step {i + 1}", i + 1), loss, value, bound)


def compare(
    words: tuple[str, str, int],
    answer: NDArray | None,
    expected: NDArray,
    bound: NDArray,
    origin: NDArray | float = 0.0,
    apart: NDArray | None = None,
) -> Check:
    """Return the check of an answer against the expected one.

    `words` are the tensor, the moment and the steps taken. `bound` (2,) is of the norm and of the
    largest element of their difference; the effect is how far `expected` is from `origin`. Norms
    leave out the elements that `apart` marks.
    """
    expected = np.asarray(expected, np.float64)
    effect, error = sizes(expected - origin, apart), np.full(2, math.inf)
    if answer is not None and np.shape(answer) == expected.shape:
        error = sizes(np.asarray(answer, np.float64) - expected, apart)
    return Check(
        *words,
        error=float(error[0]),
        bound=float(bound[0]),
        effect=float(effect[0]),
        largest=float(error[1]),
        largest_bound=float(bound[1]),
        largest_effect=float(effect[1]),
    )


_PROBES = {"one": "one example", "batch": "a batch", "list": "a list of batches"}


def key_of(check: Check) -> str:
    """Return the key of what was checked, see `frameworks.answers`; ``losses/<step>`` of a loss."""
    kind, _, name = check.tensor.partition(" of ")
    if kind == "prediction":
        probe = next(probe for probe, words in _PROBES.items() if words == name)
        return f"predicted/{check.steps}/{probe}"
    if kind == "the loss":
        return f"losses/{check.steps}"
    stems = {
        "gradient": "gradient",
        "update": f"weights/{check.steps}",
        "average": f"average/{check.steps}",
    }
    return f"{stems[kind]}/{name}" if name else kind


def _words(kind: str, name: str) -> tuple[str, str, int]:
    """Name a tensor and its moment, and say how many steps had been taken."""
    if kind in ("logits", "loss", "gradient"):
        titles = {"logits": "logits", "loss": "the loss", "gradient": f"gradient of {name}"}
        return titles[kind], "at step 1", 1
    taken, _, what = name.partition("/")
    when = f"after step {taken}" if int(taken) else "at the start"
    if kind in ("weights", "average"):
        return f"{'update' if kind == 'weights' else kind} of {what}", when, int(taken)
    return f"prediction of {_PROBES[what]}", when, int(taken)
