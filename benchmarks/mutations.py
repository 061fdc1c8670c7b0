"""Plants faults in every framework's adapter and shows that the parity check catches them.

    python benchmarks/mutations.py

Prints a table, which docs/evidence/parity.md sums up. Builds the frameworks' environments where they are
missing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from frameworks.replays import stacked  # noqa: E402
from harness.diagnosis import hint  # noqa: E402
from harness.environments import builder, framework_spec  # noqa: E402
from harness.parity import ReferenceRun, Verdict, judge, run_reference  # noqa: E402
from harness.runner.process import worker_environment  # noqa: E402
from harness.verdicts import NOT_EQUIVALENT  # noqa: E402
from tests.frameworks import formula_mutants, optimiser_mutants  # noqa: E402
from tests.frameworks.mutants import COMMON, NATIVE  # noqa: E402
from tests.frameworks.recurrent_mutants import NATIVE_RECURRENT, RECURRENT  # noqa: E402
from tests.frameworks.recurrent_mutants import WORKLOAD as RECURRENT_NET  # noqa: E402
from tests.frameworks.transformer_mutants import NATIVE_TRANSFORMED, TRANSFORMED  # noqa: E402
from tests.frameworks.transformer_mutants import WORKLOAD as TRANSFORMER  # noqa: E402
from tests.frameworks.window_mutants import NATIVE_WINDOWED, WINDOWED  # noqa: E402
from tests.frameworks.window_mutants import WORKLOAD as WINDOWS  # noqa: E402
from tests.harness.parity.cases import batches  # noqa: E402
from workloads import init, spec  # noqa: E402
from workloads.batches import Batch  # noqa: E402

STEPS = 6
WORKLOAD = "cnn-digits"
SIGMOIDS = "mlp-2-3-2"
SCRIPT = ROOT / "tests" / "frameworks" / "check_mutants.py"


@dataclass(frozen=True)
class Outcome:
    """What the parity check says of one mutant; `fault` is empty for the honest adapter.

    `hint` looks for a hint when it is called: that takes seconds.
    """

    framework: str
    fault: str
    verdict: Verdict
    hint: Callable[[], str | None]


def native_host() -> str:
    """The framework whose own code the native faults are planted in, named by its folder."""
    return next(name for name in framework_spec.discover() if name.startswith("py"))


def planted(framework: str) -> dict[str, list[str]]:
    """Return the faults that are planted in a framework, by workload."""
    native = framework == native_host()
    natives = [*NATIVE] if native else []
    sigmoid = [fault for fault in natives if "sigmoid" in fault]
    plan = {WORKLOAD: [*COMMON, *(fault for fault in natives if fault not in sigmoid)]}
    if sigmoid:
        plan[SIGMOIDS] = sigmoid
    plan[str(WINDOWS)] = [*WINDOWED, *(NATIVE_WINDOWED if native else ())]
    for workload, kinds in optimiser_mutants.BY_WORKLOAD.items():
        plan[workload] = [str(kind.__doc__) for kind in kinds]
    plan[str(TRANSFORMER)] = [*TRANSFORMED]
    plan[str(RECURRENT_NET)] = [*RECURRENT]
    plan[str(formula_mutants.WORKLOAD)] = [*formula_mutants.FORMULAS]
    if native:
        plan[str(TRANSFORMER)] += [*NATIVE_TRANSFORMED, *formula_mutants.NATIVE_ATTENTION]
        plan[str(RECURRENT_NET)] += [*NATIVE_RECURRENT, *formula_mutants.NATIVE_GATES]
        plan[str(formula_mutants.WORKLOAD)] += formula_mutants.NATIVE_FORMULAS
    return plan


def outcomes(framework: str, steps: int = STEPS) -> Iterator[Outcome]:
    """Try every fault in one framework, in its first mode: all in one process."""
    host, plan = framework_spec.discover()[framework], planted(framework)
    with tempfile.TemporaryDirectory() as scratch:
        folders = {name: Path(scratch, str(number)) for number, name in enumerate(plan)}
        for name, folder in folders.items():
            folder.mkdir()
            _ask(_reference(name, steps), plan[name], folder)
        variables = host.worker_variables(device="cpu", threads=1, scratch=Path(scratch))
        places = [word for name, folder in folders.items() for word in (name, str(folder))]
        python = builder.prepare(host, "cpu").python
        command = [str(python), "-P", str(SCRIPT), framework, host.modes[0], str(steps), *places]
        environment = worker_environment(variables)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{framework}: {done.stderr[-2000:]}")
        assert json.loads(done.stdout.splitlines()[-1])["done"] == len(plan)  # noqa: S101
        for name, folder in folders.items():
            yield from _judged(framework, _reference(name, steps), ["", *plan[name]], folder)


def _ask(run: ReferenceRun, faults: list[str], folder: Path) -> None:
    """Write what check_mutants.py reads."""
    arrays = {
        "inputs": stacked([batch.inputs for batch in run.batches]),
        "labels": stacked([batch.labels for batch in run.batches]),
        "sizes": np.array([len(batch.labels) for batch in run.batches]),
        **{
            f"masks/{i}": stacked(layer)
            for i, layer in enumerate(zip(*(b.masks for b in run.batches), strict=True))
        },
    }
    np.savez(folder / "given.npz", **arrays, **run.start)  # type: ignore[arg-type]
    (folder / "faults.json").write_text(json.dumps(faults))


def _judged(
    framework: str, run: ReferenceRun, faults: list[str], folder: Path
) -> Iterator[Outcome]:
    for number, fault in enumerate(faults):
        with np.load(folder / f"{number}.npz") as arrays:
            answers = dict(arrays)
        verdict = judge(answers, run, "float32")
        yield Outcome(framework, fault, verdict, partial(hint, answers, run, verdict))


@cache
def _reference(name: str, steps: int) -> ReferenceRun:
    """Inputs like the data set's, from a seed, so that nothing has to be fetched."""
    workload = spec.load(name)
    taken = batches(workload, steps)
    if workload.data.last == "keep":
        inputs, labels, masks = taken[1]
        taken[1] = Batch(inputs[:5], labels[:5], tuple(mask[:5] for mask in masks))
    return run_reference(workload, init.start_weights(workload), taken)


def _mark(verdict: Verdict) -> str:
    return "caught" if verdict.value == NOT_EQUIVALENT else "MISSED"


def main() -> None:
    """Print the table."""
    frameworks = [
        name for name, framework in framework_spec.discover().items() if not framework.reference
    ]
    table = {name: {x.fault: x for x in outcomes(name)} for name in frameworks}
    print(f"| fault | {' | '.join(frameworks)} | what the check says ({native_host()}) |")
    print(f"| --- |{' --- |' * len(frameworks)} --- |")
    of_layers = [*TRANSFORMED, *NATIVE_TRANSFORMED, *RECURRENT, *NATIVE_RECURRENT]
    of_layers += [*WINDOWED, *NATIVE_WINDOWED, *formula_mutants.FORMULAS, *formula_mutants.NATIVE]
    for fault in [*COMMON, *NATIVE, *of_layers, *optimiser_mutants.FAULTS]:
        cells = [table[name].get(fault) for name in frameworks]
        marks = ["" if cell is None else _mark(cell.verdict) for cell in cells]
        shown = table[native_host()][fault]
        words = shown.verdict.sentence().removeprefix(f"{NOT_EQUIVALENT}: ")
        reason = shown.hint()
        words += f"; {reason}" if reason else ""
        print(f"| {fault} | {' | '.join(marks)} | {words.replace('|', '/')} |")


if __name__ == "__main__":
    main()
