"""How fast is an adapter against a plain loop, written by hand straight from the tutorials?

    python benchmarks/overhead.py [--framework pytorch] [--workload cifar-cnn] [--batch 4 --batch 128]

Both train in one process, in turns (see alternate.py); the process is launched several times. An
adapter below 0.98 of the plain loop is a defect. Needs the frameworks' environments, and builds
those that are missing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from harness.environments import builder, framework_spec  # noqa: E402
from harness.environments.framework_spec import FrameworkSpec  # noqa: E402
from harness.machine import host  # noqa: E402
from harness.runner.process import worker_environment  # noqa: E402

BENCHMARKS = Path(__file__).parent
LOOPS: dict[str, set[str]] = {}
"""The frameworks that have a plain loop of a workload, by the workload's name."""
for path in sorted((ROOT / "frameworks").glob("*/loops/*.py")):
    LOOPS.setdefault(path.stem.replace("_", "-"), set()).add(path.parents[1].name)
LOWEST = 0.98


def launch(spec: FrameworkSpec, python: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Run alternate.py once, in a fresh process with fresh caches."""
    with tempfile.TemporaryDirectory() as scratch:
        variables = spec.worker_variables(
            device="cpu", threads=job["threads"], scratch=Path(scratch)
        )
        command = [str(python), "-P", str(BENCHMARKS / "alternate.py"), json.dumps(job)]
        environment = worker_environment(variables)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{spec.name} {job['mode']}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(spec: FrameworkSpec, python: Path, job: dict[str, Any], launches: int) -> str:
    """Return one line of the table: the median over launches of each launch's median ratio."""
    results = [launch(spec, python, job) for _ in range(launches)]
    medians = [statistics.median(result["ratios"]) for result in results]
    rounds = [ratio for result in results for ratio in result["ratios"]]
    speed = statistics.median(result["plain_steps_per_s"] for result in results)
    ratio = statistics.median(medians)
    return (
        f"{spec.name:<12}{job['mode']:<12}{job['batch']:>5}{speed:>12.0f}{ratio:>8.3f}"
        f"   {min(medians):.3f} to {max(medians):.3f}   {min(rounds):.3f} to {max(rounds):.3f}"
        f"{'' if ratio >= LOWEST else f'   below {LOWEST}'}"
    )


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--framework",
        action="append",
        choices=sorted(set().union(*LOOPS.values())),
        help="default: all",
    )
    parser.add_argument("--mode", action="append", help="default: all of the framework's")
    parser.add_argument("--workload", default="cifar-cnn", choices=LOOPS)
    parser.add_argument("--batch", action="append", type=int, help="default: 4 and 128")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--launches", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=8, help="of 4 slices each")
    parser.add_argument("--slice", type=float, default=0.5, help="seconds a slice")
    return parser.parse_args()


def main() -> None:
    """Measure and print line by line."""
    options = arguments()
    here = host.describe()
    print(f"{date.today()}, {here['cpu']}, {here['cores_usable']} cores, load {here['load']}")
    print(
        f"{options.workload}, {options.threads} threads; ratio = throughput of adapter / plain loop"
    )
    print(f"{options.launches} launches x {options.rounds} rounds x 4 slices of {options.slice} s")
    print(
        f"{'framework':<12}{'mode':<12}{'batch':>5}{'loop st/s':>12}{'ratio':>8}"
        f"   {'launches':<14}   rounds"
    )
    for name, spec in framework_spec.discover().items():
        if name not in LOOPS[options.workload] & set(options.framework or LOOPS[options.workload]):
            continue
        python = builder.prepare(spec, "cpu").python
        for mode in [mode for mode in spec.modes_on("cpu") if mode in (options.mode or spec.modes)]:
            for batch in options.batch or (4, 128):
                job = {
                    "framework": name,
                    "mode": mode,
                    "workload": options.workload,
                    "batch": batch,
                    "threads": options.threads,
                    "rounds": options.rounds,
                    "slice_s": options.slice,
                }
                print(measure(spec, python, job, options.launches), flush=True)


if __name__ == "__main__":
    main()
