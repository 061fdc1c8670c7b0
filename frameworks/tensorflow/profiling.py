"""tf.profiler over some training steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from frameworks.contract import Unavailable
from frameworks.profiles import Event, Profile, operators

_EAGER = "EagerLocalExecute: "
_FUNCTION = "__inference_"


def profile(train: Callable[[], object], folder: Path) -> Profile:
    """Call `train` under the profiler. Raises Unavailable where nothing converts what it wrote."""
    try:
        # What TensorBoard's plugin calls: TensorFlow itself only writes its own format, XPlane.
        # Imported here, where it is no part of the import that is measured.
        from tensorflow.python.profiler.internal import _pywrap_profiler_plugin as converter
    except ImportError as error:  # private: another version may have it elsewhere
        raise Unavailable(
            f"tensorflow: TensorFlow {tf.__version__} brings no converter from XPlane to a trace"
        ) from error
    options = tf.profiler.experimental.ProfilerOptions(python_tracer_level=0)
    with tf.profiler.experimental.Profile(str(folder), options):
        train()
    (written,) = folder.glob("plugins/profile/*/*.xplane.pb")
    text, converted = converter.xspace_to_tools_data([str(written)], "trace_viewer@", {})
    if not converted:
        raise RuntimeError(f"the trace cannot be converted: {text.decode(errors='replace')}")
    trace = folder / "trace.json"
    trace.write_bytes(text)
    return Profile(trace, operators(json.loads(text)["traceEvents"], _operator))


def _operator(event: Event) -> str | None:
    """Return what ran: an operator of XLA, of a graph's executor, or one called eagerly.

    A whole function called from Python is none: the caller only waits for its operators.
    """
    name, about = event["name"], event.get("args", {})
    if "hlo_op" in about:
        return about["hlo_op"]
    if "is_eager" in about:
        return name
    called = name.removeprefix(_EAGER)
    return called if called != name and not called.startswith(_FUNCTION) else None
