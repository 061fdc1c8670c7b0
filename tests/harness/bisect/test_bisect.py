"""The release that brought a change is found, and a log that broke off is gone on with.

Most runs are made up: each writes first steps of known length to a real store. One is real, and slow.
"""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from harness.bisect.bisect import Bisection, prepare
from harness.bisect.conclusion import conclusion
from harness.environments import releases
from harness.environments.probe import Unavailable
from harness.results import store
from harness.results.metrics import IN_BISECT, IN_GATE
from harness.results.tables import split
from harness.runner import run
from harness.verdicts import EQUIVALENT, REPLAYED, UNDECIDED
from tests.parity_event import TENSOR, parity_event
from tests.runs import MadeUpRun
from tests.wheels import publish
from workloads.reading import SpecError

RELEASES = [f"1.{number}" for number in range(10)]


class Lab:
    """Stands in for runs: a release's first step takes what `seconds` says, give or take `noise`."""

    def __init__(self, seconds: Callable[[str], float], noise: float = 0.01) -> None:
        self.seconds, self.noise = seconds, noise
        self.broken: dict[str, str] = {}
        self.undecided: set[str] = set()
        self.undecided_replay: set[str] = set()
        self.interrupt_at = math.inf
        self.measured: list[list[str]] = []
        self._random = random.Random(1)

    def execute(self, asked: run.Request, listener: Any, root: Path) -> tuple[store.Record, int]:
        if len(self.measured) + 1 == self.interrupt_at:
            raise KeyboardInterrupt
        cells = [cell.id for cell in asked.cells]
        versions = {cell: split(cell)["framework"].partition("@")[2] for cell in cells}
        self.measured.append([*versions.values()])
        kept = MadeUpRun(asked.results, {"cells": cells, "options": {}, "workloads": {}})
        listener({"event": "run-started", "cell": None, "folder": str(kept.folder)})
        for cell, version in versions.items():
            if version in self.broken:
                failed = {"status": "crashed", "reason": self.broken[version]}
                listener({"event": "cell-failed", "cell": cell, **failed})
            if version in self.undecided:
                listener({"event": "parity", "cell": cell, **parity_event(UNDECIDED)})
            for verdict in (UNDECIDED, EQUIVALENT) if version in self.undecided_replay else ():
                event = parity_event(verdict, when=REPLAYED, kind="train")
                listener({"event": "parity", "cell": cell, **event})
            listener({"event": "cell-done", "cell": cell})
            took = self.seconds(version) * math.exp(self._random.gauss(0, self.noise))
            kept.first_step(cell, took).done(cell)
        return kept.read(), 0


@pytest.fixture
def bisection(versions_root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bisection]:
    """Make a bisection whose runs a `Lab` makes up."""

    def make(lab: Lab, emit: Callable[[str], None] = print, **changes: Any) -> Bisection:
        monkeypatch.setattr(run, "execute", lab.execute)
        monkeypatch.setattr(releases, "versions", lambda spec: list(map(Version, RELEASES)))
        options: dict[str, Any] = {
            "framework": "toy",
            "good": "1.0",
            "bad": "1.9",
            "metric": "first-step",
            "workload": "mlp-2-3-2",
            "mode": None,
            "device": "cpu",
            "threads": 1,
            "budget": None,
            "results": versions_root / "results",
            "emit": emit,
            "root": versions_root,
        }
        return prepare(**{**options, **changes})

    return make


def later(first_bad: str, factor: float) -> Callable[[str], float]:
    return lambda version: factor if Version(version) >= Version(first_bad) else 1.0


def said(one: Bisection) -> tuple[str, int]:
    return conclusion(one.question, one.go())


@pytest.mark.parametrize(("first_bad", "good"), [("1.1", "1.0"), ("1.6", "1.5"), ("1.9", "1.8")])
def test_a_planted_slow_release_is_found(
    bisection: Callable[..., Bisection], first_bad: str, good: str
) -> None:
    lab = Lab(later(first_bad, 1.25))
    words, status = said(bisection(lab))
    assert status == 0
    assert words.startswith("first step rose by 2")
    assert f" in {first_bad}; {good} is the last good one; from 1.0 to 1.9 " in words
    assert f"; {len(lab.measured)} runs, " in words
    assert len({frozenset(among) for among in lab.measured}) <= 5


def test_what_got_better_is_found_too(bisection: Callable[..., Bisection]) -> None:
    words, status = said(bisection(Lab(later("1.3", 0.5))))
    assert status == 0
    assert words.startswith("first step fell by ") and " in 1.3; 1.2 is the last good" in words


def test_whoever_starts_first_is_not_always_the_same(bisection: Callable[..., Bisection]) -> None:
    lab = Lab(later("1.6", 1.25))
    said(bisection(lab))
    assert lab.measured[:2] == [["1.0", "1.9"], ["1.9", "1.0"]]


def test_no_change_is_said_and_not_searched_for(bisection: Callable[..., Bisection]) -> None:
    for noise in (0.001, 0.2):
        lab = Lab(lambda version: 1.0, noise)
        words, status = said(bisection(lab, budget=60 + noise))
        assert status == 3
        assert words.startswith("no significant change: from 1.0 to 1.9 first step ")
        assert words.endswith("; a larger --budget may decide") == (noise > 0.1)
        assert {frozenset(among) for among in lab.measured} == {frozenset({"1.0", "1.9"})}


def test_a_release_that_cannot_run_is_skipped(bisection: Callable[..., Bisection]) -> None:
    lab = Lab(later("1.6", 1.25))
    lab.broken = {"1.4": "no such operator"}
    words, status = said(bisection(lab))
    assert (status, words.count(" in 1.6; 1.5 is the last good one")) == (0, 1)
    lab.broken = {"1.5": "no such operator", "1.6": "no such operator"}
    words, status = said(bisection(lab, budget=61))
    assert status == 1
    assert " in one of 1.5, 1.6 and 1.7; 1.4 is the last good one" in words
    assert words.endswith("\n  1.5: crashed: no such operator\n  1.6: crashed: no such operator")


def test_a_release_that_is_undecided_is_skipped_and_why_is_said(
    bisection: Callable[..., Bisection],
) -> None:
    lab = Lab(later("1.6", 1.25))
    lab.undecided = {"1.5", "1.6"}
    words, status = said(bisection(lab))
    assert status == 1
    assert words.endswith(f"\n  1.5: parity undecided: {TENSOR}\n  1.6: parity undecided: {TENSOR}")


def test_a_release_whose_undecided_replay_is_decided_later_is_measured(
    bisection: Callable[..., Bisection],
) -> None:
    lab = Lab(later("1.6", 1.25))
    lab.undecided_replay = set(RELEASES)
    words, status = said(bisection(lab))
    assert (status, words.count(" in 1.6; 1.5 is the last good one")) == (0, 1)


def test_an_end_that_cannot_run_ends_it_and_leaves_the_log_good(
    bisection: Callable[..., Bisection],
) -> None:
    lab = Lab(later("1.6", 1.25))
    lab.broken = {"1.9": "out of memory"}
    one = bisection(lab)
    with pytest.raises(Unavailable, match=r"toy@1.9 cannot be measured, .*: out of memory; fix"):
        one.go()
    lab.broken = {}
    assert said(one)[1] == 0


def test_after_an_interruption_nothing_is_measured_again(
    bisection: Callable[..., Bisection],
) -> None:
    lab = Lab(later("1.6", 1.25))
    whole = said(bisection(lab, budget=70))[0]
    broken = Lab(later("1.6", 1.25))
    broken.interrupt_at = 8
    one = bisection(broken)
    with pytest.raises(KeyboardInterrupt):
        one.go()
    with one.log.path.open("a") as file:
        file.write('{"event": "measu')  # as a killed process leaves it
    told: list[str] = []
    rest = Lab(later("1.6", 1.25))
    words, status = said(bisection(rest, told.append))
    assert status == 0
    assert "2 measurements are known" in told[1]
    assert rest.measured[0] == broken.measured[6]  # what was broken off, anew
    assert len(rest.measured) < len(lab.measured)
    assert words.split(" (")[0][:15] == whole.split(" (")[0][:15]
    again = Lab(later("1.6", 1.25))
    assert said(bisection(again)) == (words, status)
    assert again.measured == []


def test_another_question_has_another_log(bisection: Callable[..., Bisection]) -> None:
    lab = Lab(later("1.6", 1.25))
    one, *others = (
        bisection(lab, **changes).log.path
        for changes in ({}, {"good": "1.1"}, {"metric": "memory"}, {"workload": "mlp-digits"})
    )
    assert len({one, *others}) == 4
    assert bisection(lab).log.path == one
    assert one.parent.name == "bisects"


def test_a_log_keeps_what_was_asked_and_every_measurement(
    bisection: Callable[..., Bisection],
) -> None:
    one = bisection(Lab(later("1.6", 1.25)))
    one.go()
    asked, *events = map(json.loads, one.log.path.read_text().splitlines())
    assert (asked["event"], asked["good"], asked["releases"]) == ("asked", "1.0", RELEASES)
    assert events[0]["verdict"] == "changed" and events[0]["release"] is None
    assert {event["verdict"] for event in events[1:]} == {"good", "bad"}
    for event in events:
        assert all((one.results / name).is_dir() for name in event["runs"])


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"good": "1.9", "bad": "1.0"}, "--good 1.9 is not before --bad 1.0"),
        ({"good": "one"}, '--good "one" is no version'),
        ({"framework": "toi"}, 'no framework "toi"'),
        ({"framework": "reference"}, "is the ground-truth implementation"),
        ({"mode": "fast"}, 'no mode of toy "fast"'),
        ({"device": "auto"}, "name one"),
    ],
)
def test_a_question_that_cannot_be_meant_is_refused(
    bisection: Callable[..., Bisection], changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(SpecError, match=complaint):
        bisection(Lab(lambda version: 1.0), **changes)


def test_an_end_that_is_not_offered_is_told_with_its_neighbours(
    bisection: Callable[..., Bisection],
) -> None:
    with pytest.raises(SpecError, match=r"Toy 1.10 is not offered here; nearest are 1.8, 1.9"):
        bisection(Lab(lambda version: 1.0), bad="1.10").go()


@pytest.mark.nightly
def test_a_real_slow_release_is_found_and_one_that_breaks_is_skipped(
    versions_root: Path, wheels: Path
) -> None:
    for version in RELEASES[1:6]:
        slow = Version(version) >= Version("1.4")
        publish(wheels, version, 4e-4 if slow else 0.0, "1 / 0" if version == "1.2" else "")
    command = [
        sys.executable,
        "cli.py",
        "bisect",
        "toy",
        "--good",
        "1.0",
        "--bad",
        "1.5",
        "--workload",
        "mlp-2-3-2",
        "--threads",
        "1",
    ]
    done = subprocess.run(command, cwd=versions_root, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("throughput fell by ")
    assert " in 1.4; 1.3 is the last good one; " in done.stdout
    assert "1.2 is skipped: `import toyframe` fails right after installation" in done.stderr
    again = subprocess.run(command, cwd=versions_root, capture_output=True, text=True, timeout=60)
    assert (again.returncode, again.stdout) == (0, done.stdout)


def test_every_metric_of_a_bisection_is_one_of_the_gate() -> None:
    assert set(IN_BISECT) == {
        "throughput",
        "inference",
        "latency",
        "first-step",
        "memory",
        "accuracy",
    }
    assert set(IN_BISECT.values()) <= set(IN_GATE)


def test_of_two_changes_it_comes_to_the_larger_one(bisection: Callable[..., Bisection]) -> None:
    for larger, smaller in (("1.3", "1.7"), ("1.7", "1.3")):
        steps = {larger: 1.3, smaller: 1.15}

        def seconds(version: str, steps: dict[str, float] = steps) -> float:
            return math.prod(k for at, k in steps.items() if Version(version) >= Version(at))

        words, status = said(bisection(Lab(seconds, 0.005), budget=60 + float(larger)))
        assert status == 0
        assert f" in {larger}; " in words


def test_a_change_in_small_parts_ends_at_one_of_them(bisection: Callable[..., Bisection]) -> None:
    lab = Lab(lambda version: 1.05 ** float(version[2:]), 0.002)
    words, status = said(bisection(lab))
    assert status == 0
    assert words.startswith(("first step rose by 4.", "first step rose by 5."))
    assert "; from 1.0 to 1.9 first step rose by 55% (" in words
