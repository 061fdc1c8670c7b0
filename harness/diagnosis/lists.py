"""What wrong lists look like: batches that one call of `train` takes otherwise than one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from frameworks.contract import Memory, Weights
from frameworks.reference.arithmetic import EXACT as EXACT_SUMS
from frameworks.reference.arithmetic import Arithmetic
from frameworks.replays import wrong_losses
from harness.diagnosis import losses, reports, steps, updates
from harness.diagnosis.relations import EXACT, coarse, common, difference, factor, stored_as
from harness.diagnosis.suspects import Arrays, Case, Compute, Suspect, explained
from harness.parity.check import Verdict
from harness.parity.reference import ReferenceRun
from harness.parity.timed import part, taken_up

GROUPS = (4, 8, 16, 32, 64, 128)
"""Steps that one call of a compiled loop may make."""

ROUNDED_ALIKE = 2e-7
"""By how much what a list and its replay differ by may be off, relative to what differs."""

SAME_LOSS = 3e-6
"""A loss is that of another batch where it differs by less than this, relative."""

FEW = 3
"""So many wrong losses tell one number from another."""

MOST = 0.05
"""A suspect leaves no more than this of what it explains: a list and its replay round alike."""


def in_a_list(arrays: Arrays, run: ReferenceRun, verdict: Verdict, first: Weights) -> Iterator[str]:
    """Yield what fits; the last fits all. `first` are the weights before the first training."""
    timed, replayed = arrays["timed/losses"], arrays["replayed/losses"]
    count = len(replayed)
    if np.shape(timed) != np.shape(replayed):
        yield f"{len(timed)} losses come of a list of {count} batches"
        return
    where = f"in a list of {count} batches, and not one by one"
    yield from (f"{words}, {where}" for words in _patterns(arrays, run, verdict, first))


def _patterns(arrays: Arrays, run: ReferenceRun, verdict: Verdict, first: Weights) -> Iterator[str]:
    timed, replayed = arrays["timed/losses"], arrays["replayed/losses"]
    off = wrong_losses(arrays)
    if not np.isfinite(timed).all():
        yield f"losses are not finite from batch {np.flatnonzero(~np.isfinite(timed))[0] + 1} on"
    after, expected = part(arrays, "timed/after"), part(arrays, "replayed/after")
    if after:
        yield from _of_the_end(arrays, run, bool(len(off)))
        moves = {check.tensor for check in verdict.checks if check.tensor.startswith("update of")}
        wrong = {check.tensor for check in verdict.checks if not check.ok}
        if not moves & wrong:
            yield from _beside_right_weights(arrays, run, bool(len(off)))
    if len(off):
        if (group := _whole_groups(off, len(replayed))) and not np.ptp(timed[off[0] :]):
            yield f"what remains of whole groups of {group} steps is not trained"
        yield from reports.of_values(timed, replayed)
    pairs = timed[1::2] == timed[: len(timed) - len(timed) % 2 : 2]
    if np.mean(pairs) > 0.9:
        yield "losses come in equal pairs: every second batch is left out, or two make one step"
    yield from _explained(arrays, run, first)
    if not len(off):
        if after:
            yield from moved(after, expected, part(arrays, "start"), run)
        yield (
            "all losses are right and the weights are not: an update is left out, or not done when"
            " train returns"
        )
        return
    last = [*off] == [len(replayed) - 1]
    yield from (
        f"the last batch is another: {words}" if last else words for words in _of_order(arrays)
    )
    if last:
        yield "the last batch is another"
    if group := _whole_groups(off, len(replayed)):
        yield f"what remains of whole groups of {group} steps is trained otherwise"
    if off[0] == 0:
        yield from _coarse(arrays, run)
        yield (
            "the first loss is wrong already: another batch, other masks of dropout, or weights or state"
            " of another moment (a graph that is stale, an update that comes late)"
            if run.workload.masked
            else "the first loss is wrong already: another batch, or weights or state of another moment"
            " (a graph that is stale, an update that comes late)"
        )
    yield f"steps go wrong from batch {off[0] + 1} on: another path for lists"


def _of_the_end(arrays: Arrays, run: ReferenceRun, is_loss_off: bool) -> Iterator[str]:
    """Patterns of the weights and the memory that a list leaves."""
    after, expected = part(arrays, "timed/after"), part(arrays, "replayed/after")
    start = part(arrays, "start")
    for name in run.workload.parameters:
        if (coarse := stored_as(after[name])) and not stored_as(expected[name]):
            yield f"{name} is stored in {coarse} between steps"
    still = [
        name
        for name in expected
        if np.array_equal(after[name], start[name]) and np.any(expected[name] != start[name])
    ]
    frozen = [name for name in still if name in run.workload.parameters]
    if frozen and len(frozen) < len(run.workload.parameters):
        yield f"{frozen[0]} does not move: a layer is frozen"
    elif frozen:
        yield "no weight moves"
    if still and not frozen and not is_loss_off:
        yield f"{still[0]} is not moved, though all weights are right"


def _beside_right_weights(arrays: Arrays, run: ReferenceRun, is_loss_off: bool) -> Iterator[str]:
    """Patterns of losses or a memory that are wrong, where all weights are right."""
    if is_loss_off:
        timed, replayed = arrays["timed/losses"], arrays["replayed/losses"]
        prefix = "weights are right and losses are not"
        yield from (f"{prefix}: {words}" for words in reports.of_values(timed, replayed))
        window = _window(arrays, run)
        case, compute = window.of_losses()
        words = explained(steps.of_reports(window.run), _none, compute, case, MOST)
        yield from (f"{prefix}: {hint}" for hint in words)
        yield "weights are right and the losses that are reported are not"
    yield from _of_memory(arrays)
    yield "weights are right and the optimiser's memory is not"


def _of_memory(arrays: Arrays) -> Iterator[str]:
    """Which slot of the optimiser's memory is wrong, and how."""
    timed, replayed = part(arrays, "timed/memory"), part(arrays, "replayed/memory")
    start = part(arrays, "memory")
    wrong = [
        key for key in replayed if key not in timed or not np.array_equal(timed[key], replayed[key])
    ]
    slots = {key.partition("/")[0] for key in wrong}
    if len(slots) != 1:
        return
    (slot,) = slots
    of_slot = [key for key in wrong if key in timed]
    name = "the weights' average" if slot == "average" else f"the optimiser's {slot}"
    if not any(np.any(timed[key]) for key in of_slot):
        yield f"weights are right and {name} is empty"
    if all(np.array_equal(timed[key], start[key]) for key in of_slot):
        yield f"weights are right and {name} does not move"
    if slot == "average":
        after = part(arrays, "timed/after")
        if all(np.array_equal(timed[key], after[key.partition("/")[2]]) for key in of_slot):
            yield f"weights are right and {name} is the weights themselves"
        yield f"weights are right and {name} is not: it moves by another share, or at other moments"
    yield f"weights are right and {name} is not"


def moved(after: Weights, expected: Weights, start: Weights, run: ReferenceRun) -> Iterator[str]:
    """Yield patterns in the weights' updates."""
    names = [name for name in run.workload.parameters if name not in run.vanishing]
    moves = {
        name: (after[name] - start[name].astype(np.float64), expected[name] - start[name])
        for name in names
    }
    moves = {name: pair for name, pair in moves.items() if np.any(pair[1])}
    wrong = {name: pair for name, pair in moves.items() if difference(*pair) > EXACT}
    still = [name for name, (by, _) in wrong.items() if not np.any(by)]
    if still and len(still) < len(moves):
        yield f"{still[0]} does not move: a layer is frozen"
    elif still:
        yield "no weight moves"
    scale = common([factor(*pair) for pair in moves.values()])
    if scale is not None and abs(scale - 1) > EXACT:
        yield f"every weight moves by {scale:.6g} times what is right: another learning rate"
    states = [
        name for name in run.workload.state if difference(after[name], expected[name]) > EXACT
    ]
    if states and not wrong:
        unmoved = all(np.array_equal(after[name], start[name]) for name in states)
        yield f"{states[0]} is {'not moved' if unmoved else 'wrong'}, though all weights are right"


@dataclass(frozen=True)
class Window:
    """Steps of a list that are gone through again: those after its first `begin` batches.

    `run` begins there. `observed` and `expected` are what the list and its replay answer.
    """

    begin: int
    run: ReferenceRun
    observed: Arrays
    expected: Arrays

    def of_losses(self) -> tuple[Case, Compute]:
        """Return the case of the losses alone."""
        keys = ("losses",)
        observed, expected = ({key: a[key] for key in keys} for a in (self.observed, self.expected))
        return replace(self, observed=observed, expected=expected).case()

    def case(self) -> tuple[Case, Compute]:
        """Return what is wrong, and what computes a suspect's answers to it.

        A list and its replay round alike. So what they differ by is put on top of the reference's
        answers: a suspect has to differ from the reference by as much.
        """
        reference = self._computed(Suspect("", self.run))
        observed, bounds = {}, {}
        for key, replayed in self.expected.items():
            apart = self.observed[key].astype(np.float64) - replayed
            observed[key] = reference[key] + apart
            bounds[key] = ROUNDED_ALIKE * float(np.linalg.norm(replayed))
        return Case(observed, {key: reference[key] for key in observed}, bounds), self._computed

    def _computed(self, suspect: Suspect) -> Arrays:
        reference = suspect.reference()
        losses = suspect.trainer.call(reference, suspect.run.batches)
        weights = {f"after/{name}": weight for name, weight in reference.weights().items()}
        return {"losses": np.asarray(losses)[: self.run.steps], **weights}

    @property
    def tells_numbers_apart(self) -> bool:
        """Whether so much is wrong that not any number explains it."""
        losses = self.observed["losses"] != self.expected["losses"]
        return len(self.observed) > 1 or int(np.count_nonzero(losses)) >= FEW


def _window(arrays: Arrays, run: ReferenceRun) -> Window:
    """Return the steps at which a list and its replay part."""
    begin, taken = 0, run
    if "apart/begin" in arrays:
        apart = part(arrays, "apart")
        begin, taken = int(apart["begin"]), taken_up(apart, run.workload)
    end = begin + taken.steps
    timed, replayed = part(arrays, "timed"), part(arrays, "replayed")
    keys = [f"after/{name}" for name in run.workload.parameters if name not in run.vanishing]
    keys = keys if end == len(replayed["losses"]) and keys[0] in timed else []
    observed, expected = (
        {"losses": answers["losses"][begin:end], **{key: answers[key] for key in keys}}
        for answers in (timed, replayed)
    )
    return Window(begin, taken, observed, expected)


def _explained(arrays: Arrays, run: ReferenceRun, first: Weights) -> Iterator[str]:
    """What explains the steps at which a list and its replay part."""
    window = _window(arrays, run)
    case, compute = window.case()
    fits = partial(_fits, window.run) if window.tells_numbers_apart else _none
    count = len(arrays["replayed/losses"])
    suspects = chain(_stale(window, first), _suspects(window.run, window.begin, count))
    yield from explained(suspects, fits, compute, case, MOST)


def _fits(run: ReferenceRun, compute: Compute, case: Case) -> Iterator[Suspect]:
    yield from updates.fits(run, compute, case)
    yield from steps.fits(run, compute, case)
    yield from losses.fits(run, compute, case)


def _stale(window: Window, first: Weights) -> Iterator[Suspect]:
    """Yield the list that begins with the weights of before the first training."""
    if not window.begin:
        words = "it begins with the weights of the start: a graph or a buffer that is stale"
        yield Suspect(words, replace(window.run, start=first))
        yield Suspect(words, replace(window.run, start=first, memory=None))


def explained_alone(replayed: Arrays, run: ReferenceRun) -> Iterator[str]:
    """Yield what explains single steps that are wrong, from the run's begin on."""
    steps_taken, names = run.steps, [n for n in run.workload.parameters if n not in run.vanishing]
    observed = {"losses": replayed["losses"][:steps_taken]}
    expected, bounds = {"losses": run.answers["losses"]}, dict[str, float]()
    for name in names:
        observed[f"after/{name}"] = replayed[f"early/{name}"]
        expected[f"after/{name}"] = run.answers[f"weights/{steps_taken}/{name}"]
    for key in expected:
        of_run = key.replace("after", f"weights/{steps_taken}")
        bounds[key] = max(float(np.linalg.norm(b[of_run][..., 0])) for b in run.bounds.values())

    def compute(suspect: Suspect) -> Arrays:
        reference, trainer = suspect.reference(), suspect.trainer
        losses = [trainer.call(reference, [batch])[0] for batch in suspect.run.batches]
        weights = {f"after/{name}": weight for name, weight in reference.weights().items()}
        return {"losses": np.asarray(losses), **weights}

    case = Case(observed, expected, bounds)
    yield from explained(_suspects(run, 0, 0), partial(updates.fits, run), compute, case, MOST)


def _none(compute: Compute, case: Case) -> Iterator[Suspect]:
    """Yield no number: one fits a single loss always."""
    yield from ()


def _suspects(run: ReferenceRun, begin: int, count: int) -> Iterator[Suspect]:
    """Yield other trainings of the steps from batch `begin` on, counted from 0, of `count` batches."""
    moment = f"at batch {begin + 1}" if begin else "at the start"
    if run.memory is not None:
        empty = {
            slot: arrays if slot == "average" else {n: np.zeros_like(a) for n, a in arrays.items()}
            for slot, arrays in run.memory.slots.items()
        }
        for taken in (run.memory.steps, 0):
            memory = Memory(taken, empty)
            words = f"the optimiser's memory is lost {moment}"
            yield Suspect(words, replace(run, memory=memory))
        memory = Memory(0, run.memory.slots)
        yield Suspect(f"steps are counted anew {moment}", replace(run, memory=memory))
    yield from updates.suspects(run)
    yield from steps.of_updates(run, begin, count)
    if run.memory is not None and run.memory.slots:
        yield from steps.of_sums(run)


def _of_order(arrays: Arrays) -> Iterator[str]:
    """Whether the first wrong loss is right for another batch of the list."""
    if "apart/alone" not in arrays:
        return
    step, loss = int(arrays["apart/first"]), arrays["timed/losses"][int(arrays["apart/first"])]
    for alone, masks in zip(
        arrays["apart/alone"], ("", ", by the masks of its own step"), strict=True
    ):
        distances = np.abs(alone - loss) / np.maximum(np.abs(loss), np.finfo(float).tiny)
        batch = int(np.argmin(np.nan_to_num(distances, nan=np.inf)))
        if distances[batch] < SAME_LOSS and batch != step:
            if (step, batch) == (0, len(alone) - 1):
                yield f"the list is trained from its end to its begin{masks}"
            words = f"step {step + 1} is by batch {batch + 1}{masks}"
            yield f"{words}: another order, or a batch that is stale"


def _coarse(arrays: Arrays, run: ReferenceRun) -> Iterator[str]:
    """Whether all early losses are off by as much as in a coarse arithmetic."""
    timed, replayed = arrays["timed/losses"][: run.steps], arrays["replayed/losses"][: run.steps]

    def in_arithmetic(arithmetic: Arithmetic) -> NDArray:
        losses = [run.reference(arithmetic=a).train(run.batches) for a in (arithmetic, EXACT_SUMS)]
        return replayed + losses[0] - losses[1]

    rows = (timed[:, None], replayed[:, None])
    yield from coarse(*rows, lambda arithmetic: in_arithmetic(arithmetic)[:, None])


def _whole_groups(off: NDArray, count: int) -> int | None:
    """The size of groups after whose last whole one all losses are off, where there is one."""
    first = int(off[0])
    if not first or len(off) < count - first:
        return None
    return next((g for g in GROUPS if count % g and first == count - count % g), None)
