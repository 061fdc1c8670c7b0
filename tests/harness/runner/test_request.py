"""What was asked for is checked before anything is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.defaults import PRECISION, WORKLOAD_SECONDS
from harness.report import provenance
from harness.results import store
from harness.runner.request import DEFAULT_WORKLOADS, LEAST_LAUNCHES
from tests.toy_request import toy_request
from workloads.errors import UserError
from workloads.reading import SpecError


def test_what_is_not_said_is_as_usual(toy_root: Path) -> None:
    made = toy_request(toy_root, threads=None, out=None)
    assert {cell.framework for cell in made.cells} == set(made.framework_specs)
    assert (made.seed, made.steps, made.synthetic, made.skip_absent) == (0, None, False, False)
    assert made.results == toy_root / "results" and made.threads >= 1
    measuring = made.measuring
    assert (measuring.budget, measuring.workload_budget) == (None, WORKLOAD_SECONDS)
    assert measuring.precision == PRECISION
    assert measuring.least == LEAST_LAUNCHES and made.parity_steps > 0


def test_without_a_workload_the_usual_ones_are_taken(toy_root: Path) -> None:
    made = toy_request(toy_root, workloads=[])
    assert tuple(one.name for one in made.workloads) == DEFAULT_WORKLOADS and made.skip_absent


def test_quick_is_an_epoch_and_two_launches_unless_epochs_are_said(toy_root: Path) -> None:
    made = toy_request(toy_root, quick=True)
    assert (made.workloads[0].data.epochs, made.measuring.launches) == (1, 2)
    assert toy_request(toy_root, quick=True, epochs=2).workloads[0].data.epochs == 2


def test_epochs_and_steps_together_are_refused(toy_root: Path) -> None:
    with pytest.raises(UserError, match="give one"):
        toy_request(toy_root, epochs=1, steps=1)


def test_two_workloads_of_one_name_are_refused(toy_root: Path, tmp_path: Path) -> None:
    twin = tmp_path / "mlp-2-3-2.toml"
    twin.write_text((toy_root / "workloads" / "catalogue" / "mlp-2-3-2.toml").read_text())
    with pytest.raises(SpecError, match="two workloads are named mlp-2-3-2"):
        toy_request(toy_root, workloads=["mlp-2-3-2", str(twin)])


def test_wrong_words_are_refused_with_the_nearest(toy_root: Path) -> None:
    with pytest.raises(SpecError, match='did you mean "faulty"'):
        toy_request(toy_root, frameworks=["fawlty"])
    with pytest.raises(SpecError, match='did you mean "well"'):
        toy_request(toy_root, modes=["wel"])
    with pytest.raises(SpecError, match="no framework"):
        toy_request(toy_root, interpreters={"fulty": Path("/x")})
    with pytest.raises(UserError, match="may use"):
        toy_request(toy_root, threads=10_000)


@pytest.mark.parametrize("word", ["", " ", ",", "well,,slow", "well,"])
@pytest.mark.parametrize("option", ["frameworks", "workloads", "modes"])
def test_an_empty_word_is_refused_wherever_names_are_listed(
    toy_root: Path, option: str, word: str
) -> None:
    with pytest.raises(SpecError, match=f"an empty word names no {option[:-1]}"):
        toy_request(toy_root, **{option: [word]})


def test_what_leaves_nothing_to_run_is_refused(toy_root: Path) -> None:
    with pytest.raises(
        SpecError, match=r"nothing to run.* runs on cuda; there are: reference: cpu"
    ):
        toy_request(toy_root, frameworks=["reference"], device="cuda")
    with pytest.raises(SpecError, match="no framework asked for has the mode well"):
        toy_request(toy_root, frameworks=["reference"], modes=["well"])
    assert toy_request(toy_root, frameworks=["reference"]).cells


@pytest.mark.parametrize(
    ("workloads", "data", "unused"),
    [
        (["mlp-2-3-2"], "real", True),
        (["mlp-digits"], "real", True),
        (["mlp-cifar"], "real", False),
        (["mlp-digits", "mlp-cifar"], "real", False),
        (["mlp-cifar"], "synthetic", True),
    ],
)
def test_a_folder_of_data_that_no_workload_reads_is_told(
    toy_root: Path, tmp_path: Path, workloads: list[str], data: str, unused: bool
) -> None:
    asked = toy_request(toy_root, workloads=workloads, data=data, data_dir=tmp_path)
    assert asked.options["unused_data_dir"] is unused
    assert not toy_request(toy_root, workloads=workloads, data=data).options["unused_data_dir"]
    run = store.Run.create(tmp_path / "results", {"options": {"unused_data_dir": unused}})
    run.close()
    said = " ".join(provenance.warnings(store.read(run.folder)))
    assert ("no workload of this run reads files from it" in said) is unused
