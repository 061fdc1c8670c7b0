"""How much of a run's wall time goes into something else than measuring?

    python benchmarks/outside.py RUN...          e.g. latest

Measuring is training to the score, scoring, warming up, timed slices, latencies and the machine's
limits. Imports and first steps (with their compiling) are aside, as are environments that were built;
those of later launches overlap, and count as their sum over the workers that start at a time.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from harness.results import store  # noqa: E402
from harness.results.events import Kind  # noqa: E402


def parts(record: store.Record) -> dict[str, float]:
    """Return the seconds of a run: whole, aside, measuring, and outside of both."""

    def total(event: Kind, *keys: str) -> float:
        return sum(sum(event.get(key) or 0 for key in keys) for event in record.every(event))

    at_a_time = (record.manifest.get("options") or {}).get("threads") or 1
    aside = total("opened", "import_seconds") + total("first-step", "seconds")
    aside += total("launched", "import_seconds", "first_step_seconds") / at_a_time
    aside += max((event["seconds"] for event in record.every("framework-ready")), default=0)
    measuring = sum(total(e, "seconds") for e in ("trained", "evaluated", "slice", "twin-slice"))
    measuring += total("warmed", "seconds") + total("latency", "seconds")
    measuring += total("limits", "seconds")
    whole = (record.end or record.events[-1])["time"]
    return {
        "whole": whole,
        "aside": aside,
        "measuring": measuring,
        "outside": whole - aside - measuring,
    }


def main(runs: list[str]) -> None:
    """Print a line a run."""
    print("| run | whole, s | imports and first steps, s | measuring, s | outside | of the whole |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name in runs:
        record = store.read(store.resolve(ROOT / "results", name))
        seconds = parts(record)
        row = (f"{seconds[key]:.0f}" for key in ("whole", "aside", "measuring", "outside"))
        share = seconds["outside"] / seconds["whole"]
        print(f"| {', '.join(record.manifest['workloads'])} | {' | '.join(row)} | {share:.0%} |")


if __name__ == "__main__":
    main(sys.argv[1:] or sys.exit(__doc__))
