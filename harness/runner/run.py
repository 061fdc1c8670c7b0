"""A whole run, from a request to the written report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import disk
from harness.environments import builder, gpu_support
from harness.environments.builder import Environment, Unavailable
from harness.machine import claims, devices, host, node, processors
from harness.machine.interference import InterferenceMonitor
from harness.paths import cache_folder, cache_hint, project_root
from harness.results import history_db, preview, store
from harness.results.events import Kind
from harness.results.tables import FAILED, INTERRUPTED, OK
from harness.runner import manifest
from harness.runner.anonymous import Scrub, scrub_logs, scrubber
from harness.runner.context import Measuring, RunContext, Task, Timeouts, Watchers
from harness.runner.plan import Cell
from harness.runner.request import Request
from harness.runner.resume import Past, resume
from harness.runner.schedule import conduct, training_steps
from harness.verdicts import UNDECIDED, by_cell, parity_verdict
from workloads import datasets
from workloads.datasets import DatasetError
from workloads.places import arguments
from workloads.spec import Workload

PATIENCE = Timeouts()

Listener = Callable[[dict[str, Any]], None]

Finish = Callable[[store.Record], None]
"""What is done with the record of a run that has ended, however it ended: its reports are written."""


class CutShort(store.StoreError):
    """A run could not be written any more, as on a full disk; `record` is what there is of it."""

    def __init__(self, message: str, record: store.Record) -> None:
        super().__init__(message)
        self.record = record


class _Session:
    """A run under way: what it needs at every turn, and what has gone wrong."""

    def __init__(
        self,
        asked: Request,
        run: store.Run,
        past: Past,
        listener: Listener,
        timeouts: Timeouts,
        scrub: Scrub,
    ) -> None:
        self.asked, self.run, self.past, self.timeouts = asked, run, past, timeouts
        self._scrub = scrub
        self._listener = listener
        self.failures = len(past.ended(asked.cells, "cell-failed"))
        self._checks = [_verdict_of(event) for event in past.events if event["event"] == "parity"]

    @property
    def outcome(self) -> tuple[str, int]:
        """How the run ended, and the exit status."""
        if self.failures:
            return FAILED, 1
        verdicts = {parity_verdict(checks) for checks in by_cell(self._checks).values()}
        return (UNDECIDED, 3) if UNDECIDED in verdicts else (OK, 0)

    def begin(self, event: Kind) -> None:
        self.emit(
            event,
            None,
            cells=len(self.asked.cells),
            folder=str(self.run.folder),
            budget=None if self.asked.only_parity else _whole_budget(self.asked),
            workloads=[workload.name for workload in self.asked.workloads],
        )

    def look_around(self) -> None:
        """Write down the other jobs on the node of a unit, where its engine says them."""
        if node.unit() and (jobs := node.neighbours()) is not None:
            self.emit("neighbours", None, jobs=jobs)

    def end(self, status: str, exit_code: int) -> store.Record:
        """Close the journal, as far as the disk lets us, and return what is in it."""
        with suppress(store.StoreError):  # the run was stopped for it, or the folder cannot be read
            self.emit("run-ended", None, status=status, exit_code=exit_code)
        self.run.close()
        if self.asked.anonymous:
            with suppress(OSError):  # a full disk: the run was stopped for it
                scrub_logs(self.run.folder / store.LOGS, self._scrub)
        return store.read(self.run.folder)

    def emit(self, event: Kind, cell: str | None, **fields: Any) -> None:
        self.failures += event == "workload-refused"
        whole_event = {"event": event, "cell": cell, **fields}
        if event == "parity":
            self._checks.append(_verdict_of(whole_event))
        written = self._scrub(fields)
        if not self.past.holds(event, written):
            self.run.append(event, cell, **written)
        self._listener(whole_event)
        if fields.get("status") == disk.FULL:  # the next worker would fare no better
            raise store.StoreError(
                f"{fields['reason']}; fix that, then {store.go_on(self.run.folder)}"
            )


def execute(
    asked: Request,
    listener: Listener,
    root: Path | None = None,
    timeouts: Timeouts = PATIENCE,
    finish: Finish = lambda record: None,
    resumed: Path | None = None,
) -> tuple[store.Record, int]:
    """Do what was asked for; return the run's record and the exit status.

    0: all ok; 1: a cell failed, is not equivalent or could not run, or a workload was refused; else 3: a
    cell is undecided. Ctrl-C ends the workers, keeps what there is, and is raised again. `root` is the
    project's folder; `finish` gets the record in every case. `resumed` is the folder of a run that was
    cut short: it is gone on with, and what is whole in it is not measured again.

    Raises:
        CutShort: the disk failed the run; its record has what was measured until then.
        StoreError: no run can be stored, its folder is gone, or `resumed` cannot be gone on with.
    """
    session = _open(asked, listener, root or project_root(), timeouts, resumed)
    folder = session.run.folder
    status, exit_code, stopped = INTERRUPTED, 1, ""
    try:
        session.begin("run-resumed" if resumed else "run-started")
        session.look_around()
        _conduct_all(session)
        session.look_around()
        status, exit_code = session.outcome
    except KeyboardInterrupt as stop:
        if arguments(asked.command)[:1] == ["run"]:
            stop.add_note(store.go_on(folder))
        raise
    except store.StoreError as error:
        stopped = str(error)
    except OSError as error:
        path = Path(error.filename or folder)
        stopped = f"{path}: {disk.reason(path, error)}; fix that, then {store.go_on(folder)}"
    finally:
        record = session.end(status, exit_code)
        _attempt(finish, record, "report-failed", listener)
        _attempt(history_db.add, record, "history-failed", listener)
    if stopped:
        raise CutShort(stopped, record)
    return record, exit_code


def _open(
    asked: Request, listener: Listener, root: Path, timeouts: Timeouts, resumed: Path | None
) -> _Session:
    """Create a run's folder, or open the folder `resumed` again."""
    scrub = scrubber(asked.results) if asked.anonymous else _as_it_is
    described = scrub(manifest.of(asked, root))
    if resumed is None:
        run, past = store.Run.create(asked.results, described), Past()
    else:
        run, past = resume(resumed, described)
    for name, text in asked.attachments.items():
        store.write(run.folder / name, scrub(text))
    return _Session(asked, run, past, listener, timeouts, scrub)


def _verdict_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's outcome needs of a parity event: all of it would grow with every cell."""
    return {key: event.get(key) for key in ("event", "cell", "when", "kind", "verdict")}


def _as_it_is(value: Any) -> Any:
    return value


def _attempt(work: Finish, record: store.Record, failure: str, listener: Listener) -> None:
    """Do what can be done again from the store; where it fails, the run is as good without."""
    try:
        work(record)
    except store.StoreError as error:
        listener({"event": failure, "cell": None, "reason": str(error)})


def _conduct_all(session: _Session) -> None:
    asked = session.asked
    tasks = [task for task in (_task(workload, session) for workload in asked.workloads) if task]
    ready = _environments(session) if tasks else {}

    def waiting(others: Sequence[int], cards: Sequence[int]) -> None:
        session.emit("waiting", None, processors=others, cards=cards)

    with claims.claimed(
        asked.threads, devices.indices(asked.devices), waiting, asked.spared
    ) as claim:
        session.emit("processors", None, **vars(claim))
        with builder.using(ready.values()):
            _conduct_tasks(session, tasks, ready, claim)


def _conduct_tasks(
    session: _Session,
    tasks: Sequence[Task],
    ready: Mapping[tuple[str, str], Environment],
    claim: claims.Claim,
) -> None:
    asked = session.asked
    context = RunContext(
        threads=asked.threads,
        deterministic=asked.deterministic,
        kept_variables=asked.kept_variables,
        cpus=claim.processors,
        spare_cpus=claim.spare,
        seed=asked.seed,
        framework_specs=asked.framework_specs,
        environments=ready,
        measuring=_share(asked.measuring, len(tasks)),
        watchers=Watchers(InterferenceMonitor(claim.processors), manifest.meter(asked)),
        score=not asked.synthetic,
        timeouts=session.timeouts,
        parity_steps=asked.parity_steps,
        only_parity=asked.only_parity,
        undecided=asked.undecided,
        seeds=asked.seeds,
        limits_measured=session.past.limits_measured(),
        past=session.past,
    )
    for task in tasks:
        held = _held_to(asked.threads_of(task.workload.name), context, claim)
        of_workload = [cell for cell in asked.cells if cell.workload == task.workload.name]
        whole = session.past.ended(of_workload)
        planned = [cell for cell in of_workload if cell not in whole]
        cells = [cell for cell in planned if _can_run(cell, held, session)]
        session.failures += len(planned) - len(cells)
        if cells or not whole:
            session.failures += conduct(task, cells, held, session.run.folder, session.emit)


def _held_to(threads: int, context: RunContext, claim: claims.Claim) -> RunContext:
    """Return the context of a workload whose workers have so many threads.

    Where the run has more processors, for other points of a sweep, those are spare; and the machine's
    limit is measured anew, for it is one of so many threads.
    """
    if threads == context.threads:
        return context
    cpus = processors.among(claim.processors, threads)
    spare = [cpu for cpu in claim.processors if cpu not in cpus]
    return replace(
        context,
        threads=threads,
        cpus=cpus,
        spare_cpus=[*spare, *claim.spare],
        watchers=replace(context.watchers, monitor=InterferenceMonitor(cpus)),
        limits_measured=set(),
    )


def _whole_budget(asked: Request) -> float | None:
    """Seconds for the timed rounds of all workloads, where they are limited."""
    each = asked.measuring.workload_budget
    return asked.measuring.budget or (None if each is None else each * len(asked.workloads))


def _share(measuring: Measuring, workloads: int) -> Measuring:
    """Return what each workload is held to: its part of the run's budget, or the usual one."""
    if measuring.budget is None:
        return replace(measuring, budget=measuring.workload_budget)
    return replace(measuring, budget=measuring.budget / max(1, workloads))


def _task(workload: Workload, session: _Session) -> Task | None:
    """Make a workload's data ready; where that cannot be, say so in one line and go on."""
    asked = session.asked
    try:
        arrays = datasets.prepare(
            workload.dataset,
            cache_folder() / "datasets",
            seed=workload.data.seed,
            data_dir=asked.data_dir,
            synthetic=asked.synthetic,
        )
        steps = training_steps(workload, arrays, asked.steps)
    except (DatasetError, ValueError) as error:
        reason = "; ".join(filter(None, (str(error), cache_hint(error))))
        session.emit("workload-skipped", None, workload=workload.name, reason=reason)
        session.failures += not (asked.skip_absent and isinstance(error, datasets.DatasetMissing))
        return None
    session.emit(
        "dataset",
        None,
        workload=workload.name,
        name=arrays.name,
        source=arrays.source,
        sha256=arrays.sha256,
        train=len(arrays.open("train_labels")),
        test=len(arrays.open("test_labels")),
        classes=list(arrays.classes),
        images=None if workload.data.user_data else preview.first(arrays, workload.dataset.top),
    )
    return Task(workload, arrays, steps)


def _environments(session: _Session) -> dict[tuple[str, str], Environment]:
    """Make every framework's environment ready, and emit an event for each; leave out what cannot run."""
    asked, ready = session.asked, {}
    for device in asked.devices:
        results = _prepare(asked, device, session)
        for name, result in results.items():
            about = {
                "framework": name,
                "title": asked.framework_specs[name].title,
                "device": device,
            }
            if isinstance(result, Unavailable):
                session.emit("framework-unavailable", None, **about, reason=str(result))
                continue
            ready[name, device] = result
            session.emit(
                "framework-ready",
                None,
                **about,
                reference=asked.framework_specs[name].reference,
                commit=asked.framework_specs[name].commit,
                origin=result.origin,
                python=str(result.python),
                version=result.version,
                lock=result.lock,
                lock_sha256=result.lock_hash,
                seconds=result.seconds,
            )
    return ready


def _prepare(
    asked: Request, device: str, session: _Session
) -> dict[str, Environment | Unavailable]:
    kind, gpus = devices.kind(device), host.gpus()
    framework_specs = [
        r for r in asked.framework_specs.values() if kind in r.devices or not r.reference
    ]
    if absent := devices.missing(device, gpus):
        return {framework_spec.label: Unavailable(absent) for framework_spec in framework_specs}
    refused = {}
    for framework_spec in framework_specs if kind == devices.CUDA else ():
        card, named = devices.card(device, gpus), framework_spec.label in asked.interpreters
        if reason := gpu_support.refusal(framework_spec, card, named):
            refused[framework_spec.label] = Unavailable(reason)

    def report(name: str, text: str) -> None:
        session.emit("framework-building", None, framework=name, text=text)

    able = [
        framework_spec for framework_spec in framework_specs if framework_spec.label not in refused
    ]
    prepared = builder.prepare_all(able, kind, interpreters=asked.interpreters, report=report)
    return {**refused, **prepared}


def _can_run(cell: Cell, context: RunContext, session: _Session) -> bool:
    """Say whether all that the cell needs is here; where not, the journal says why."""
    if (cell.framework, cell.device) not in context.environments:
        return False  # reported already, for all of its cells
    reason = context.framework_specs[cell.framework].missing_program(cell.mode)
    reason = reason or devices.lacks(cell.precision, cell.device, host.gpus())
    if reason:
        session.emit(
            "cell-failed",
            cell.id,
            phase="start",
            status="unavailable",
            reason=reason,
            signal=None,
            log_tail=[],
        )
    return reason is None
