"""Asks a Python what it is: its version, the packages it has, the shared libraries it can load."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.environments import installer, user_variables
from harness.environments.framework_spec import FrameworkSpec
from workloads.errors import UserError

_PROBE_SECONDS = 60.0
_IMPORT_SECONDS = 300.0

# Run by the Python that is asked. Answers in JSON; loads nothing but the standard library.
_PROBE = """
import ctypes, importlib.metadata, json, sys
packages, libraries = json.loads(sys.argv[1])
versions, missing = {}, []
for name in packages:
    try:
        versions[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
for name in libraries:
    try:
        ctypes.CDLL(name)
    except OSError:
        missing.append(name)
print(json.dumps({"python": sys.version_info[:3], "versions": versions, "missing": missing}))
"""


class Unavailable(UserError):
    """This framework cannot run here. One human line: what is wrong and what to do."""


@dataclass(frozen=True)
class InterpreterInfo:
    """What a Python says of itself, seen from one spec."""

    python: tuple[int, int, int]
    versions: Mapping[str, str]
    """Of numpy and of the spec's packages, those that are installed."""
    missing: tuple[str, ...]
    """The framework spec's shared libraries that do not load."""

    def require_libraries(self, spec: FrameworkSpec) -> None:
        """Raise Unavailable for the first shared library that does not load, with its fix."""
        for library in spec.libraries:
            if library.name in self.missing:
                raise Unavailable(f"the shared library {library.name} is missing: {library.mend}")

    def version(self, spec: FrameworkSpec) -> str:
        """The version of the first of the spec's packages that is there, else Unavailable."""
        for name in spec.packages:
            if name in self.versions:
                return self.versions[name]
        raise Unavailable(f"this Python has no {' or '.join(spec.packages)}; install it there")


def probe(
    spec: FrameworkSpec, python: Path, cancel: threading.Event | None = None
) -> InterpreterInfo:
    """Ask `python`, within a minute. Raises Unavailable, InstallError, Cancelled."""
    libraries = [library.name for library in spec.libraries if library.wanted_here()]
    question = json.dumps([["numpy", *spec.packages], libraries])
    code, out, err = installer.run(
        [str(python), "-I", "-c", _PROBE, question],
        environ=user_variables.allowed(os.environ),
        seconds=_PROBE_SECONDS,
        cancel=cancel,
    )
    try:
        answer = json.loads(out.splitlines()[-1])  # a wrapper may have printed before it
        major, minor, patch = map(int, answer["python"])
        return InterpreterInfo(
            (major, minor, patch), dict(answer["versions"]), tuple(answer["missing"])
        )
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        complaint = installer.human(err, os.environ)
        raise Unavailable(
            f"{python} does not answer as a Python 3.11 or later would (exit status {code}): {complaint}"
        ) from None


def first_import(
    spec: FrameworkSpec, device: str, python: Path, cancel: threading.Event | None = None
) -> None:
    """Import the framework once, as a worker will. Raises Unavailable with the import's error."""
    with tempfile.TemporaryDirectory(prefix="samestep-") as scratch:
        variables = spec.worker_variables(device=device, threads=1, scratch=Path(scratch))
        code, _, err = installer.run(
            [str(python), "-I", "-c", f"import numpy, {spec.module}"],
            environ={**user_variables.allowed(os.environ), **variables},
            seconds=_IMPORT_SECONDS,
            cancel=cancel,
        )
    if code:
        complaint = installer.human(err, os.environ)
        raise Unavailable(f"`import {spec.module}` fails right after installation: {complaint}")
