"""Measures release by release until it is known which one brought a change."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from harness import defaults, selection
from harness.bisect.log import Log
from harness.bisect.question import BAD, Question, better, in_words, moved, side
from harness.bisect.search import SKIPPED, Search
from harness.environments import releases, variants
from harness.environments.framework_spec import FrameworkSpec, discover
from harness.environments.probe import Unavailable
from harness.machine import processors
from harness.outcomes import INCONCLUSIVE
from harness.paths import project_root
from harness.results import store, tables
from harness.results.metrics import (
    ACCURACY,
    DEVICE_MEMORY,
    FIRST_STEP,
    INFERENCE,
    MEMORY,
    THROUGHPUT,
)
from harness.runner import run
from harness.runner.request import Options, Request, request
from harness.stats.intervals import LOOKS
from harness.verdicts import REPLAYED, UNDECIDED, by_cell, parity_verdict, undecided_reason
from workloads import spec
from workloads.reading import SpecError

STEPS = 50
"""Steps that are trained where the score does not matter."""

TRAINED = (ACCURACY, MEMORY, DEVICE_MEMORY)
"""What trainings measure, each of another seed: no time counts."""

COLD = LOOKS[:4]
"""After how many runs first steps are looked at; each is a run, or they find what is compiled."""

Emit = Callable[[str], None]


class _Unusable(Exception):
    """A cell cannot run or be compared, so that the run under way is of no use."""

    def __init__(self, framework: str, reason: str, folder: str) -> None:
        super().__init__(reason)
        self.framework, self.folder = framework, folder


@dataclass(frozen=True)
class Bisection:
    """One question and what it takes to answer it. Made by `prepare`."""

    question: Question
    workload: str
    """As it was given: a name, or a file."""
    framework_spec: FrameworkSpec
    results: Path
    root: Path
    emit: Emit

    @property
    def log(self) -> Log:
        """Where the answer grows."""
        return Log(self.results, self.question, spec.load(self.workload).to_dict())

    def go(self) -> Search:
        """Go on from the log until there is nothing left to measure; return where that led.

        Raises:
            SpecError, InstallError: the releases are not offered, or cannot be listed.
            Unavailable: one that the others are held against cannot run.
        """
        log = self.log
        header, *events = log.read() or [log.begin(self._releases())]
        search = Search.replay(header["releases"], events)
        count = len(search.releases)
        self.emit(f"{count} releases from {search.releases[0]} to {search.releases[-1]}")
        if events:
            self.emit(f"{len(events)} measurements are known from {log.path}")
        while not search.done:
            event = self._measure(search)
            log.append(event)
            search.take(event)
        return search

    def _releases(self) -> list[str]:
        """Return those that are offered, from the good one to the bad one."""
        offered = releases.versions(self.framework_spec)
        good, bad = Version(self.question.good), Version(self.question.bad)
        for end in (good, bad):
            if end not in offered:
                near = releases.offered(variants.at_release(self.framework_spec, end))
                raise SpecError(f"{self.framework_spec.title} {end} is not offered here; {near}")
        return [str(release) for release in offered if good <= release <= bad]

    def _measure(self, search: Search) -> dict[str, Any]:
        """Measure what is next, and return it as the log has it."""
        release, (good, bad), began = search.next, search.ends, time.monotonic()
        among = [good, bad] if release is None else [good, release, bad]
        self.emit(f"measuring {', '.join(among)}")
        folders: list[str] = []
        try:
            event = self._judged(self._records(among, search, folders), search)
        except _Unusable as failure:
            folders.append(failure.folder)
            if release is None or failure.framework != f"{self.question.framework}@{release}":
                raise Unavailable(
                    f"{failure.framework} cannot be measured, so nothing can be held against it:"
                    f" {failure}; fix that and give the same command again"
                ) from failure
            event = {"verdict": SKIPPED, "reason": str(failure), "step": None}
            self.emit(f"  {release} is skipped: {failure}")
        seconds = round(time.monotonic() - began, 1)
        return {
            "event": "measured",
            "release": release,
            "good": good,
            "bad": bad,
            **event,
            "runs": folders,
            "seconds": seconds,
        }

    def _judged(self, records: list[store.Record], search: Search) -> dict[str, Any]:
        """Report a measurement's result to the user, and return it for the log."""
        question, release, (good, bad) = self.question, search.next, search.ends
        if release is None or search.overall is None:
            change = better(records, question, bad, good)
            self.emit(f"  from {good} to {bad}: {in_words(question, change)}")
            return {"verdict": moved(change), "step": change.to_dict()}
        verdict, lean = side(records, question, release, (good, bad), search.overall)
        from_good = better(records, question, release, good)
        context = f"from {good} to it: {in_words(question, from_good)}"
        if verdict == INCONCLUSIVE:
            reason = f"not surely nearer to {good} or to {bad} after {lean.count} launches"
            self.emit(f"  {release} is {reason}; {context}")
            return {"verdict": INCONCLUSIVE, "reason": reason, "step": None, "lean": lean.to_dict()}
        self.emit(f"  {release} is nearer to {bad if verdict == BAD else good}; {context}")
        step = from_good if verdict == BAD else better(records, question, bad, release)
        return {"verdict": verdict, "step": step.to_dict(), "lean": lean.to_dict()}

    def _records(self, among: list[str], search: Search, folders: list[str]) -> list[store.Record]:
        """Run releases side by side until the question is settled; add the runs to `folders`."""
        records: list[store.Record] = []
        settled = partial(_settled, self.question, search)
        while True:
            side_by_side = self._request(among, settled)
            turn = len(records) % len(side_by_side.cells)  # whoever starts first finds cold disks
            side_by_side = replace(
                side_by_side, cells=[*side_by_side.cells[turn:], *side_by_side.cells[:turn]]
            )
            record, _ = run.execute(side_by_side, self._listener(), self.root)
            folders.append(record.folder.name)
            records.append(record)
            if self.question.measured is not FIRST_STEP or len(records) == COLD[-1]:
                return records
            if len(records) in COLD and settled(records):
                return records

    def _request(self, among: list[str], settled: Callable[[list[store.Record]], bool]) -> Request:
        """Return the request of a run of some releases, which stops when it has settled the question."""
        question, metric = self.question, self.question.measured
        plain_request = request(
            Options(
                frameworks=[f"{question.framework}@{release}" for release in among],
                workloads=[self.workload],
                modes=[question.mode],
                device=question.device,
                threads=question.threads,
                seed=None,
                steps=None if metric is ACCURACY else STEPS,
                data="real" if metric is ACCURACY else "synthetic",
                data_dir=None,
                interpreters={},
                out=self.results,
                budget=question.budget,
                only_parity=metric is FIRST_STEP,
                root=self.root,
            )
        )
        measuring = replace(plain_request.measuring, checking=metric not in (THROUGHPUT, INFERENCE))
        if metric in TRAINED:
            measuring = replace(measuring, rounds=1, seconds=0.05)

        def undecided(folder: Path, cells: set[str]) -> tuple[set[str], set[str]]:
            open_ones = set() if settled([store.read(folder)]) else cells
            return open_ones, open_ones

        return replace(plain_request, undecided=undecided, measuring=measuring)

    def _listener(self) -> run.Listener:
        """Emit what takes long, and stop a run of which one cell cannot run or be compared."""
        folder = ""
        checks: list[Mapping[str, Any]] = []

        def listener(event: Mapping[str, Any]) -> None:
            nonlocal folder
            kind = event["event"]
            if kind == "run-started":
                folder = Path(event["folder"]).name
            elif kind == "framework-building":
                self.emit(f"  {event['framework']}: {event['text']}")
            elif kind == "framework-unavailable":
                raise _Unusable(event["framework"], event["reason"], folder)
            elif kind == "cell-failed":
                name = tables.split(event["cell"])["framework"]
                raise _Unusable(name, f"{event['status']}: {event['reason']}", folder)
            elif kind == "parity":
                checks.append(event)
                # What was replayed may still be decided by a later slice.
                if event["when"] != REPLAYED:
                    self._refuse_undecided(checks, event["cell"], folder)
            elif kind == "cell-done":
                self._refuse_undecided(checks, event["cell"], folder)
            elif kind in ("workload-skipped", "workload-refused"):
                raise Unavailable(f"{event['workload']}: {event['reason']}")

        return listener

    @staticmethod
    def _refuse_undecided(events: list[Mapping[str, Any]], cell: str, folder: str) -> None:
        """Raise where the parity `events` of a cell come to undecided."""
        checks = by_cell(events).get(cell, [])
        if parity_verdict(checks) == UNDECIDED:
            raise _Unusable(tables.split(cell)["framework"], undecided_reason(checks), folder)


def _settled(question: Question, search: Search, records: list[store.Record]) -> bool:
    """Say whether more launches cannot change the outcome."""
    release, (good, bad) = search.next, search.ends
    if release is None or search.overall is None:
        difference = better(records, question, bad, good)
        decided = moved(difference) != INCONCLUSIVE
    else:
        verdict, difference = side(records, question, release, (good, bad), search.overall)
        decided = verdict != INCONCLUSIVE
    # What is measured in trainings has no more values when the trainings have ended.
    launches = max(event.get("launch", 1) for event in records[-1].events)
    return decided or (question.measured in TRAINED and difference.count < launches)


def prepare(
    *,
    framework: str,
    good: str,
    bad: str,
    metric: str,
    workload: str,
    mode: str | None,
    device: str,
    threads: int | None,
    budget: float | None,
    results: Path,
    emit: Emit,
    root: Path | None = None,
) -> Bisection:
    """Check what was asked for.

    Raises:
        SpecError: a name or a version is none, or `good` is not before `bad`.
    """
    root = root or project_root()
    framework_spec = _measurable(framework, root)
    if device == "auto":
        raise SpecError("--device auto: name one, as cpu or cuda")
    good, bad = _in_order(good, bad)
    modes = selection.choose(
        [mode or framework_spec.modes[0]], list(framework_spec.modes), f"mode of {framework}"
    )
    question = Question(
        framework=framework,
        good=good,
        bad=bad,
        metric=metric,
        workload=spec.load(workload).name,
        mode=modes[0],
        device=device,
        threads=threads or processors.usual_threads(),
        budget=budget or defaults.BISECT_SECONDS,
    )
    return Bisection(question, workload, framework_spec, results, root, emit)


def _measurable(framework: str, root: Path) -> FrameworkSpec:
    """Return the spec of `framework`, which may not be the reference."""
    specs = discover(root)
    (name,) = selection.choose([framework], [*specs], "framework")
    if specs[name].reference:
        raise SpecError(
            f"{framework} is the ground-truth implementation, and is not measured: name another framework"
        )
    return specs[name]


def _in_order(good: str, bad: str) -> tuple[str, str]:
    """Return both versions as they are normally written; `good` has to be the older one."""
    older, newer = _version("--good", good), _version("--bad", bad)
    if older >= newer:
        raise SpecError(f"--good {good} is not before --bad {bad}: give the older one as --good")
    return str(older), str(newer)


def _version(option: str, word: str) -> Version:
    try:
        return Version(word)
    except InvalidVersion:
        raise SpecError(f'{option} "{word}" is no version; give a release, as 1.2.3') from None
