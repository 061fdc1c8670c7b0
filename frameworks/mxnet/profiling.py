"""mx.profiler over some training steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import mxnet as mx

from frameworks.contract import Unavailable
from frameworks.profiles import Operator, Profile


def profile(train: Callable[[], object], folder: Path) -> Profile:
    """Call `train` under the profiler, which can be set up once in a process: else Unavailable.

    MXNet's operators run one after the other and hold no others, so self time is all their time.
    """
    trace = folder / "trace.json"
    try:
        mx.profiler.set_config(
            profile_symbolic=True,
            profile_imperative=True,
            aggregate_stats=True,
            filename=str(trace),
        )
    except mx.base.MXNetError as error:
        raise Unavailable(
            "mxnet: its profiler has run in this process, and can be set up once: start a fresh one"
        ) from error
    mx.profiler.set_state("run")
    train()
    mx.profiler.set_state("stop")
    statistics = json.loads(mx.profiler.dumps(format="json"))["Time"]["operator"]
    mx.profiler.dump(finished=True)
    _tidy(trace)
    return Profile(
        trace,
        [  # from milliseconds
            Operator(name, row["Count"], 1000 * row["Total"], 1000 * row["Total"])
            for name, row in statistics.items()
        ],
    )


def _tidy(trace: Path) -> None:
    """Leave out each operator's second telling (b, e), and number the threads from 1.

    As written, their numbers have 64 bits: more than a viewer's JSON holds.
    """
    document = json.loads(trace.read_text())
    document["traceEvents"] = [
        event for event in document["traceEvents"] if event["ph"] not in ("b", "e")
    ]
    threads: dict[int, int] = {}
    for event in document["traceEvents"]:
        if "tid" in event:
            event["tid"] = threads.setdefault(event["tid"], len(threads) + 1)
    trace.write_text(json.dumps(document))
