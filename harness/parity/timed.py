"""Judges slices that were really timed: what they computed is held against replays and the reference.

A training is gone through again one batch at a time from a snapshot of what was before it; the
reference takes its first steps from there. Both agreeing shows the slice. Predictions are asked for
again by other calls, and the reference makes some of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from frameworks.contract import Memory, Options
from frameworks.reference.adapter import Reference
from frameworks.reference.arithmetic import ROUNDED, noisy
from frameworks.replays import NUDGES
from harness.parity.check import Check, Verdict, compare, judge
from harness.parity.deviations import ROUNDING, sizes
from harness.parity.reference import ReferenceDiverged, ReferenceRun, run_reference
from workloads.batches import Batch
from workloads.cost import is_heavy
from workloads.spec import Workload

SAMPLES, FEWER = 4, 2
"""How many runs show what rounding does to the first steps of a slice; fewer for large nets."""

Arrays = Mapping[str, NDArray]


def part(arrays: Arrays, stem: str) -> dict[str, NDArray]:
    """Return the arrays whose keys begin with ``stem/``, by the rest of the key."""
    start = f"{stem}/"
    return {key[len(start) :]: a for key, a in arrays.items() if key.startswith(start)}


def taken_up(arrays: Arrays, workload: Workload) -> ReferenceRun:
    """Return the run of those steps of a timed training that `frameworks.replays` hands on.

    It has neither answers nor bounds.
    """
    slots = {slot: part(arrays, f"memory/{slot}") for slot in workload.optimiser.slots}
    masks = [arrays[f"masks/{i}"] for i in range(sum(key.startswith("masks/") for key in arrays))]
    count, largest = arrays["labels"].shape[:2]
    sizes = arrays.get("sizes", np.full(count, largest))
    batches = [
        Batch(inputs[:size], labels[:size], tuple(layer[i][:size] for layer in masks))
        for i, (inputs, labels, size) in enumerate(
            zip(arrays["inputs"], arrays["labels"], sizes, strict=True)
        )
    ]
    memory = Memory(int(arrays["taken"]), slots)
    return ReferenceRun(workload, part(arrays, "start"), tuple(batches), memory)


def reference_of(arrays: Arrays, workload: Workload, precision: str) -> ReferenceRun:
    """Run the reference over a timed training's first steps."""
    run = taken_up(arrays, workload)
    samples = FEWER if is_heavy(workload) else SAMPLES
    return run_reference(workload, run.start, run.batches, [precision], run.memory, samples)


def judge_training(arrays: Arrays, run: ReferenceRun, precision: str) -> Verdict:
    """Hold a timed training against its replay, and both against the reference run.

    It is undecided where rounding may be half of all updates: at the end of a training that has come
    to rest.
    """
    early, timed, replayed = run.steps, part(arrays, "timed"), part(arrays, "replayed")
    answers = {f"weights/{early}/{name}": w for name, w in part(replayed, "early").items()}
    averages = part(replayed, "early average")
    answers |= {f"average/{early}/{name}": w for name, w in averages.items()}
    early_run = _restricted(run, {*answers, "losses"})
    after = judge({**answers, "losses": replayed["losses"][:early]}, early_run, precision)
    moved = [c for c in after.checks if c.tensor.startswith("update") and not c.vanishing]
    undecided = () if any(c.decides for c in moved) else tuple(c.place for c in moved)
    checks = [replace(check, when=f"{check.when}, replayed") for check in after.checks]
    losses_run = _restricted(run, {"losses"})
    checks += judge({"losses": timed["losses"][:early]}, losses_run, precision).checks
    nudged = [nudge for i in range(NUDGES) if (nudge := part(arrays, f"nudged{i}"))]
    checks += _as_replayed(timed, replayed, nudged, part(arrays, "start"))
    return Verdict(tuple(checks), early, undecided)


def _restricted(run: ReferenceRun, keys: set[str]) -> ReferenceRun:
    """The run with those answers alone, so that nothing else is judged."""
    return replace(run, answers={key: run.answers[key] for key in run.answers if key in keys})


def _as_replayed(
    timed: Arrays, replayed: Arrays, nudged: list[dict[str, NDArray]], start: Arrays
) -> Iterator[Check]:
    """What the slice came to, against its replay; what nudged replays deviate by is the bound."""
    steps = len(replayed["losses"])
    for key, expected in replayed.items():
        if key.startswith("early") or (key not in timed and "losses" in timed and len(timed) == 1):
            continue
        name = key.partition("/")[2]
        origin = start[name] if key.startswith("after/") else 0.0
        bound = np.zeros(2)
        for nudge in nudged:
            bound = np.maximum(bound, ROUNDING * sizes(_wide(nudge[key]) - expected))
        kinds = {
            "after": f"update of {name}",
            "memory": f"the optimiser's {name.replace('/', ' of ')}",
        }
        tensor = kinds.get(key.partition("/")[0], key)
        words = (tensor, f"in the timed list of {steps} batches", steps)
        yield compare(words, timed.get(key), expected, bound, origin)


def _wide(x: NDArray) -> NDArray[np.float64]:
    return np.asarray(x, np.float64)


def judge_predictions(arrays: Arrays, workload: Workload, precision: str) -> Verdict:
    """Hold timed predictions against the reference's, where drawn, and all against their replay.

    Raises ReferenceDiverged where the reference's are not finite.
    """
    timed, replayed, drawn = arrays["timed"], arrays["replayed"], arrays["drawn"]
    expected, bounds = predicted(arrays, workload, precision)
    calls = arrays["calls"]
    last = calls[-1] + 1
    checks = [
        compare(
            ("prediction", f"in timed call {calls[i] + 1} of {last}", 0), timed[i], logits, bound
        )
        for i, logits, bound in zip(drawn, expected, bounds, strict=True)
    ]
    # Both may be off by a bound, which is much the same share of all logits.
    tiny = np.finfo(float).tiny
    relative = 2 * np.max(bounds / np.maximum([sizes(r) for r in expected], tiny))
    errors = [sizes(d)[0] for d in _wide(timed) - replayed]
    norms = [max(sizes(logits)[0], tiny) for logits in _wide(replayed)]
    worst = int(np.argmax(np.divide(errors, norms)))
    where = f"in timed call {calls[worst] + 1} of {last}, against its replay,"
    words = ("prediction", where, 0)
    bound = relative * sizes(replayed[worst])
    checks.append(compare(words, timed[worst], replayed[worst], bound))
    undecided = [check.place for check in checks if not check.decides]
    return Verdict(tuple(checks), 0, tuple(undecided))


def predicted(
    arrays: Arrays, workload: Workload, precision: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the drawn predictions by the reference, (drawn, batch, classes), and bounds, (drawn, 2).

    Raises ReferenceDiverged where they are not finite.
    """
    weights, inputs = part(arrays, "weights"), list(arrays["inputs"])

    def logits(**options: object) -> NDArray:
        reference = Reference(workload, weights, Options("numpy"), **options)  # type: ignore[arg-type]
        return np.stack([reference.predict([x]) for x in inputs])

    with threadpool_limits(1), np.errstate(all="ignore"):
        expected = logits()
        if not np.isfinite(expected).all():
            raise ReferenceDiverged(1)
        seeds = np.random.SeedSequence(workload.data.seed).spawn(SAMPLES)
        samples = [logits(arithmetic=noisy(precision, np.random.default_rng(s))) for s in seeds]
        rounded = ROUNDED.get(precision, ())
        samples += [logits(arithmetic=a) for a in rounded] or [logits(dtype=np.float32)]
    deviations = np.array([[sizes(d) for d in sample - expected] for sample in samples])
    # A single example may come near by luck: the largest of all is taken, relative to the logits.
    effects = np.array([sizes(r) for r in expected])
    relative = np.max(deviations / np.maximum(effects, np.finfo(float).tiny), axis=(0, 1))
    return expected, ROUNDING * relative * effects
