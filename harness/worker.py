"""The process inside a framework's environment: one adapter, jobs in, events out.

Started as ``python -P harness/worker.py CHANNEL``, CHANNEL being the number of an inherited socket.
The project's root is at the *end* of the path, and only while our rooms are found: nothing in it, nor
beside an installed copy, shadows a library. Standard library, numpy and one framework only.
"""

from __future__ import annotations

import os
import platform
import random
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray

import frameworks
from frameworks.answers import answers
from frameworks.contract import Adapter, Options, Weights
from frameworks.replays import (
    LEAST_STEPS,
    LastTimed,
    TimedPredictions,
    from_start,
    snapshot,
    timed_slice,
)
from harness import failures, protocol, this_process
from workloads.batches import Batches, in_order, mixed
from workloads.scores import Scores
from workloads.spec import Workload, from_dict

sys.path.pop()

Result = dict[str, Any]

_PORTION_SECONDS = 0.5
"""How much training is done between two events."""

_LEAST_PORTIONS = 12
"""Fewer step times than this show no steady state: a warm-up is timed in so many portions at least."""

_MOST_CALLS = 2000
"""The most single predictions that are timed."""

_UNCOUNTED = 5
"""Predictions before the first that counts: the first traces and compiles for its shape."""

_PORTION_BYTES = 64 * 2**20
"""The most input that is held ready at a time."""


class Cell:
    """One workload in one framework and mode: what the jobs work on."""

    adapter: Adapter
    adapter_class: type[Adapter]
    workload: Workload
    start: Weights
    batches: Batches
    arrays: dict[str, NDArray]
    folder: Path

    def __init__(self) -> None:
        self.timed = LastTimed()
        self._random = random.SystemRandom()
        self.seconds_a_step = {"train": 0.0, "resident": 0.0, "predict": 0.0, "single": 0.0}

    # Each public method is a job: keyword arguments in, a result out; `emit` sends an event between.

    def open(self, framework: str, version: int, folder: str, emit: Callable) -> Result:
        """Import the framework. `folder` is where this cell's arrays are handed back."""
        if version != (own_version := protocol.VERSION):
            raise RuntimeError(f"protocol {version} asked for, this worker speaks {own_version}")
        self.folder = Path(folder)
        start = time.perf_counter()
        self.adapter_class = frameworks.adapter(framework)
        seconds = time.perf_counter() - start
        size = this_process.memory("status", "VmRSS")["VmRSS"]
        this_process.reset_peak()
        return {
            "import_seconds": seconds,
            "versions": self.adapter_class.versions(),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "allocator": {k: v for k, v in os.environ.items() if k.startswith("MALLOC_")},
            "rss": size,
        }

    def build(
        self,
        workload: dict,
        arrays: str,
        start: str,
        mode: str,
        device: str,
        precision: str,
        threads: int,
        emit: Callable,
        deterministic: bool = False,
    ) -> Result:
        """Build the model. `arrays` holds the data set, `start` the start weights and the order."""
        self.arrays = {path.stem: _map(path) for path in Path(arrays).glob("*.npy")}
        self.begin_from(workload, start, emit)
        begin = time.perf_counter()
        options = Options(mode, device, threads, precision, deterministic)
        self.adapter = self.adapter_class(self.workload, self.start, options)
        return {
            "seconds": time.perf_counter() - begin,
            "settings": self.adapter.settings(),
            "resident": type(self.adapter).resident is not Adapter.resident,
        }

    def begin_from(self, workload: dict, start: str, emit: Callable) -> Result:
        """Take the weights, the order and the masks of a seed: what is asked next begins with them.

        `workload` is the one that was built, with that seed; `start` is the folder made from it.
        """
        self.workload = from_dict(workload, "the workload handed to the worker")
        order = _map(Path(start) / "order.npy")
        train = self.arrays["train_inputs"], self.arrays["train_labels"]
        self.batches = Batches(*train, order, self.workload)
        self.start = {
            name: np.load(Path(start) / f"{name}.npy", allow_pickle=False)
            for name in (*self.workload.parameters, *self.workload.state)
        }
        return {}

    def first_step(self, emit: Callable) -> Result:
        """Take the very first training step: tracing and compiling are in its time."""
        seconds, losses = self._train(0, 1)
        if others := self.batches.all_graphs():
            self.adapter.train(others)  # compiled here, in no figure and in no timed slice
        return {"seconds": seconds, "loss": float(losses[0])}

    def answer(self, steps: int, file: str, emit: Callable) -> Result:
        """Answer what the parity check asks, over the first `steps` batches; the answers go to `file`.

        Ends at the start weights. It is asked of the model that is timed, and again after that.
        """
        path, begin = self.folder / file, time.perf_counter()
        batches, accumulate = self.batches.checked(steps), self.workload.optimiser.accumulate
        np.savez(path, **answers(self.adapter, self.start, batches, accumulate))  # type: ignore[arg-type]
        seconds = time.perf_counter() - begin
        this_process.reset_peak()  # what the check takes is not the training's
        return {"answers": str(path), "seconds": seconds}

    def train(self, steps: int, emit: Callable, start: int = 0) -> Result:
        """Train to step `steps`, from the start weights or on from step `start`; losses to losses.npy.

        The second portion can be replayed: the first is short, before the speed is known.
        """
        if not start:
            self.adapter.load(self.start)
        step, seconds, losses, moments = start, 0.0, [], [(start, 0.0)]
        while step < steps:
            count = min(steps - step, self._portion("train", _PORTION_SECONDS))
            took, portion = self._train(step, count)
            step, seconds = step + count, seconds + took
            losses.append(portion)
            moments.append((step, seconds))
            self.seconds_a_step["train"] = took / count
            emit("progress", step=step, steps=steps, loss=float(portion[-1]))
        path = self.folder / "losses.npy"
        np.save(path, np.concatenate(losses))
        self.first_losses = losses[:2]
        return {"seconds": seconds, "losses": str(path), "moments": moments}

    def _train(self, start: int, count: int) -> tuple[float, NDArray]:
        batches = self.batches.take(start, count)
        begin = time.perf_counter()
        losses = self.adapter.train(batches)
        return time.perf_counter() - begin, losses

    def evaluate(self, emit: Callable) -> Result:
        """Predict the whole test set; the predicted classes go to predictions.npy, (N,).

        With a label a step all steps follow one another; then there is a mean cross-entropy, too.
        """
        inputs, batch = self.arrays["test_inputs"], self.workload.data.batch
        scores, seconds = Scores(self.arrays["test_labels"]), 0.0
        at_once = max(1, _PORTION_BYTES // self._batch_bytes())

        def taken(number: int) -> list[NDArray]:
            batches = in_order(inputs, batch, self.workload.data, number * at_once)
            return list(islice(batches, at_once))

        while portion := taken(scores.portions):
            begin = time.perf_counter()
            logits = self.adapter.predict(portion)
            seconds += time.perf_counter() - begin
            scores.add(logits)
            if not self._random.randrange(scores.portions):
                again = partial(taken, scores.portions - 1)
                self.timed["evaluate"] = TimedPredictions(again, logits)
            emit("progress", examples=scores.examples)
        path = self.folder / "predictions.npy"
        np.save(path, scores.classes())
        mean = scores.cross_entropy()
        return {"seconds": seconds, "predictions": str(path), "cross_entropy": mean}

    def warm(self, start: int, seconds: float, emit: Callable) -> Result:
        """Train for about `seconds` in short portions, from step `start`; return each one's step time."""
        times: list[float] = []
        steps, began = 0, time.perf_counter()
        while len(times) < _LEAST_PORTIONS or time.perf_counter() - began < seconds:
            count = self._portion("train", seconds / _LEAST_PORTIONS)
            took, _ = self._train(start + steps, count)
            steps += count
            times.append(took / count)
            self.seconds_a_step["train"] = times[-1]
        return {"steps": steps, "seconds_a_step": times}

    def latency(self, batch: int, seconds: float, emit: Callable) -> Result:
        """Time single predictions of `batch` examples, input in host memory to logits in host memory.

        About `seconds`, at least 20 and at most 2,000 of them, after some that are not counted. No
        two have the same inputs, so that nothing can be remembered.
        """
        fresh = partial(mixed, self.arrays["test_inputs"], batch, workload=self.workload)
        for number in range(_MOST_CALLS, _MOST_CALLS + _UNCOUNTED):
            self.adapter.predict([fresh(number)])
        times: list[float] = []
        logits: list[NDArray] = []
        began = time.perf_counter()
        while len(times) < 20 or (
            time.perf_counter() - began < seconds and len(times) < _MOST_CALLS
        ):
            inputs = [fresh(len(times))]
            begin = time.perf_counter()
            logits.append(self.adapter.predict(inputs))
            times.append(time.perf_counter() - begin)
        self.timed["latency one" if batch == 1 else "latency"] = TimedPredictions(
            lambda: [fresh(number) for number in range(len(times))], np.concatenate(logits)
        )
        p50, p90, p99 = np.percentile(times, [50, 90, 99]).tolist()
        total = {"batch": batch, "calls": len(times), "seconds": sum(times)}
        return total | {"p50": p50, "p90": p90, "p99": p99}

    def slice(self, kind: str, start: int, seconds: float, emit: Callable) -> Result:
        """Time about `seconds` (at least LEAST_STEPS) of training or of inference, from step `start`.

        The clock covers batches in host memory to updated weights (or to logits), ended by the
        framework's own synchronisation. "resident" is training on batches that are on the device
        already, only where the adapter offers it. "single" is inference of one example after the
        other, each ended before the next: its time a step is the mean latency.
        """
        work = self._work(kind)
        if kind == "single" and not self.seconds_a_step[kind]:
            work(self.batches.take(start, 1) * _UNCOUNTED)
        steps = max(LEAST_STEPS, self._portion(kind, seconds, bounded=False))
        portion = min(steps, max(1, _PORTION_BYTES // self._batch_bytes()))
        plan = self.batches.slice_plan(start, steps, portion, kind in ("predict", "single"))
        ready = self.batches.of(plan.ready)
        if kind == "resident":
            if (on_device := self.adapter.resident(ready)) is None:
                raise RuntimeError("resident batches were asked of an adapter that has none")
            ready = list(on_device)
        batches = plan.taken(ready)
        before = snapshot(self.adapter) if kind in ("train", "resident") else None
        begin, begin_cpu = time.perf_counter(), time.process_time()
        result = work(batches)
        took, cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
        self.seconds_a_step[kind] = took / steps
        again = partial(self.batches.planned, plan)
        self.timed[kind] = timed_slice(kind, again, before, self.adapter, result)
        samples = steps if kind == "single" else sum(len(batch.labels) for batch in batches)
        return {"steps": steps, "samples": samples, "seconds": took, "cpu_seconds": cpu}

    def _work(self, kind: str) -> Callable[[list], Any]:
        """Return what is timed in a slice of `kind`: a call with the slice's batches."""
        predict = self.adapter.predict
        return {
            "train": self.adapter.train,
            "resident": self.adapter.train,
            "predict": lambda chunk: predict([batch.inputs for batch in chunk]),
            "single": lambda chunk: [predict([batch.inputs[:1]]) for batch in chunk],
        }[kind]

    def replay(self, kind: str, seed: int, file: str, emit: Callable) -> Result:
        """Go through what was timed last of `kind` again, outside the clock; the arrays go to `file`.

        `seed` draws what the reference will compute of it: it is chosen once the slice was taken.
        """
        path = self.folder / file
        if kind == "training":
            *lead, losses = self.first_losses
            before = self.batches.take(0, sum(map(len, lead)))
            take = partial(self.batches.take, len(before), len(losses))
            self.timed[kind] = from_start(self.adapter, self.start, before, take, losses)
        arrays = self.timed.replay(kind, self.adapter, self.workload, seed)
        np.savez(path, **arrays)  # type: ignore[arg-type]
        return {"arrays": str(path)}

    def clock(self, start: int, emit: Callable) -> Result:
        """Train for a moment, timed by our clock and by the device's own, where it has one."""
        count, took = self._portion("train", _PORTION_SECONDS), list[float]()
        batches = self.batches.take(start, count)

        def work() -> None:
            begin = time.perf_counter()
            self.adapter.train(batches)
            took.append(time.perf_counter() - begin)

        device = self.adapter.device_seconds(work)
        return {"steps": count * len(took), "seconds": sum(took), "device_seconds": device}

    def memory(self, emit: Callable) -> Result:
        """Return, in bytes, this process's peak and the device allocator's, and what is held now.

        peak_rss: the largest resident set since the parity check, or the import where there was none.
        pss: the present one, pages shared with other processes divided among them.
        """
        peak = this_process.memory("status", "VmHWM")["VmHWM"]
        present = this_process.memory("smaps_rollup", "Pss")["Pss"]
        device_peak = self.adapter.device_peak_bytes()
        return {"peak_rss": peak, "pss": present, "device_peak": device_peak}

    def profile(self, steps: int, emit: Callable) -> Result:
        """Train `steps` steps, warm, under the framework's own profiler; end at the start weights.

        Hands back the path of its trace and its operators, the one that took longest first.
        """
        batches = self.batches.take(0, steps)
        self.adapter.train(batches)
        emit("progress", warm=steps)
        folder = self.folder / "profile"
        folder.mkdir()
        profile = self.adapter.profile(batches, folder)
        self.adapter.load(self.start)
        longest = sorted(profile.operators, key=lambda operator: -operator.self_us)
        return {"trace": str(profile.trace), "operators": list(map(asdict, longest))}

    def limits(self, seconds: float, emit: Callable) -> Result:
        """Time each of the framework's kernels for about `seconds`; return the best rate of each.

        Their arrays (600 MiB, on a GPU 3 GiB) go when it returns, but a framework's allocator may keep
        the memory: ask once memory has been measured.
        """
        rates = {}
        for name, kernel in self.adapter.kernels().items():
            rates[name] = kernel.rate(seconds)
            emit("progress", kernel=name)
        return {"rates": rates}

    def _batch_bytes(self) -> int:
        inputs = self.arrays["train_inputs"]
        return max(1, 4 * self.workload.data.batch * int(np.prod(inputs.shape[1:])))

    def _portion(self, kind: str, seconds: float, bounded: bool = True) -> int:
        """Return how many steps take about `seconds`, by the last time seen; 10 if none was."""
        step = self.seconds_a_step[kind]
        steps = max(1, round(seconds / step)) if step else 10
        return min(steps, max(1, _PORTION_BYTES // self._batch_bytes())) if bounded else steps


def _map(path: Path) -> NDArray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _serve(channel: protocol.Channel) -> None:
    """Do jobs until the channel closes. A job that raises is answered "failed"; the worker goes on."""
    cell = Cell()
    for job in _jobs(channel):
        name, number = job.pop("job"), job.pop("id")

        def emit(event: str, _id: int = number, **fields: Any) -> None:
            channel.send({"event": event, "id": _id, **fields})

        try:
            result = getattr(cell, name)(**job, emit=emit)
        except Exception as error:
            status, reason = failures.report(error, getattr(cell, "folder", None))
            emit("failed", status=status, reason=reason)
        else:
            emit("done", result=result)


def _jobs(channel: protocol.Channel) -> Iterator[dict[str, Any]]:
    with suppress(protocol.Closed):
        while True:
            yield channel.receive()


if __name__ == "__main__":
    this_process.die_with_parent()
    _serve(protocol.Channel(socket.socket(fileno=int(sys.argv[1]))))
