"""Writes lock files: exact versions, hashes, no addresses.

Those of an `environment.toml` lie beside it. Those of another release of a framework are made when they
are first needed, and kept in the cache.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from pathlib import Path

from harness.environments.framework_spec import FILE_NAME, FrameworkSpec
from harness.environments.installer import run_uv

_HEADER = """\
# Locked for Python {python} on every platform. Do not edit: change `requirements` in
# {file} and run `python cli.py env lock {name}`.
"""


def lock(spec: FrameworkSpec, *, upgrade: bool = False) -> list[Path]:
    """Write every lock file of a framework spec anew; returns those that changed.

    Versions already locked are kept while they still fit, unless `upgrade` is set. Only metadata is
    read, whatever the size of the packages. Raises InstallError.
    """
    changed = []
    header = _HEADER.format(python=spec.python, file=FILE_NAME, name=spec.name)
    for name in spec.requirements:
        path = spec.folder / f"{name}.txt"
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        after = header + _compile(spec, name, "" if upgrade else before)
        if after != before:
            _replace(path, after)
            changed.append(path)
    return changed


def made(spec: FrameworkSpec, path: Path) -> bool:
    """Whether a lock that is made on the fly is there, for what the spec requires now."""
    try:
        return path.read_text(encoding="utf-8").startswith(_release_header(spec, path.stem))
    except OSError:
        return False


def make(spec: FrameworkSpec, path: Path, cancel: threading.Event | None = None) -> None:
    """Write a lock that is made on the fly. Raises InstallError, Cancelled."""
    text = _release_header(spec, path.stem) + _compile(spec, path.stem, "", cancel)
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, text)


def _release_header(spec: FrameworkSpec, name: str) -> str:
    wanted = ", ".join(spec.requirements[name])
    return f"# Locked for {spec.label} on Python {spec.python}, of: {wanted}\n"


def _compile(
    spec: FrameworkSpec, name: str, before: str, cancel: threading.Event | None = None
) -> str:
    """The pins of one lock file; those in `before` are kept where they fit."""
    with tempfile.TemporaryDirectory(prefix="samestep-lock-") as folder:
        wanted, locked = Path(folder, "requirements.in"), Path(folder, "locked.txt")
        lines = [_only_on(spec.python, line) for line in spec.requirements[name]]
        wanted.write_text("\n".join(lines) + "\n", encoding="utf-8")
        # What stands there is what uv keeps to, where it reads `==`.
        locked.write_text(before.replace("===", "=="), encoding="utf-8")
        run_uv(
            [
                *("pip", "compile", wanted.name, "--output-file", locked.name),
                *("--universal", "--generate-hashes", "--python-version", spec.python),
                *("--no-header", "--no-emit-index-url", "--no-emit-find-links"),
                "--no-emit-index-annotation",
            ],
            folder=Path(folder),
            cancel=cancel,
        )
        text = locked.read_text(encoding="utf-8")
    text = text.replace(f"-r {wanted.name}", FILE_NAME)
    # Whatever a user's own uv settings ask for: no line of options and no address is kept.
    text = re.sub(r"^(?:[-#]|.*://).*\n+", "", text, flags=re.MULTILINE)
    # `==1.0` also means 1.0+local, which wins where an index offers it; `===1.0` means 1.0.
    return re.sub(r"^([\w.-]+)==(?!=)", r"\1===", text, flags=re.MULTILINE)


def _only_on(python: str, requirement: str) -> str:
    """The requirement on one version of Python; else uv would lock for every later one too."""
    what, _, marker = requirement.partition(";")
    version = f"python_version == '{python}'"
    return f"{what.strip()} ; ({marker.strip()}) and {version}" if marker else f"{what} ; {version}"


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
