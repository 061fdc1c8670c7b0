"""Does a run notice that its timed path or its predictions are wrong? Plants faults, and runs.

    python benchmarks/faults.py [--framework NAME]... [--fault NAME]...

In every framework, in its first mode: one run whose cells are the honest adapter and each fault of
`benchmarks/planted_faults`, on `benchmarks/faults.toml`. Prints the table of docs/evidence/parity.md,
and with each fault what the run says of it in the first framework. Exit status 1: the honest cell of some
framework is not ok. Builds the frameworks' environments where they are missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from benchmarks.planted_faults.catalogue import FAULTS, HONEST  # noqa: E402
from benchmarks.power import copied  # noqa: E402
from harness.environments import builder, framework_spec  # noqa: E402
from harness.environments.framework_spec import FrameworkSpec  # noqa: E402
from harness.runner.context import Measuring  # noqa: E402
from harness.runner.request import Options, Request, request  # noqa: E402
from harness.runner.run import execute  # noqa: E402
from harness.verdicts import NOT_EQUIVALENT  # noqa: E402

WORKLOAD = ROOT / "benchmarks" / "faults.toml"

MEASURING = Measuring(launches=1, rounds=2, seconds=2.0)
"""A slice of two seconds is a long list of batches in the slowest framework too."""

OK, CAUGHT = "ok", "caught"


@dataclass(frozen=True)
class Outcome:
    """What a run says of one cell: OK, CAUGHT, or the status of a cell that failed for another reason.

    `reason` is the run's sentence and its hint; empty where the cell is ok.
    """

    verdict: str
    reason: str = ""


def outcome(events: Iterable[Mapping[str, Any]]) -> Outcome:
    """Judge one cell by its events. The only place that knows how the journal words a verdict."""
    for event in events:
        if event["event"] == "parity" and event["verdict"] == NOT_EQUIVALENT:
            hint = f"; {event['hint']}" if event["hint"] else ""
            return Outcome(CAUGHT, f"{event['sentence']}{hint} ({event['when']})")
        if event["event"] == "cell-failed":
            return Outcome(event["status"], event["reason"])
    return Outcome(OK)


def project(folder: Path, host: FrameworkSpec) -> Path:
    """Copy the project to `folder`; its one framework is the planted one, in `host`'s first mode."""
    root = copied(folder, ROOT / "benchmarks" / "planted_faults")
    planted = {"PLANTED_IN": host.name, "PLANTED_MODE": host.modes[0]}
    variables = {**host.variables, **planted}
    lines = [
        f"title = {json.dumps(f'{host.title} with faults')}",
        f"python = {json.dumps(host.python)}",
        f"package = {json.dumps(host.packages)}",
        f"module = {json.dumps(host.module)}",
        f"modes = {json.dumps([*FAULTS])}",
        'devices = ["cpu"]',
        f"requirements.cpu = {json.dumps(host.requirements['cpu'])}",
        *(f"variables.{name} = {json.dumps(value)}" for name, value in variables.items()),
    ]
    path = root / "frameworks" / "planted" / framework_spec.FILE_NAME
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def request_of(root: Path, python: Path, faults: Iterable[str], measuring: Measuring) -> Request:
    """Return the request of a run of the honest adapter and `faults`, as the command line makes it."""
    made = request(
        Options(
            frameworks=["planted"],
            workloads=[str(WORKLOAD)],
            modes=list(dict.fromkeys((HONEST, *faults))),
            device="cpu",
            threads=1,
            seed=None,
            data="real",
            data_dir=None,
            interpreters={"planted": python},
            out=root / "results",
            command=sys.argv,
            root=root,
        )
    )
    return replace(made, measuring=measuring)


def outcomes(
    host: FrameworkSpec, python: Path, faults: Iterable[str], measuring: Measuring = MEASURING
) -> dict[str, Outcome]:
    """Run the honest adapter and `faults` in `host`, whose Python is `python`; return each outcome."""
    with tempfile.TemporaryDirectory() as folder:
        root = project(Path(folder), host)
        made = request_of(root, python, faults, measuring)
        record, _ = execute(made, lambda event: None, root)
    return {
        cell.mode: outcome(event for event in record.events if event.get("cell") == cell.id)
        for cell in made.cells
    }


def table(results: Mapping[str, Mapping[str, Outcome]]) -> Iterable[str]:
    """Yield the lines of the table; `results` has each framework's `outcomes`."""
    first = next(iter(results))
    yield f"| fault | {' | '.join(results)} | what the run says ({first}) |"
    yield f"| --- |{' --- |' * len(results)} --- |"
    for fault in results[first]:
        if fault != HONEST:
            verdicts = " | ".join(_shown(result[fault].verdict) for result in results.values())
            reason = results[first][fault].reason.replace("|", "/")
            yield f"| {FAULTS[fault].__doc__} | {verdicts} | {reason} |"


def _shown(verdict: str) -> str:
    return "MISSED" if verdict == OK else verdict


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return the exit status."""
    hosts = {name: spec for name, spec in framework_spec.discover().items() if not spec.reference}
    faults = [name for name in FAULTS if name != HONEST]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--framework", action="append", choices=[*hosts], help="default: all")
    parser.add_argument("--fault", action="append", choices=faults, help="default: all")
    options = parser.parse_args(arguments)
    results = {}
    for name in options.framework or hosts:
        python = builder.prepare(hosts[name], "cpu").python
        results[name] = outcomes(hosts[name], python, options.fault or faults)
    print("\n".join(table(results)))
    wrong = {name: each[HONEST] for name, each in results.items() if each[HONEST].verdict != OK}
    for name, honest in wrong.items():
        print(f"{name}: the honest adapter is not ok: {honest.verdict}: {honest.reason}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
