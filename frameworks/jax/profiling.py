"""jax.profiler over some training steps."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import jax

from frameworks.profiles import Event, Profile, operators


def profile(train: Callable[[], object], folder: Path) -> Profile:
    """Call `train` under the profiler."""
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # Python's own calls would be most of the trace
    with jax.profiler.trace(folder, profiler_options=options):
        train()
    (packed,) = folder.glob("plugins/profile/*/*.trace.json.gz")
    text = gzip.decompress(packed.read_bytes())
    trace = folder / "trace.json"
    trace.write_bytes(text)
    return Profile(trace, operators(json.loads(text)["traceEvents"], _operator))


def _operator(event: Event) -> str | None:
    """Return XLA's name of what it ran, or a function's that Python dispatched."""
    dispatched = event["name"] if event["name"].startswith("PjitFunction(") else None
    return event.get("args", {}).get("hlo_op", dispatched)
