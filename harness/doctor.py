"""What is here, what is missing, and how to fix it. Only looks: it changes nothing."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.environments import framework_spec, git, gpu_support
from harness.environments.cache import read_metadata
from harness.environments.framework_spec import FrameworkSpec, Program
from harness.environments.installer import InstallError, uv_program
from harness.environments.interpreters import OLDEST_PYTHON
from harness.machine import devices, host
from harness.machine.energy import Meter
from harness.machine.interference import InterferenceMonitor, Noise
from harness.paths import CACHE_VARIABLE, cache_folder, project_root
from harness.text import count, gibibytes, listed, plain
from workloads import datasets, places
from workloads import spec as workload_files
from workloads.errors import UserError
from workloads.reading import SpecError

Level = Literal["ok", "warning", "error"]

DISK_LEAST, DISK_WANTED = 2**29, 4 * 2**30
"""Bytes free under the cache: too few to build anything; enough for all environments and data."""

SWAPPED_MUCH = 2**28
"""Bytes: less is what a system puts away that has not been used for long."""

LOOK_SECONDS = 0.5
"""How long it looks for what disturbs measuring."""

NOISE = {
    Noise.LOAD: "wait, or end other programs; `top` names them",
    Noise.BESIDE: "wait, or end other programs; `top` names them",
    Noise.STOLEN: "nothing here fixes it: rent dedicated processors, or measure at another hour",
    Noise.HALTED: "raise the quota, or give whole cores instead (a cpuset)",
    Noise.SWAPPING: "end other programs, or run fewer frameworks at once with --framework",
    Noise.PRESSURE: "end other programs, or run fewer frameworks at once with --framework",
    Noise.HEAT: "cool it better, or measure fewer threads",
    Noise.CLOCK: "plug it in, and choose the performance governor",
    Noise.GPU: "wait until it has ended; `nvidia-smi` names it",
    Noise.CARD: "cool the card better, or give it more power",
}
"""What to do about each disturbance that the monitor reports."""

MEMORY_WANTED = 4 * 2**30
"""Bytes: the workers of a workload are in memory all at once, about half a GiB each."""


@dataclass(frozen=True)
class Finding:
    """One thing examined. `mend` says what to do; it is empty where there is nothing to do.

    error: no run can work; warning: some cells cannot run, or what is measured may be off.
    """

    level: Level
    what: str
    mend: str = ""


def examine(root: Path | None = None, cache: Path | None = None) -> list[Finding]:
    """Examine this machine for the project in `root` with its cache. Never raises."""
    findings, framework_specs = _framework_specs(root or project_root())
    try:
        cache = cache or cache_folder()
    except UserError as error:
        return [*findings, Finding("error", str(error), error.hint)]
    description = host.describe()
    checks: list[Callable[[], Iterator[Finding]]] = [
        _python,
        lambda: _checkout(root or project_root()),
        _uv,
        lambda: _programs(framework_specs),
        lambda: _libraries(framework_specs),
        lambda: _environments(framework_specs, cache),
        lambda: _datasets(cache),
        lambda: _disk(cache),
        lambda: _memory(description),
        lambda: _cores(description),
        lambda: _clock(description),
        lambda: _swap(description),
        lambda: _gpus(description),
        lambda: _builds(framework_specs, description),
        _noise,
        _energy,
    ]
    return findings + [finding for check in checks for finding in _safely(check)]


def _safely(check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """Whatever one check stumbles over, the others are reported."""
    try:
        return list(check())
    except Exception as error:
        problem = f"one check failed: {type(error).__name__}: {plain(error)}"
        return [Finding("warning", problem, "the other findings hold; please report this one")]


def _framework_specs(root: Path) -> tuple[list[Finding], list[FrameworkSpec]]:
    try:
        return [], list(framework_spec.discover(root).values())
    except (framework_spec.FrameworkSpecError, OSError) as error:
        return [Finding("error", f"a framework's spec is wrong: {error}", "correct it")], []


def _python() -> Iterator[Finding]:
    version = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        yield Finding("error", f"Python {version} is too old", f"run it with Python {wanted}")
    else:
        yield Finding("ok", f"Python {version}")


def _checkout(root: Path) -> Iterator[Finding]:
    """An installed copy needs no git; a checkout that git does not read has no commit to record."""
    if not places.is_checkout(root):
        return
    try:
        git.git(root, "rev-parse", "HEAD")
    except git.GitError as error:
        yield Finding("warning", f"runs are recorded without a commit: {error}", error.hint)


def _uv() -> Iterator[Finding]:
    try:
        uv_program()
    except InstallError as error:
        what, _, mend = str(error).partition(": ")
        yield Finding("error", what, mend)
    else:
        yield Finding("ok", "uv, which builds the environments")


def _programs(framework_specs: list[FrameworkSpec]) -> Iterator[Finding]:
    """Programs that some modes call, such as a compiler."""
    for spec in framework_specs:
        for program in spec.programs:
            yield from _program(spec, program)


def _program(spec: FrameworkSpec, program: Program) -> Iterator[Finding]:
    if program.platform not in (None, sys.platform):
        return
    lacking = [mode for mode in program.modes if program.missing(mode)]
    modes = f"{spec.title}, {listed(lacking or program.modes)}"
    if lacking:
        name = os.environ.get(program.variable or "") or program.name
        yield Finding("warning", f"the program {name} is missing ({modes})", program.mend)
    else:
        yield Finding("ok", f"the program {program.name} ({modes})")


def _libraries(framework_specs: list[FrameworkSpec]) -> Iterator[Finding]:
    """Shared libraries that a framework needs and does not bring."""
    for spec in framework_specs:
        for library in spec.libraries:
            if not library.wanted_here():
                continue
            try:
                ctypes.CDLL(library.name)
            except OSError:
                what = f"the shared library {library.name} is missing ({spec.title})"
                yield Finding("warning", what, library.mend)
            else:
                yield Finding("ok", f"the shared library {library.name} ({spec.title})")


def _environments(framework_specs: list[FrameworkSpec], cache: Path) -> Iterator[Finding]:
    """Which frameworks' environments stand in the cache, built from the locks as they are now."""
    installed = [read_metadata(folder) or {} for folder in (cache / "environments").glob("[!.]*")]
    hashes = {metadata.get("lock_hash") for metadata in installed}
    built, missing = [], []
    for spec in framework_specs:
        locks = [lock for lock in spec.lock_paths("cpu") if lock.is_file()]
        if not locks:
            what, mend = f"{spec.title} has no lock", f"{places.program()} env lock {spec.name}"
            yield Finding("warning", what, mend)
        elif any(hashlib.sha256(lock.read_bytes()).hexdigest() in hashes for lock in locks):
            built.append(spec.name)
        else:
            missing.append(spec.name)
    if built:
        yield Finding("ok", f"environments built: {', '.join(built)}")
    if missing:
        mend = f"the first run builds them, or: {places.program()} env build {' '.join(missing)}"
        yield Finding("warning", f"environments not built yet: {', '.join(missing)}", mend)


def _datasets(cache: Path) -> Iterator[Finding]:
    """Data sets that are here, and absent ones that the catalogue needs; `data list` has them all."""
    try:
        catalogue = [workload_files.load(name) for name in workload_files.names()]
    except SpecError as error:
        yield Finding("error", f"the catalogue of workloads: {error}", "correct that file")
        catalogue = []
    needed = {workload.data.dataset for workload in catalogue}
    for name in datasets.names():
        state = datasets.state(name, cache / "datasets")
        if name not in needed and not state.ready:
            continue
        if state.ready:
            yield Finding("ok", f"data {name}: {state.note}")
        else:
            what, _, mend = state.note.partition(": ")
            mend = mend or f"{places.program()} data fetch {name}"
            yield Finding("warning", f"data {name}: {what}", mend)


def _disk(cache: Path) -> Iterator[Finding]:
    place = next(folder for folder in (cache, *cache.parents) if os.path.lexists(folder))
    elsewhere = f"or set {CACHE_VARIABLE} to a folder elsewhere"
    if not place.is_dir() or not os.access(place, os.W_OK):
        yield Finding("error", f"the cache {cache} cannot be written", f"fix {place}, {elsewhere}")
        return
    free = shutil.disk_usage(place).free
    what = f"{gibibytes(free)} of disk free for the cache {cache}"
    if free >= DISK_WANTED:
        yield Finding("ok", what)
    else:
        level: Level = "error" if free < DISK_LEAST else "warning"
        wanted = f"all environments and data want {gibibytes(DISK_WANTED)}"
        yield Finding(level, what, f"{wanted}: make room, {elsewhere}")


def _memory(description: Mapping[str, Any]) -> Iterator[Finding]:
    sizes = [description.get("memory_available"), description.get("memory_limit")]
    readable = [size for size in sizes if size is not None]
    if not readable:
        yield Finding("warning", "how much memory is free cannot be read", "watch it yourself")
        return
    what = f"{gibibytes(min(readable))} of memory to use"
    if description.get("memory_limit") is not None:
        what += f" (the cgroup's limit is {gibibytes(description['memory_limit'])})"
    if min(readable) < MEMORY_WANTED:
        mend = "end other programs, raise the limit, or run fewer at once with --framework"
        yield Finding("warning", what, mend)
    else:
        yield Finding("ok", what)


def _cores(description: Mapping[str, Any]) -> Iterator[Finding]:
    """Cores, what limits them, how busy they are, and whether their clock is steady."""
    usable, logical = description.get("cores_usable"), description.get("cores_logical")
    if usable is None or logical is None:
        yield Finding("warning", "how many cores there are cannot be read", "give --threads")
        return
    yield Finding("ok", f"{usable:g} of {count(logical, 'logical core')} to use")
    quota, affinity = description.get("cores_quota"), description.get("cores_affinity") or logical
    if quota and quota < affinity:
        what = f"a cgroup's quota grants {quota:g} cores' time: workers are halted when it is spent"
        whole_cores = max(1, int(quota))
        mend = f"give whole cores instead (a cpuset), or at least run with --threads {whole_cores}"
        yield Finding("warning", what, mend)
    load = description.get("load")
    if load and load[0] > host.BUSY * usable:
        what = f"the machine is busy: load {load[0]:.1f} on {usable:g} cores"
        yield Finding("warning", what, "wait, or end other programs, before you measure")


def _clock(description: Mapping[str, Any]) -> Iterator[Finding]:
    """What moves the processors' clock."""
    governor = description.get("governor")
    if governor and governor != "performance":
        what = f"the frequency governor is {governor}: the clock may change while you measure"
        yield Finding("warning", what, "sudo cpupower frequency-set -g performance")
    throttled = description.get("throttled")
    if throttled:
        what = f"heat has throttled a processor {count(throttled, 'time')} since the start"
        yield Finding("warning", what, "cool it better, or measure fewer threads; runs report when")


def _swap(description: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether memory runs short, and how its pages come."""
    used, pressure = description.get("swap_used"), description.get("memory_pressure")
    if used and used > SWAPPED_MUCH:
        mend = "end what was swapped out, or: sudo swapoff -a && sudo swapon -a"
        yield Finding("warning", f"{gibibytes(used)} swapped out", mend)
    if pressure and pressure >= 1:
        what = f"tasks waited for memory during {pressure:.0f}% of the last 10 s"
        yield Finding("warning", what, "end other programs, or wait until they have ended")
    if description.get("huge_pages"):
        what = f"transparent huge pages: {description['huge_pages']}"
        yield Finding("ok", f"{what} (compare memory and speed only under the same setting)")


def _noise() -> Iterator[Finding]:
    """What disturbs measuring at this moment, while nothing of ours runs."""
    watch = InterferenceMonitor(sorted(host.affinity())).watch(os.getpid())
    time.sleep(LOOK_SECONDS)
    noise = watch.noise()
    for words in noise:
        (mend,) = [mend for cause, mend in NOISE.items() if words.startswith(cause)]
        yield Finding("warning", f"looked for {LOOK_SECONDS:g} s and saw {words}", mend)
    if not noise:
        yield Finding(
            "ok", f"looked for {LOOK_SECONDS:g} s and saw nothing that disturbs measuring"
        )


def _energy() -> Iterator[Finding]:
    meter = Meter()
    if meter.sources:
        yield Finding("ok", f"energy is metered: {', '.join(meter.sources)}")
    what, _, mend = (meter.reason or "").partition(": ")
    if mend.startswith("sudo"):
        yield Finding("warning", f"energy is not metered: {what}", mend)
    elif meter.reason and not meter.sources:
        yield Finding("ok", f"energy is not metered: {mend}")


def _gpus(description: Mapping[str, Any]) -> Iterator[Finding]:
    for gpu in description.get("gpus") or ():
        memory = gpu.get("memory_total")
        words = [
            str(gpu.get("name") or "a GPU"),
            gibibytes(memory) if memory else "",
            f"compute capability {gpu['capability']}" if gpu.get("capability") else "",
            f"driver {gpu['driver']}" if gpu.get("driver") else "",
        ]
        what = ", ".join(filter(None, words))
        busy, other_programs = gpu.get("busy_percent") or 0, gpu.get("processes") or 0
        if busy > 100 * host.BUSY:
            yield Finding("warning", f"{what}: busy", "wait until its other programs have ended")
        elif other_programs:
            what += f": held by {count(other_programs, 'other program')}"
            yield Finding("warning", what, NOISE[Noise.GPU])
        else:
            yield Finding("ok", what)
    if not description.get("gpus"):
        reason = description.get("no_gpu_because")
        yield Finding("ok", f"no GPU ({reason}): everything runs on the CPU")


def _builds(
    framework_specs: list[FrameworkSpec], description: Mapping[str, Any]
) -> Iterator[Finding]:
    """Which framework has a CUDA build for the cards' driver, and which cannot use a card, and why.

    There is one driver, so the first card stands for all, but for those of other capabilities.
    """
    different = {card.get("capability"): card for card in reversed(description.get("gpus") or ())}
    ranked = [spec for spec in framework_specs if not spec.reference]
    for card in different.values():
        able = [(r, gpu_support.lock_that_fits(r, card)) for r in ranked]
        fits = [f"{r.title} ({lock})" for r, lock in able if lock]
        if fits:
            driver = f"driver {card['driver']}" if card.get("driver") else "the driver"
            yield Finding("ok", f"CUDA builds that fit {driver}: {listed(fits)}")
        for spec, lock in able:
            if not lock:
                yield _unusable(spec, card)


def _unusable(spec: FrameworkSpec, card: devices.Card) -> Finding:
    what = f"{spec.title}: {gpu_support.refusal(spec, card, has_interpreter=False)}"
    if devices.CUDA in spec.devices:
        return Finding("warning", what, "update the NVIDIA driver")
    mend = f"give a build for it with --interpreter {spec.name}=PYTHON, or leave it on the CPU"
    return Finding("warning" if devices.CUDA in spec.given else "ok", what, mend)
