"""Makes each framework's own environment: built from its lock with uv, or an interpreter given.

A built one lies under `<cache>/environments/<framework>-<device>-<hash>`, where the hash is over
the lock's bytes, the Python version and the platform, and is reused as long as it stands there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sysconfig
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from harness.environments import cache, interpreters, lockfiles, releases
from harness.environments import probe as pythons
from harness.environments.framework_spec import FrameworkSpec
from harness.environments.installer import Cancelled, InstallError, run_uv
from harness.environments.interpreters import OLDEST_PYTHON
from harness.environments.probe import Unavailable
from harness.paths import expanded
from harness.text import listed
from workloads.places import program

__all__ = [
    "Built",
    "Cancelled",
    "Environment",
    "Report",
    "Unavailable",
    "built",
    "prepare",
    "prepare_all",
    "remove",
    "stands",
    "using",
]

Report = Callable[[str, str], None]
"""Called with (a framework's label, what happens) while environments are made, from several threads."""


@dataclass(frozen=True)
class Environment:
    """A Python that can run one framework's workers."""

    framework: str
    device: str
    python: Path
    version: str
    """Of the framework's own distribution."""
    lock: str | None
    """The lock file's name, such as `cpu.txt`; None for an interpreter given."""
    lock_hash: str | None
    """SHA-256 of the lock file, in hex; None for an interpreter given."""
    origin: str
    """`built` or `given`."""
    seconds: float
    """How long `prepare` took."""
    size: int = 0
    """Bytes on disk when it was built; 0 for an interpreter given."""


@dataclass(frozen=True)
class Built:
    """One environment in the cache, as `built` reports it."""

    name: str
    framework: str
    device: str
    version: str
    bytes: int
    when: datetime
    python: Path


@dataclass(frozen=True)
class _Site:
    """What decides where one environment stands."""

    spec: FrameworkSpec
    device: str
    lock: Path

    @property
    def locked(self) -> bool:
        """Whether its lock is there; one that is made on the fly may not be yet."""
        if self.spec.lock_folder is not None:
            return lockfiles.made(self.spec, self.lock)
        return self.lock.is_file()

    @property
    def lock_hash(self) -> str:
        return hashlib.sha256(self.lock.read_bytes()).hexdigest()

    @property
    def folder(self) -> Path:
        interpreter = f"{self.spec.python} {sysconfig.get_platform()}".encode()
        digest = hashlib.sha256(self.lock.read_bytes() + interpreter).hexdigest()[:12]
        return cache.environments_folder() / f"{self.spec.name}-{self.device}-{digest}"


def prepare(
    spec: FrameworkSpec,
    device: str,
    *,
    interpreter: Path | None = None,
    report: Report | None = None,
    cancel: threading.Event | None = None,
) -> Environment:
    """The environment of one framework on one device: reused, built, or around `interpreter`.

    Raises Unavailable with one human line, Cancelled when `cancel` is set meanwhile.
    """
    began = time.monotonic()
    if device not in spec.devices and not (interpreter and device in spec.given):
        # By agreement the first of a spec's limits says why a device is missing.
        why = f": {spec.limits[0]}" if spec.limits else ""
        raise Unavailable(f"runs on {' and '.join(spec.devices)}, not on {device}{why}")
    try:
        if interpreter is not None:
            environment = _given(spec, device, interpreter, cancel)
        else:
            environment = _made(spec, device, report or (lambda name, text: None), cancel)
    except InstallError as error:
        raise Unavailable(str(error)) from error
    return replace(environment, seconds=time.monotonic() - began)


def prepare_all(
    framework_specs: Iterable[FrameworkSpec],
    device: str,
    *,
    interpreters: Mapping[str, Path] | None = None,
    report: Report | None = None,
) -> dict[str, Environment | Unavailable]:
    """`prepare` for many frameworks at once, by label. On Ctrl-C every build ends and is removed."""
    wanted = list(framework_specs)
    python_of = interpreters or {}
    cancel = threading.Event()

    def prepare_one(spec: FrameworkSpec) -> Environment | Unavailable:
        try:
            return prepare(
                spec,
                device,
                interpreter=python_of.get(spec.label),
                report=report,
                cancel=cancel,
            )
        except Unavailable as reason:
            return reason

    with ThreadPoolExecutor(max_workers=max(1, len(wanted))) as pool:
        try:
            jobs = {spec.label: pool.submit(prepare_one, spec) for spec in wanted}
            return {label: job.result() for label, job in jobs.items()}
        except BaseException:
            cancel.set()
            raise


def using(environments: Iterable[Environment]) -> AbstractContextManager[None]:
    """Keep environments from being removed in the block; an interpreter given is nobody's to remove."""
    folders = {
        environment.python.parent.parent
        for environment in environments
        if environment.origin == "built"
    }
    return cache.using(sorted(folders))


def stands(spec: FrameworkSpec, device: str) -> bool:
    """Whether `prepare` would find the environment of one framework and build nothing."""
    versions = [spec.python]
    if spec.lock_folder is not None:
        versions = [python.version for python in interpreters.by_preference(spec.python)]
    return any(
        site.locked and cache.read_metadata(site.folder) and cache.python_of(site.folder).exists()
        for version in versions
        for site in _sites(replace(spec, python=version), device)
    )


def built() -> list[Built]:
    """The environments in the cache, by name."""
    environments = []
    for folder in cache.installed():
        metadata = cache.read_metadata(folder) or {}
        environments.append(
            Built(
                name=folder.name,
                framework=metadata.get("framework", ""),
                device=metadata.get("device", ""),
                version=metadata.get("version", ""),
                bytes=metadata.get("size") or cache.size(folder),
                when=cache.when(folder),
                python=cache.python_of(folder),
            )
        )
    return environments


def remove(framework: str | None = None) -> list[str]:
    """Remove one framework's environments from the cache, or all; returns their names.

    Raises InUse at the first that a run uses, or that is being built.
    """
    removed = []
    for folder in cache.installed():
        metadata = cache.read_metadata(folder) or {}
        if framework in (None, metadata.get("framework")):
            with cache.removing(folder):
                cache.take_down(folder)
            removed.append(folder.name)
    cache.sweep()
    return removed


def _made(
    spec: FrameworkSpec, device: str, report: Report, cancel: threading.Event | None
) -> Environment:
    """One that stands, else the first that can be built, in the order of the spec's locks."""
    for site in _sites(spec, device):
        if spec.lock_folder is None and not site.locked:
            raise Unavailable(
                f"{spec.name}/{site.lock.name} is missing: write it with"
                f" {program()} env lock {spec.name}"
            )
    try:
        if spec.lock_folder is None:
            return _first(_sites(spec, device), report, cancel)
        return _on_some_python(spec, device, report, cancel)
    except OSError as error:
        raise Unavailable(
            f"the folder {cache.environments_folder().parent} cannot be used:"
            f" {error.strerror or error}; fix that, or"
            " set SAMESTEP_CACHE to another folder"
        ) from error


def _sites(spec: FrameworkSpec, device: str) -> list[_Site]:
    return [_Site(spec, device, path) for path in spec.lock_paths(device)]


def _on_some_python(
    spec: FrameworkSpec, device: str, report: Report, cancel: threading.Event | None
) -> Environment:
    """Another release: on the spec's Python, else on the next one to be had that it is made for.

    Raises InstallError, Unavailable with the first Python's reason, Cancelled.
    """
    pythons = interpreters.by_preference(spec.python)
    tries = [(python, _sites(replace(spec, python=python.version), device)) for python in pythons]
    tries.sort(
        key=lambda entry: not any(site.locked for site in entry[1])
    )  # locked before: it fits
    refusals: list[InstallError] = []
    for python, sites in tries:
        try:
            return _first(sites, report, cancel)
        except InstallError as error:
            if not error.not_offered and python.path:
                raise
            report(spec.label, f"not offered for Python {python.version}")
            refusals.append(error)
    versions = listed(python.version for python in pythons)
    raise Unavailable(
        f"{refusals[0]}; tried on Python {versions}, no other is to be had here;"
        f" {releases.offered(spec)}"
    ) from refusals[0]


def _first(sites: list[_Site], report: Report, cancel: threading.Event | None) -> Environment:
    for site in sites:
        environment = _reuse(site, cancel) if site.locked else None
        if environment is not None:
            return environment
    for site in sites[:-1]:
        try:
            return _build(site, report, cancel)
        except InstallError as error:
            if not error.not_offered:
                raise
            report(site.spec.label, f"no {site.lock.name} here, trying the next one: {error}")
    return _build(sites[-1], report, cancel)


def _reuse(site: _Site, cancel: threading.Event | None) -> Environment | None:
    """The environment that stands in its place, or None where there is none or a broken one."""
    metadata, python = cache.read_metadata(site.folder), cache.python_of(site.folder)
    if metadata is None or not python.exists():
        return None
    try:
        environment = Environment(**{**metadata, "python": python})
    except TypeError:  # noted by another version of samestep
        return None
    _check_libraries(site.spec, python, cancel)
    return environment


def _build(site: _Site, report: Report, cancel: threading.Event | None) -> Environment:
    """Build, try, put up. Raises InstallError, Unavailable, Cancelled."""
    spec, began = site.spec, time.monotonic()
    if not site.locked:
        report(spec.label, f"locking {site.lock.name}")
        lockfiles.make(spec, site.lock, cancel)
    folder = site.folder
    cache.sweep()

    def waiting() -> None:
        report(spec.label, "waiting for another build of the same, or for a run that uses it")

    with cache.rebuilding(folder, waiting, cancel) as held:
        environment = _reuse(site, cancel)
        if environment is not None:
            return environment
        with cache.fresh(folder) as partial:
            python = cache.python_of(partial)
            report(spec.label, f"building from {site.lock.name}")
            _install(site, partial, cancel, held)
            report(spec.label, "first import")
            pythons.first_import(spec, site.device, python, cancel)
            environment = Environment(
                framework=spec.name,
                device=site.device,
                python=cache.python_of(folder),
                version=pythons.probe(spec, python, cancel).version(spec),
                lock=site.lock.name,
                lock_hash=site.lock_hash,
                origin="built",
                seconds=time.monotonic() - began,
                size=cache.size(partial),
            )
            cache.write_metadata(partial, asdict(environment) | {"python": spec.python})
    return environment


def _install(site: _Site, partial: Path, cancel: threading.Event | None, held: int) -> None:
    """Make the virtual environment and install exactly what the lock says."""
    base = interpreters.interpreter(site.spec.python).request
    python = cache.python_of(partial)

    def uv(*arguments: str) -> None:
        run_uv(arguments, folder=partial.parent, cancel=cancel, keep=(held,))

    uv("venv", "--quiet", "--no-project", "--relocatable", "--python", base, str(partial))
    _check_libraries(site.spec, python, cancel)
    # Compiled at once, so that the first launch reads the same files as every later one. Wheels
    # only: a build from source would take an hour, and give something else on each machine.
    uv(
        *("pip", "install", "--quiet", "--python", str(python), "--require-hashes", "--no-deps"),
        *("--only-binary", ":all:", "--compile-bytecode", "--requirements", str(site.lock)),
    )


def _check_libraries(spec: FrameworkSpec, python: Path, cancel: threading.Event | None) -> None:
    if any(library.wanted_here() for library in spec.libraries):
        pythons.probe(spec, python, cancel).require_libraries(spec)


def _given(
    spec: FrameworkSpec, device: str, interpreter: Path, cancel: threading.Event | None
) -> Environment:
    """An interpreter of the user's own, when it can run this framework's workers."""
    program = shutil.which(expanded(str(interpreter)))
    if program is None:
        raise Unavailable(f"--interpreter {spec.label}={interpreter}: no such program")
    # Not resolved: a virtual environment's Python is a link, and is known by where the link lies.
    python = Path(os.path.abspath(program))  # noqa: PTH100 - Path.resolve would follow it
    info = pythons.probe(spec, python, cancel)
    if info.python < OLDEST_PYTHON:
        version, oldest = (".".join(map(str, v)) for v in (info.python, OLDEST_PYTHON))
        raise Unavailable(f"{python} is Python {version}; give one of version {oldest} or later")
    info.require_libraries(spec)
    if "numpy" not in info.versions:
        raise Unavailable(f"{python} has no numpy; install it there")
    if spec.release not in (None, info.version(spec).partition("+")[0]):
        raise Unavailable(f"{python} has {info.version(spec)}; give one with {spec.release}")
    return Environment(
        framework=spec.name,
        device=device,
        python=python,
        version=info.version(spec),
        lock=None,
        lock_hash=None,
        origin="given",
        seconds=0.0,
    )
