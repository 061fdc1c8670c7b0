"""The verdict: what got worse is found, what did not is not, and what cannot be told is said."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from harness.gate import baseline
from harness.gate.evaluate import Check, undecided, unsettled, verdict
from harness.gate.findings import (
    BROKEN,
    FAILED,
    IMPROVED,
    INCONCLUSIVE,
    MISSING,
    NOT_COMPARED,
    NOT_MEASURABLE,
    PASSED,
    REGRESSED,
    SAME,
    UNMEASURED,
    Finding,
    Verdict,
)
from harness.report.gate import github, junit
from harness.report.gate import outputs as check
from harness.results import store
from harness.results.metric import Metric
from harness.results.metrics import ACCURACY, FIRST_STEP, LATENCY, MEMORY, PARITY, THROUGHPUT
from tests.harness.gate.made import BASE, HEAD, OTHER, cell, made
from tests.parity_event import TENSOR

PAIR = [(HEAD, BASE)]
THIRD = cell("other@1.0")


def told(found: Verdict, cell: str = HEAD) -> dict[str, str]:
    return {one.metric.name: one.verdict for one in found.findings if one.cell == cell}


def test_identical_arms_are_the_same(tmp_path: Path) -> None:
    found = verdict(made(tmp_path, {HEAD: {}, BASE: {}}, pairs=PAIR))
    assert set(told(found)) == {
        "throughput",
        "inference",
        "latency",
        "memory",
        "first-step",
        "accuracy",
        "parity",
    }
    assert set(told(found).values()) == {SAME}
    assert found.status == PASSED


@pytest.mark.parametrize(
    ("what", "metric", "factor"),
    [
        ("train", "throughput", 0.95),
        ("predict", "inference", 0.9),
        ("single", "latency", 0.85),
        ("memory", "memory", 1.05),
        ("first", "first-step", 1.3),
    ],
)
def test_what_got_worse_is_found_and_nothing_else(
    tmp_path: Path, what: str, metric: str, factor: float
) -> None:
    found = verdict(made(tmp_path, {HEAD: {what: factor}, BASE: {}}, pairs=PAIR, launches=12))
    assert told(found)[metric] == REGRESSED
    assert [one.metric.name for one in found.having(REGRESSED)] == [metric]
    assert found.status == FAILED
    (one,) = found.having(REGRESSED)
    expected = factor - 1 if metric != "latency" else 1 / factor - 1
    assert one.change == pytest.approx(expected, abs=0.02)
    assert one.low is not None and one.high is not None and one.low < one.change < one.high
    better = verdict(made(tmp_path, {BASE: {what: factor}, HEAD: {}}, pairs=PAIR, launches=12))
    assert told(better)[metric] == IMPROVED
    assert better.status == PASSED


def test_a_point_of_accuracy_is_found(tmp_path: Path) -> None:
    found = verdict(made(tmp_path, {HEAD: {"wrong": 4}, BASE: {}}, pairs=PAIR))
    assert told(found)["accuracy"] == REGRESSED
    (one,) = found.having(REGRESSED)
    assert one.change == pytest.approx(-4 / 360)
    assert one.before == pytest.approx(353 / 360)


def test_a_cell_that_is_no_longer_equivalent_is_a_regression_and_hides_the_rest(
    tmp_path: Path,
) -> None:
    found = verdict(made(tmp_path, {HEAD: {"wrong_step": True}, BASE: {}}, pairs=PAIR))
    assert told(found) == {"parity": REGRESSED}
    assert "w differs" in found.findings[0].note
    assert found.status == FAILED
    other = verdict(made(tmp_path, {HEAD: {}, BASE: {"wrong_step": True}}, pairs=PAIR))
    assert told(other) == {"parity": NOT_COMPARED}
    assert other.status == UNMEASURED


@pytest.mark.parametrize(
    ("head", "base", "kind", "note"),
    [
        (
            "undecided",
            "",
            INCONCLUSIVE,
            "nothing was shown for it, so nothing is compared; parity und",
        ),
        (
            "undecided",
            "undecided",
            NOT_COMPARED,
            "the base and this cell are undecided; parity undec",
        ),
        (
            "",
            "undecided",
            NOT_COMPARED,
            "the base is undecided; parity undecided: gradient of dense1",
        ),
        ("wrong_step", "undecided", REGRESSED, "no longer equivalent: w differs"),
        ("undecided", "wrong_step", NOT_COMPARED, "the base is not equivalent itself"),
    ],
)
def test_nothing_is_compared_of_what_is_undecided(
    tmp_path: Path, head: str, base: str, kind: str, note: str
) -> None:
    cells = {HEAD: {head: True}, BASE: {base: True}, OTHER: {}, THIRD: {}}
    found = verdict(made(tmp_path, cells, pairs=[*PAIR, (OTHER, THIRD)]))
    assert told(found) == {"parity": kind}
    assert found.findings[0].note.startswith(note)
    assert told(found, OTHER)["throughput"] == SAME
    assert found.status == (FAILED if kind == REGRESSED else PASSED)
    alone = verdict(made(tmp_path, {HEAD: {head: True}, BASE: {base: True}}, pairs=PAIR))
    assert alone.status == (FAILED if kind == REGRESSED else UNMEASURED)


@pytest.mark.parametrize("base", ["", "undecided"])
def test_every_output_of_a_check_names_what_is_undecided(tmp_path: Path, base: str) -> None:
    cells = {HEAD: {"undecided": True}, BASE: {base: True}}
    found = verdict(made(tmp_path, cells, pairs=PAIR))
    out = io.StringIO()
    check.show(found, Console(file=out, width=300))
    outputs = [out.getvalue(), check.markdown(found), check.document(found), junit.render(found)]
    outputs += (
        [] if base else ["\n".join(github.commands(found))]
    )  # what is not compared is not there
    for text in outputs:
        assert f"parity undecided: {TENSOR}" in " ".join(text.split())


def test_a_check_under_way_does_not_wait_for_what_is_undecided(tmp_path: Path) -> None:
    cells = {HEAD: {"undecided": True}, BASE: {}}
    record = made(tmp_path, cells, pairs=PAIR, ended=False)
    assert told(verdict(record)) == {"parity": INCONCLUSIVE}
    assert undecided(record.folder, {HEAD, BASE}) == (set(), set())


@pytest.mark.parametrize("gone", [HEAD, BASE])
def test_a_cell_that_is_missing_is_no_pass(tmp_path: Path, gone: str) -> None:
    cells = {one: {"failed": one == gone} for one in (HEAD, BASE)}
    found = verdict(made(tmp_path, cells, pairs=PAIR))
    assert [one.verdict for one in found.findings] == [MISSING]
    assert "killed" in found.findings[0].note
    assert found.status == BROKEN


def test_one_launch_is_not_measurable(tmp_path: Path) -> None:
    found = verdict(made(tmp_path, {HEAD: {}, BASE: {}}, pairs=PAIR, launches=1))
    assert told(found)["throughput"] == NOT_MEASURABLE
    assert found.status == UNMEASURED


def test_noise_makes_no_regression_and_says_how_much_longer(tmp_path: Path) -> None:
    found = verdict(made(tmp_path, {HEAD: {"train": 0.95}, BASE: {}}, pairs=PAIR, noise=0.05))
    (one,) = (one for one in found.findings if one.metric.name == "throughput")
    assert one.verdict == INCONCLUSIVE
    assert "more launches" in one.note or "too close" in one.note
    assert found.status == PASSED


def test_false_alarms_are_rare(tmp_path: Path) -> None:
    alarms = [
        bool(
            verdict(made(tmp_path, {HEAD: {}, BASE: {}}, pairs=PAIR, noise=0.03, seed=seed)).having(
                REGRESSED
            )
        )
        for seed in range(40)
    ]
    assert sum(alarms) <= 1


def test_a_check_under_way_is_looked_at_as_it_is(tmp_path: Path) -> None:
    def look(head: dict[str, float], **options: float) -> tuple[set[str], set[str]]:
        record = made(tmp_path, {HEAD: head, BASE: {}}, pairs=PAIR, ended=False, **options)  # type: ignore[arg-type]
        return undecided(record.folder, {HEAD, BASE})

    assert look({}) == (set(), set())
    assert look({"train": 0.9}, launches=12) == (set(), set())  # it is certain
    assert look({}, launches=2, noise=0.02)[0] == {HEAD, BASE}
    assert look({"train": 0.95}, noise=0.03)[1] == {HEAD, BASE}  # a suspect


def finding(metric: Metric, kind: str, launches: int = 5, change: float = 0.0) -> Finding:
    return Finding(HEAD, BASE, metric, kind, change=change, threshold=0.03, launches=launches)


@pytest.mark.parametrize(
    ("one", "left", "suspected"),
    [
        (finding(THROUGHPUT, INCONCLUSIVE), True, False),
        (finding(THROUGHPUT, INCONCLUSIVE, change=-0.022), True, True),
        (finding(THROUGHPUT, INCONCLUSIVE, change=0.022), True, False),  # better is no suspect
        (finding(LATENCY, INCONCLUSIVE, change=0.022), True, True),
        (finding(THROUGHPUT, NOT_MEASURABLE, change=-0.5), True, False),
        (finding(THROUGHPUT, SAME), False, False),
        (finding(THROUGHPUT, IMPROVED), False, False),
        (finding(FIRST_STEP, NOT_MEASURABLE), True, False),  # it would make the check's status 3
        (finding(FIRST_STEP, INCONCLUSIVE), False, False),
        (finding(FIRST_STEP, INCONCLUSIVE, change=0.022), True, True),
        (finding(ACCURACY, INCONCLUSIVE, change=-0.022), True, True),
        (finding(ACCURACY, INCONCLUSIVE, 3, change=-0.022), False, False),  # no more trainings come
        (finding(MEMORY, INCONCLUSIVE, 3, change=0.022), False, False),  # nor is it asked for again
        (finding(PARITY, NOT_COMPARED, 0), False, False),
        (finding(PARITY, INCONCLUSIVE, 0), False, False),  # no launch will show it
    ],
)
def test_more_launches_are_for_what_they_may_decide(
    one: Finding, left: bool, suspected: bool
) -> None:
    others = [finding(MEMORY, SAME), Finding(OTHER, BASE, THROUGHPUT, REGRESSED, launches=5)]
    assert unsettled([one, *others]) == ([one] if left else [], [one] if suspected else [])
    worse = finding(MEMORY, REGRESSED)  # and so there is nothing left to find
    assert unsettled([one, worse]) == ([], [])


def test_what_is_measured_elsewhere_is_no_reason_to_go_on(tmp_path: Path) -> None:
    cells: dict[str, dict[str, float]] = {HEAD: {"train": 0.96}, BASE: {}, OTHER: {}, THIRD: {}}
    pairs = [*PAIR, (OTHER, THIRD)]
    run = made(tmp_path, cells, pairs=pairs, ended=False, noise=0.02, launches=4).folder
    here = {OTHER, THIRD}
    left, suspects = undecided(run, set(cells))
    assert left == set(cells) and suspects >= {HEAD, BASE}
    assert undecided(run, here)[0] == here and not undecided(run, here)[1] & {HEAD, BASE}
    assert undecided(run, {HEAD}) == (set(), set())  # what it is held against is elsewhere
    table = baseline.of(made(tmp_path, {HEAD: {}, OTHER: {}}, seed=7), "old")
    run = made(tmp_path, {HEAD: {"train": 0.96}, OTHER: {}}, baseline=table, noise=0.02).folder
    assert undecided(run, {HEAD, OTHER, THIRD})[0] == {HEAD, OTHER, THIRD}  # the anchors too
    assert undecided(run, {THIRD}) == (set(), set())


def test_what_a_later_version_told_of_a_check_is_skipped(tmp_path: Path) -> None:
    record = made(tmp_path, {HEAD: {}, BASE: {}}, pairs=PAIR)
    record.manifest["check"]["of the future"] = 1
    assert Check.of(record) == Check("left@1.0", PAIR, 0.03, 0.005)


def test_a_run_that_was_no_check_is_refused(tmp_path: Path) -> None:
    with pytest.raises(store.StoreError, match="was no check"):
        verdict(made(tmp_path, {HEAD: {}}))


# --- against a baseline -----------------------------------------------------------------------------


def stored(tmp_path: Path, **options: object) -> dict[str, object]:
    cells = {HEAD: {}, OTHER: {}}
    return baseline.of(made(tmp_path, cells, seed=7, **options), "old")  # type: ignore[arg-type]


def test_the_same_again_is_the_same_on_a_slower_day(tmp_path: Path) -> None:
    found = verdict(
        made(tmp_path, {HEAD: {}, OTHER: {}}, baseline=stored(tmp_path), speed=0.7, load=(2, 5))
    )
    assert found.advisory == ""
    for one in (HEAD, OTHER):
        assert told(found, one)["throughput"] == SAME
        assert told(found, one)["accuracy"] == SAME
    assert found.status == PASSED
    assert not found.having(REGRESSED)


def test_a_regression_is_found_by_its_anchors(tmp_path: Path) -> None:
    found = verdict(
        made(
            tmp_path,
            {HEAD: {"train": 0.9}, OTHER: {}},
            baseline=stored(tmp_path),
            speed=1.3,
            launches=12,
        )
    )
    assert told(found)["throughput"] == REGRESSED
    assert told(found, OTHER).get("throughput") != REGRESSED
    assert found.status == FAILED


def test_on_another_machine_it_is_advice(tmp_path: Path) -> None:
    found = verdict(
        made(
            tmp_path,
            {HEAD: {"train": 0.8}, OTHER: {}},
            baseline=stored(tmp_path),
            machine={"cpu": "Another CPU"},
            launches=12,
        )
    )
    assert "processor" in found.advisory
    assert told(found)["throughput"] == REGRESSED
    assert "memory" not in told(found)  # a number of another machine's says nothing
    assert told(found)["accuracy"] == SAME
    assert found.status == PASSED
    assert found.sentence.startswith("Regression (non-blocking) ")


def test_other_threads_are_another_machine(tmp_path: Path) -> None:
    table = stored(tmp_path)
    found = verdict(made(tmp_path, {HEAD: {}, OTHER: {}}, baseline=table, threads=1))
    assert "threads" in found.advisory


def test_a_cell_of_the_baseline_that_is_gone_is_missing(tmp_path: Path) -> None:
    found = verdict(made(tmp_path, {HEAD: {}}, baseline=stored(tmp_path)))
    assert told(found, OTHER) == {PARITY.name: MISSING}
    assert "save a new baseline" in found.having(MISSING)[0].note
    assert found.status == BROKEN


def test_another_spec_is_not_compared(tmp_path: Path) -> None:
    table = stored(tmp_path)
    table["workloads"]["mlp-digits"]["spec"] = "0" * 16  # type: ignore[index]
    found = verdict(made(tmp_path, {HEAD: {}, OTHER: {}}, baseline=table))
    assert {one.verdict for one in found.findings if one.metric is PARITY} >= {NOT_COMPARED}
    assert any("another spec" in one.note for one in found.findings)
    assert found.status == UNMEASURED


def test_an_undecided_cell_is_kept_in_no_baseline_and_is_no_anchor(tmp_path: Path) -> None:
    table = baseline.of(made(tmp_path, {HEAD: {}, OTHER: {"undecided": True}}, seed=7), "old")
    assert list(table["cells"]) == [HEAD] and table["cells"][HEAD]["parity"] == "equivalent"
    both = stored(tmp_path)
    found = verdict(
        made(
            tmp_path,
            {HEAD: {"train": 0.9}, OTHER: {"undecided": True, "train": 0.9}},
            baseline=both,
        )
    )
    assert told(found, OTHER) == {"parity": INCONCLUSIVE}
    assert told(found)["throughput"] == REGRESSED  # the other's speed would have hidden it
