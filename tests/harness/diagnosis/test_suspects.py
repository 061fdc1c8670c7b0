"""What explains an error, and what does not; a search that fails ends no run."""

from __future__ import annotations

import numpy as np
import pytest

from harness.diagnosis.suspects import Case, Suspect, best, explained, fitted
from harness.runner.parity_checks import _advice
from tests.harness.parity.cases import catalogue, run_of

RUN = run_of(catalogue("mlp-2-3-2"), 2)
RIGHT, ERROR, BOUND = np.ones(50), 1e-2 * np.arange(50), 1e-4


def case(observed: np.ndarray = RIGHT + ERROR) -> Case:
    """A tensor that is off, and one that is right."""
    return Case(
        {"wrong": observed, "right": RIGHT},
        {"wrong": RIGHT, "right": RIGHT},
        {"wrong": BOUND, "right": BOUND},
    )


def answered(**answers: dict[str, np.ndarray]) -> str | None:
    """The words of the best of suspects with these answers."""
    return best([Suspect(words, RUN) for words in answers], lambda s: answers[s.words], case())


def test_the_suspect_that_leaves_least_is_named_and_one_that_leaves_much_is_not() -> None:
    half = {"wrong": RIGHT + 0.5 * ERROR, "right": RIGHT}
    near = {"wrong": RIGHT + 0.8 * ERROR, "right": RIGHT}
    exact = {"wrong": RIGHT + ERROR, "right": RIGHT}
    assert answered(half=half) is None
    assert answered(half=half, near=near) == "near"
    assert answered(near=near, exact=exact) == "exact"
    assert answered(exact=exact, again=exact) == "exact"


def test_a_suspect_that_would_have_made_wrong_what_is_right_explains_nothing() -> None:
    assert answered(other={"wrong": RIGHT + ERROR, "right": 2 * RIGHT}) is None
    assert answered(shapeless={"wrong": RIGHT[:3], "right": RIGHT}) is None
    assert answered(missing={"wrong": RIGHT + ERROR}) is None


@pytest.mark.parametrize(("value", "found"), [(0.0, 1.0), (3.0, 1.0), (1.0 / 3, 1.0)])
def test_a_number_is_found(value: float, found: float) -> None:
    def make(number: float) -> Suspect:
        return Suspect(f"{number:.4g}", RUN)

    def compute(suspect: Suspect) -> dict[str, np.ndarray]:
        return {"wrong": RIGHT + float(suspect.words) * ERROR, "right": RIGHT}

    assert [s.words for s in fitted(make, value, compute, case())] == [f"{found:.4g}"]
    fits = explained([], lambda c, k: fitted(make, value, c, k), compute, case())
    assert [*fits] == [f"{found:.4g}"]
    assert not [*fitted(make, value, compute, case(RIGHT))]


def test_a_search_that_fails_is_said_and_raises_nothing() -> None:
    def fails() -> str:
        raise ValueError("shapes")

    assert _advice(fails) == "no hint: its search ended in ValueError: shapes"
    assert _advice(lambda: "another rate") == "another rate"
    assert _advice(lambda: None) is None
