"""Checks honest adapters on many workloads: how often does the parity check call them wrong?

    python benchmarks/nets.py --nets 300 --json nets.json   # drawn at random from the whole vocabulary
    python benchmarks/nets.py --seed 0 --only 17            # one of them alone
    python benchmarks/nets.py --catalogue --seeds 50        # the table of docs/evidence/parity.md
    python benchmarks/nets.py --file my-net.toml --seeds 50

Every framework and mode answers for every workload. The Markdown table on standard output has the
counts, the largest share of a bound that was used up, and seconds a workload; below it stands each
workload that failed somewhere. Data is real where it needs no download, else made from a seed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

import hypothesis  # noqa: E402

from benchmarks.parity import cases, check  # noqa: E402
from benchmarks.parity.cases import Case, Given  # noqa: E402
from benchmarks.parity.cells import SLOW_SECONDS, Cell  # noqa: E402
from benchmarks.parity.check import Outcome  # noqa: E402
from benchmarks.parity.results import FAILED, Result, Results  # noqa: E402
from benchmarks.parity.workloads import draw_net  # noqa: E402
from harness.environments import builder, framework_spec  # noqa: E402
from harness.environments.framework_spec import FrameworkSpec  # noqa: E402
from harness.machine import host  # noqa: E402
from harness.runner.process import WorkerFailed  # noqa: E402
from workloads import cost, spec  # noqa: E402
from workloads.reading import SpecError  # noqa: E402

DRAWN = "drawn nets"

SLOW = f"how many in modes that take over {SLOW_SECONDS:g} s a net"

HEAVY_FLOP, HEAVY_BATCH, HEAVY_STEPS = 5e9, 8, 5
"""Workloads of the catalogue whose step has more operations are checked at a smaller batch."""


def arguments() -> argparse.Namespace:
    """Read the command line."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style)
    drawn = parser.add_argument_group("drawn nets")
    drawn.add_argument("--nets", type=int, default=300, help="how many [%(default)s]")
    drawn.add_argument("--slow-nets", type=int, default=40, help=f"{SLOW} [%(default)s]")
    drawn.add_argument("--seed", type=int, default=0, help="nets of another seed [%(default)s]")
    drawn.add_argument("--only", type=int, action="append", help="the net of this number alone")
    named = parser.add_argument_group("named workloads, instead of drawn ones")
    named.add_argument("--file", action="append", default=[], help="a file, or a catalogue's name")
    named.add_argument("--catalogue", action="store_true", help="the whole catalogue")
    named.add_argument("--seeds", type=int, default=50, help="from each one's own on [%(default)s]")
    named.add_argument("--batch", type=int, help="instead of the workload's")
    parser.add_argument("--steps", type=int, help=f"of each check [{check.STEPS}]")
    parser.add_argument("--framework", action="append", choices=sorted(ranked()))
    parser.add_argument("--mode", action="append", help="in all frameworks that have it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write each result there")
    return parser.parse_args()


def ranked() -> dict[str, FrameworkSpec]:
    """Return all frameworks but the reference."""
    return {
        name: framework
        for name, framework in framework_spec.discover().items()
        if not framework.reference
    }


def cells(frameworks: Sequence[str] | None, modes: Sequence[str] | None) -> list[Cell]:
    """Return a cell for each framework and mode that can run here; say which cannot."""
    chosen = [framework for name, framework in ranked().items() if name in (frameworks or ranked())]
    prepared = builder.prepare_all(chosen, "cpu")
    runnable = []
    for framework in chosen:
        environment = prepared[framework.label]
        for mode in framework.modes_on("cpu"):
            if modes and mode not in modes:
                continue
            if isinstance(environment, builder.Unavailable):
                progress(f"{framework.name} {mode} is left out: {environment}")
            elif lacking := framework.missing_program(mode):
                progress(f"{framework.name} {mode} is left out: {lacking}")
            else:
                runnable.append(Cell(framework, mode, environment.python))
    return runnable


def drawn_cases(options: argparse.Namespace) -> Iterator[Case]:
    """Yield the drawn nets."""
    for number in options.only or range(options.nets):
        net = draw_net(options.seed, number)
        yield Case(DRAWN, f"net {number}", net, options.steps or check.STEPS)


def named_cases(options: argparse.Namespace) -> Iterator[Case]:
    """Yield each named workload with its seed and those after it. Raises SpecError."""
    files = [spec.load(name) for name in options.file]
    catalogue = [spec.load(name) for name in spec.names() if options.catalogue]
    for workload in (*files, *catalogue):
        batch, steps = options.batch, options.steps
        flop = cost.training_flop(workload) * workload.data.batch
        if workload in catalogue and flop > HEAVY_FLOP:
            batch, steps = batch or HEAVY_BATCH, steps or HEAVY_STEPS
        data = workload.data
        batch, steps = batch or data.batch, steps or check.STEPS
        rows = f"{workload.name}, batch {batch}, {steps} steps"
        for seed in range(data.seed, data.seed + options.seeds):
            yield Case(rows, f"seed {seed}", workload.with_data(seed=seed, batch=batch), steps)


def run(
    questions: Iterable[Case], ready_cells: Sequence[Cell], slow_nets: int, results: Results
) -> None:
    """Check every case in every cell; slow ones end after `slow_nets` drawn nets."""
    for case in questions:
        ready = [
            c
            for c in ready_cells
            if not (c.slow and case.rows == DRAWN and len(c.seconds) >= slow_nets)
        ]
        with tempfile.TemporaryDirectory() as scratch:
            posed = cases.write(case, Path(scratch) / "start")
            check_case(posed, ready, results)
        counts = ", ".join(f"{count} {value}" for value, count in results.counts().items())
        progress(f"{case.rows}, {case.label}: {len(ready)} cells; so far {counts}")


def check_case(posed: Given, ready: Iterable[Cell], results: Results) -> None:
    """Run the reference once, ask every cell, and add what comes out to `results`."""
    try:
        reference = check.run_reference(posed)
    except check.ReferenceDiverged as reason:
        results.refused.append((posed.case, str(reason)))
        return
    for cell in ready:
        try:
            outcome = check.judge(cell.answers(posed), reference)
        except WorkerFailed as failure:
            outcome = Outcome(FAILED, math.inf, "", failure.reason)
        seconds = cell.seconds[-1]
        results.results.append(Result(posed.case, cell.framework.name, cell.mode, outcome, seconds))


def progress(line: str) -> None:
    """Print to standard error."""
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Check, print, and write the JSON file; what there is after Ctrl-C, too."""
    options = arguments()
    named = options.file or options.catalogue
    all_cells, results = cells(options.framework, options.mode), Results()
    try:
        questions = named_cases(options) if named else drawn_cases(options)
        run(questions, all_cells, options.slow_nets, results)
    except SpecError as error:
        progress(str(error))
        return 2
    except KeyboardInterrupt:
        progress("interrupted: the table holds what was checked until now")
    finally:
        for cell in all_cells:
            cell.close()
    source = "" if named else f"; seed {options.seed}, hypothesis {hypothesis.__version__}"
    print(f"{date.today()}, {host.describe()['cpu']}{source}\n")
    print("\n".join(results.markdown()))
    if options.json:
        options.json.write_text(json.dumps(results.as_dict(), indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
