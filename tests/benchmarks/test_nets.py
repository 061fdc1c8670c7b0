"""The parity check on drawn nets: asking cells, counting, and some nets in every framework."""

from __future__ import annotations

import dataclasses
import json
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import psutil
import pytest

from benchmarks import nets
from benchmarks.parity import cases, check
from benchmarks.parity.cases import Case, Given
from benchmarks.parity.cells import LEAST_MODELS, MODELS_A_PROCESS, SLOW_SECONDS, Cell
from benchmarks.parity.check import EQUIVALENT, NOT_EQUIVALENT, UNDECIDED, Outcome, ReferenceRun
from benchmarks.parity.results import FAILED, Result, Results
from benchmarks.parity.workloads import draw_net
from harness.environments import framework_spec
from harness.runner.process import WorkerFailed
from tests.frameworks import inside
from workloads import spec
from workloads.spec import Workload

MakeCell = Callable[[str], Cell]
MakeGiven = Callable[[Workload], Given]

STEPS = 3
DRAWN, SEED = 6, 0
"""The nets that every framework answers for."""


@pytest.fixture
def cell(toy_root: Path) -> Iterator[MakeCell]:
    """Make cells of the toy framework, by its mode."""
    framework = framework_spec.load(toy_root / "frameworks" / "faulty" / "environment.toml")
    made: list[Cell] = []

    def make(mode: str) -> Cell:
        made.append(Cell(framework, mode, Path(sys.executable)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def given(tmp_path: Path) -> MakeGiven:
    """Write a case of a workload."""

    def write(workload: Workload) -> Given:
        folder = tmp_path / f"{workload.name}-{workload.data.seed}"
        return cases.write(Case("some", workload.name, workload, STEPS), folder)

    return write


def processes() -> list[psutil.Process]:
    return psutil.Process().children()


def versions(workload: Workload, count: int) -> list[Workload]:
    """The same model so many times, each to be built anew."""
    return [dataclasses.replace(workload, name=f"version-{i}") for i in range(count)]


def test_a_right_cell_is_equivalent_and_a_wrong_one_is_not(
    cell: MakeCell, given: MakeGiven
) -> None:
    question = given(spec.load("mlp-2-3-2"))
    reference = check.run_reference(question)
    values = [check.judge(cell(m).answers(question), reference).value for m in ("well", "wrong")]
    assert values == [EQUIVALENT, NOT_EQUIVALENT]


def test_one_process_answers_for_many_models_and_seeds(cell: MakeCell, given: MakeGiven) -> None:
    well, small = cell("well"), spec.load("mlp-2-3-2")
    for workload in (small, small.with_data(seed=1), draw_net(0, 1)):
        question = given(workload)
        outcome = check.judge(well.answers(question), check.run_reference(question))
        assert outcome.value == EQUIVALENT
        assert len(processes()) == 1


def test_a_fresh_process_follows_after_so_many_models(cell: MakeCell, given: MakeGiven) -> None:
    well, pids = cell("well"), []
    for workload in versions(spec.load("mlp-2-3-2"), MODELS_A_PROCESS + 1):
        well.answers(given(workload))
        pids.append(processes()[0].pid)
    assert len(set(pids[:-1])) == 1
    assert pids[-1] != pids[0]


def test_a_fresh_process_is_asked_where_one_with_a_past_fails(
    cell: MakeCell, given: MakeGiven
) -> None:
    well = cell("well")
    questions = [given(workload) for workload in versions(spec.load("mlp-2-3-2"), 3)]
    before = [well.answers(question) for question in questions[:2]]
    processes()[0].kill()
    after = well.answers(questions[2])
    assert after.keys() == before[0].keys()


def test_a_framework_that_fails_in_a_fresh_process_fails(cell: MakeCell, given: MakeGiven) -> None:
    raising = cell("raises")
    with pytest.raises(WorkerFailed, match=r"ValueError: a \|strange\|"):
        raising.answers(given(spec.load("mlp-2-3-2")))
    assert processes() == []


def test_results_are_counted_listed_and_written(cell: MakeCell) -> None:
    asked, results = [cell(mode) for mode in ("well", "wrong", "raises")], Results()
    questions = [Case(nets.DRAWN, f"net {i}", draw_net(0, i), STEPS) for i in (0, 1)]
    nets.run(questions, asked, 40, results)
    assert results.counts() == {EQUIVALENT: 2, NOT_EQUIVALENT: 2, FAILED: 2}

    text = "\n".join(results.markdown())
    assert "| drawn nets | faulty | well | 2 | 0 | 0 | 0 | " in text
    assert "| drawn nets | faulty | wrong | 0 | 0 | 2 | 0 | " in text
    assert "| drawn nets | faulty | raises | 0 | 0 | 0 | 2 |  |  | " in text
    assert "- faulty raises: ValueError: a |strange| [bold]reason[/bold]" in text
    written = [tomllib.loads(block.partition("```")[0]) for block in text.split("```toml\n")[1:]]
    loaded = [
        spec.from_dict({"name": f"net-{i}", **file}, "file") for i, file in enumerate(written)
    ]
    assert loaded == [question.workload for question in questions]

    table = json.loads(json.dumps(results.as_dict(), allow_nan=False))
    assert [case["label"] for case in table["cases"]] == ["net 0", "net 1"]
    assert [result["value"] for result in table["results"]].count(FAILED) == 2


def test_undecided_cases_are_listed() -> None:
    case = Case("some", "seed 3", spec.load("mlp-2-3-2"), STEPS)
    outcome = Outcome(UNDECIDED, 0.5, "logits at step 1", "undecided: it is the logits")
    results = Results([Result(case, "faulty", mode, outcome, 1.0) for mode in ("well", "slow")])
    text = "\n".join(results.markdown())
    assert (
        "| some | faulty | slow | 0 | 1 | 0 | 0 | 0.50 | logits at step 1 (seed 3) | 1.0 |" in text
    )
    assert "- some, seed 3, 2 cells: undecided: it is the logits" in text
    assert "```toml" not in text


def test_a_workload_whose_reference_diverges_is_refused(cell: MakeCell) -> None:
    workload = spec.load("mlp-digits")
    optimiser = dataclasses.replace(workload.optimiser, lr=1e200)
    results = Results()
    case = Case("some", "steep", dataclasses.replace(workload, optimiser=optimiser), STEPS)
    nets.run([case], [cell("well")], 40, results)
    assert results.results == []
    assert "- some, steep: the reference is not finite" in "\n".join(results.markdown())


def test_a_slow_cell_answers_for_fewer_drawn_nets(cell: MakeCell) -> None:
    slow, results = cell("well"), Results()
    slow.seconds += [2 * SLOW_SECONDS] * LEAST_MODELS
    drawn = Case(nets.DRAWN, "net 1", draw_net(0, 1), STEPS)
    nets.run([drawn], [slow], LEAST_MODELS + 1, results)
    assert len(results.results) == 1
    nets.run([drawn], [slow], LEAST_MODELS + 1, results)
    assert len(results.results) == 1  # it had its share


@cache
def drawn_reference(number: int, folder: Path) -> tuple[Given, ReferenceRun]:
    """A drawn net and its reference, one for all frameworks."""
    net = draw_net(SEED, number)
    case = Case(nets.DRAWN, f"net {number}", net, check.STEPS)
    question = cases.write(case, folder / f"{number}")
    return question, check.run_reference(question)


@pytest.fixture(scope="module")
def drawn_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drawn")


@pytest.mark.parametrize("name", inside.FRAMEWORK_SPECS)
def test_a_framework_takes_the_step_of_drawn_nets(name: str, drawn_folder: Path) -> None:
    framework = inside.FRAMEWORK_SPECS[name]
    compilers = {mode for program in framework.programs for mode in program.modes}
    mode = [mode for mode in framework.modes_on("cpu") if mode not in compilers][-1]
    real = Cell(framework, mode, inside.python(name))
    try:
        outcomes = {}
        for number in range(DRAWN):
            question, reference = drawn_reference(number, drawn_folder)
            outcomes[number] = check.judge(real.answers(question), reference)
    finally:
        real.close()
    alarms = {number: o.sentence for number, o in outcomes.items() if o.value == NOT_EQUIVALENT}
    assert alarms == {}
