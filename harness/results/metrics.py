"""The metrics of a cell, a row each: the only place with their names, columns, titles, units and rules.

The summary's columns, the tables of every report, the terminal's legend, the table in
docs/reference/run-folder.md, the JSON Schema of the report, the gate, `history`, `bisect` and `compare`
are derived from these rows. To add a metric, add a row; `python docs/columns.py` then brings the
documentation up to date.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from harness.results.metric import (
    EventField,
    Gate,
    Median,
    Metric,
    Speed,
    bounds,
    latency,
    ranks,
    to_target,
)
from harness.text import mebibytes, percent, score, seconds, whole, yes_no

_score = partial(Metric, write=score, better="higher", quality=True, always=True)
_count = partial(Metric, write=whole, type="integer")
_flag = partial(Metric, write=yes_no, type="boolean")
_speed = partial(Metric, unit="samples/s", better="higher")
_seconds = partial(Metric, write=seconds, unit="s", better="lower")
_bytes = partial(Metric, write=mebibytes, unit="bytes", better="lower", type="integer")

RANKS = ranks()
RANK = RANKS[0]
PARITY = Metric(
    "parity",
    "parity_share",
    "largest error over its bound",
    "err/bound",
    "the largest error over its bound in all parity checks of the cell; more than 1 fails",
    better="lower",
    priority=13,
    gate=Gate(),
    compare=True,
)
ACCURACY = _score(
    "accuracy",
    "accuracy",
    "accuracy",
    "acc",
    "on the whole test set, by scikit-learn from the predicted classes",
    source=EventField("evaluated", "accuracy"),
    priority=1,
    gate=Gate(),
    history=True,
    bisect=True,
    compare=True,
)
PERPLEXITY = Metric(
    "perplexity",
    "perplexity",
    "perplexity",
    "perpl.",
    "exp of the mean cross-entropy of the test set, of a workload with a label a step",
    better="lower",
    quality=True,
    source=EventField("evaluated", "perplexity"),
    priority=1,
)
THROUGHPUT = _speed(
    "throughput",
    "train_samples_per_s",
    "training samples/s",
    "train/s",
    "training: the mean over launches of their Hodges-Lehmann pseudomedians of slices",
    source=Speed("train"),
    priority=0,
    always=True,
    gate=Gate(kind="train"),
    history=True,
    bisect=True,
    compare=True,
)
INFERENCE = _speed(
    "inference",
    "predict_samples_per_s",
    "inference samples/s",
    "infer/s",
    "inference at the workload's batch size, likewise",
    source=Speed("predict"),
    priority=2,
    always=True,
    gate=Gate(kind="predict"),
    history=True,
    bisect=True,
    compare=True,
)
RESIDENT = _speed(
    "resident-throughput",
    "resident_samples_per_s",
    "resident training samples/s",
    "resident/s",
    "training with batches already on the device, on a GPU only",
    source=Speed("resident"),
    priority=9,
    gate=Gate(kind="resident"),
)
_ONE = latency("latency", "latency1", "one example", "ms", (7, 11, 8))
LATENCY = replace(
    _ONE[0], gate=Gate(kind="single", allowance=2.0, unit="s"), history=True, bisect=True
)
FIRST_STEP = _seconds(
    "first-step",
    "first_step_s",
    "first step, s",
    "first s",
    "the very first training step, tracing and compiling included",
    source=EventField("first-step", "seconds"),
    priority=3,
    always=True,
    gate=Gate(
        events=(EventField("first-step", "seconds"), EventField("launched", "first_step_seconds")),
        allowance=5.0,
    ),
    history=True,
    bisect=True,
    compare=True,
)
FIRST_STEP_WARM = _seconds(
    "first-step-warm",
    "first_step_warm_s",
    "first step with a warm cache, s",
    "warm s",
    "that of the last launch, which finds what earlier ones compiled",
    source=EventField("launched", "first_step_seconds"),
)
MEMORY = _bytes(
    "memory",
    "peak_memory_bytes",
    "peak memory, MiB",
    "MiB",
    "the worker's peak; a check compares it without what the import takes",
    source=EventField("memory", "peak_rss"),
    priority=4,
    always=True,
    elsewhere="device-memory",
    gate=Gate(
        events=tuple(
            EventField(kind, "peak_rss", less="import_rss") for kind in ("memory", "peaked")
        )
    ),
    history=True,
    bisect=True,
    compare=True,
)
DEVICE_MEMORY = _bytes(
    "device-memory",
    "device_peak_bytes",
    "GPU peak, MiB",
    "GPU MiB",
    "the device allocator's peak",
    source=EventField("memory", "device_peak"),
    priority=4,
    gate=Gate(events=tuple(EventField(kind, "device_peak") for kind in ("memory", "peaked"))),
    compare=True,
)

METRICS: tuple[Metric, ...] = (
    *RANKS,
    PARITY,
    ACCURACY,
    PERPLEXITY,
    _score(
        "precision",
        "precision",
        "precision",
        "prec",
        "the plain mean over the classes",
        source=EventField("evaluated", "precision"),
        priority=8,
    ),
    _score(
        "recall",
        "recall",
        "recall",
        "recall",
        "the plain mean over the classes",
        source=EventField("evaluated", "recall"),
        priority=9,
    ),
    _score(
        "f1",
        "f1",
        "F1",
        "F1",
        "the plain mean over the classes",
        source=EventField("evaluated", "f1"),
        priority=10,
    ),
    _count(
        "examples",
        "examples",
        "test examples",
        "examples",
        "scored test examples; steps, of a workload with a label a step",
        source=EventField("evaluated", "examples"),
        quality=True,
    ),
    *to_target(),
    THROUGHPUT,
    *bounds(THROUGHPUT, priority=9),
    INFERENCE,
    *bounds(INFERENCE),
    RESIDENT,
    *bounds(RESIDENT),
    _count("launches", "launches", "launches", "launches", "launches that were timed"),
    _count(
        "disturbed",
        "contaminated",
        "contaminated slices",
        "contaminated",
        "slices that something outside the worker disturbed",
        better="lower",
    ),
    _flag(
        "steady",
        "steady",
        "steady",
        "steady",
        "whether every launch's step times became steady in its warm-up",
    ),
    Metric(
        "cores",
        "cores_used",
        "cores used",
        "cores",
        "processor time over wall time in a training slice",
        source=Median("train", "cpu_seconds", "seconds"),
        priority=10,
    ),
    Metric(
        "limit-share",
        "limit_share",
        "MFU of the measured peak",
        "MFU",
        "the spec's operations a second over the run's best matrix product in the cell's arithmetic, on"
        " its device (`limits` events)",
        percent,
        better="higher",
        priority=6,
    ),
    Metric(
        "step-operations",
        "step_operations",
        "dispatches a step lasts",
        "disp.",
        "tiny operations (sums of two arrays of one element) that the framework starts one by one in the"
        " time of one training step: near the step's number of operators, dispatch is the bottleneck",
        priority=11,
    ),
    Metric(
        "energy",
        "joules_per_sample",
        "joules a sample",
        "J",
        "of training slices, where it can be read",
        unit="J",
        better="lower",
        source=Median("train", "joules", "samples"),
        priority=6,
    ),
    LATENCY,
    *_ONE[1:],
    *latency("batch-latency", "latency", "a batch", "batch", (11, 12, 12)),
    _seconds(
        "import",
        "import_s",
        "import, s",
        "import s",
        "importing the framework",
        source=EventField("opened", "import_seconds"),
        priority=10,
        always=True,
    ),
    _seconds(
        "build",
        "build_s",
        "building, s",
        "build s",
        "building the model",
        source=EventField("built", "seconds"),
    ),
    FIRST_STEP,
    FIRST_STEP_WARM,
    _seconds(
        "training",
        "train_s",
        "training, s",
        "training s",
        "the whole training",
        source=EventField("trained", "seconds"),
        priority=13,
    ),
    _seconds(
        "scoring",
        "evaluate_s",
        "scoring, s",
        "scoring s",
        "scoring the test set",
        source=EventField("evaluated", "seconds"),
    ),
    MEMORY,
    _bytes(
        "import-memory",
        "import_memory_bytes",
        "framework's own, MiB",
        "import MiB",
        "what the imported framework takes by itself",
        source=EventField("memory", "import_rss"),
        priority=10,
    ),
    _bytes(
        "shared-memory",
        "pss_bytes",
        "proportional set, MiB",
        "PSS MiB",
        "the worker's proportional set after training: shared pages are divided among workers",
        source=EventField("memory", "pss"),
    ),
    DEVICE_MEMORY,
    _bytes(
        "device-used",
        "device_used_bytes",
        "held on the GPU, MiB",
        "held MiB",
        "what the worker holds on the GPU after training, by the driver (NVML), CUDA's context included;"
        " empty where the driver does not say, as in most containers",
        source=EventField("memory", "device_used"),
        priority=9,
    ),
    Metric(
        "memory-floor",
        "memory_floor_bytes",
        "the spec's floor, MiB",
        "floor MiB",
        "the least that a training step needs by the spec: weights, gradients, the optimiser's memory,"
        " every layer's output",
        mebibytes,
        unit="bytes",
        type="integer",
        priority=11,
    ),
    _count(
        "steps",
        "steps",
        "training steps",
        "steps",
        "training steps taken",
        source=EventField("trained", "steps"),
    ),
    Metric(
        "first-loss",
        "first_loss",
        "first loss",
        "first loss",
        "the loss of the first step",
        source=EventField("first-step", "loss"),
    ),
    Metric(
        "final-loss",
        "final_loss",
        "final loss",
        "final loss",
        "the loss of the last step",
        better="lower",
        source=EventField("trained", "final_loss"),
    ),
)

BY_NAME = {metric.name: metric for metric in METRICS}
BY_COLUMN = {metric.column: metric for metric in METRICS}

IN_TABLES = tuple(metric for metric in METRICS if metric.priority is not None)
"""The columns of the tables in the terminal's, the Markdown and the HTML report."""

IN_GATE = tuple(metric for metric in METRICS if metric.gate)
IN_HISTORY = {metric.name: metric for metric in METRICS if metric.history}
IN_BISECT = {metric.name: metric for metric in METRICS if metric.bisect}
IN_COMPARE = tuple(metric for metric in METRICS if metric.compare)

RENAMED = {
    "resident throughput": "resident-throughput",
    "device memory": "device-memory",
    "first step": "first-step",
}
"""Names in baselines of schema 2, and what they are now."""
