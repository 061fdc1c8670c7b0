"""Calls uv: with the user's own index settings, a time limit, and one human line when it fails.

The values of index settings (addresses, folders, credentials) go to uv by environment variables and
nowhere else; they are taken out of every error message, because messages end in reports.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.environments.pip_settings import user_environment
from harness.paths import expanded
from workloads.errors import UserError

LIMIT_SECONDS = 3600.0
_POLL_SECONDS = 0.1
_LONGEST_LINE = 320

# How uv begins a complaint and its cause: in words, or in older versions with a cross and a branch.
_COMPLAINT = re.compile(r"error:|\u00d7")
_LEAD = re.compile(r"^(error:|cause:|\u00d7|[\u251c\u2570]\u2500\u25b6)\s*")

_NEEDS_PYTHON = re.compile(r"(?:does not satisfy|requires|depends on) Python ?([<>=!~]=?[\d.*]+)")
"""What uv says of a release that is for other Pythons."""

# pip's variable, uv's variables that mean the same (the first is set), and what joins uv's list;
# None where the value is one thing, which may hold a space.
_SETTINGS: tuple[tuple[str, tuple[str, ...], str | None], ...] = (
    ("PIP_INDEX_URL", ("UV_DEFAULT_INDEX", "UV_INDEX_URL"), None),
    ("PIP_EXTRA_INDEX_URL", ("UV_INDEX", "UV_EXTRA_INDEX_URL"), " "),
    ("PIP_FIND_LINKS", ("UV_FIND_LINKS",), ","),
    ("PIP_CERT", ("SSL_CERT_FILE",), None),
    ("PIP_TRUSTED_HOST", ("UV_INSECURE_HOST",), " "),
)
_SECRETS = tuple(name for pip, uv, _ in _SETTINGS for name in (pip, *uv))
_TRUE = ("1", "true", "yes", "on", "y", "t")

_NETWORK = "check the network, and the index set in UV_DEFAULT_INDEX or PIP_INDEX_URL"
_ADVICE = (
    ("hash mismatch", "what the index gave is not what was locked; check the index you use"),
    (
        "matching platform tag",
        "no wheel fits this machine; give an interpreter of your own that has it"
        " (--interpreter NAME=PATH)",
    ),
    ("no space left", "free some space, or set SAMESTEP_CACHE to a folder on a larger disk"),
    ("request failed", _NETWORK),
    ("failed to fetch", _NETWORK),
    ("network was disabled", "switch UV_OFFLINE off, or build once with a network"),
    (
        "no solution found",
        "the index you use does not offer it; check UV_DEFAULT_INDEX,"
        " UV_FIND_LINKS and their PIP_ counterparts",
    ),
    (
        "no interpreter found",
        "install that Python, or give an interpreter of your own (--interpreter NAME=PATH)",
    ),
)


_LOOKUP = threading.Lock()
"""Held while uv is looked for: Python before 3.13 fills sysconfig's variables without a lock."""


class InstallError(UserError):
    """A command failed: one human line. `not_offered`: the index lacks it, so another may do."""

    def __init__(self, line: str, *, not_offered: bool = False) -> None:
        super().__init__(line)
        self.not_offered = not_offered


class Cancelled(Exception):
    """The user gave up while a command ran; the command has been ended."""


def uv_program() -> str:
    """The path of uv, which comes as a Python package. Raises InstallError."""
    try:
        from uv import find_uv_bin

        with _LOOKUP:
            return str(find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        raise InstallError(
            "uv is not installed beside samestep: python -m pip install uv"
        ) from error


def uv_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with pip's index settings said in uv's words, unless uv's own are set."""
    result = dict(environ)
    for pip, counterparts, joiner in _SETTINGS:
        value = environ.get(pip, "").strip()
        if not value or any(environ.get(name) for name in counterparts):
            continue
        if pip == "PIP_EXTRA_INDEX_URL":
            # pip takes the best of all indexes, uv the first that knows the package. What is
            # installed is held by hashes, so pip's way is safe here.
            result.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
        result[counterparts[0]] = joiner.join(value.split()) if joiner else value
    if result.get("UV_FIND_LINKS"):
        # uv is run from another folder, so a relative place would be lost.
        result["UV_FIND_LINKS"] = ",".join(
            place if "://" in place else str(Path(expanded(place)).absolute())
            for place in result["UV_FIND_LINKS"].split(",")
        )
    return result


def pip_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with uv's index settings said in pip's words, unless pip's own are set."""
    result = {**environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "NO_COLOR": "1"}
    for pip, counterparts, joiner in _SETTINGS:
        value = next(filter(None, map(environ.get, counterparts)), None)
        if value and not environ.get(pip):
            result[pip] = " ".join(value.split(joiner)) if joiner else value
    return result


def run_uv(
    arguments: Sequence[str],
    *,
    folder: Path,
    cancel: threading.Event | None = None,
    keep: tuple[int, ...] = (),
) -> str:
    """Run uv in `folder` and return what it printed. `keep`: descriptors that it inherits.

    Raises InstallError with one human line, Cancelled when `cancel` is set meanwhile.
    """
    # The one index setting for which uv has no variable.
    settings = user_environment()
    no_index = settings.get("PIP_NO_INDEX", "").strip().lower() in _TRUE
    flags = ["--no-index"] if no_index and arguments[0] == "pip" else []
    environ = uv_environment(settings)
    environ.update(NO_COLOR="1", UV_NO_PROGRESS="1")
    # Seconds for one file; on a busy machine the minute that uv allows may not be enough.
    environ.setdefault("UV_COMPILE_BYTECODE_TIMEOUT", "600")
    code, out, err = run(
        [uv_program(), *arguments, *flags], environ=environ, folder=folder, cancel=cancel, keep=keep
    )
    if code:
        not_offered = "No solution found" in err and "network was disabled" not in err
        needs = _NEEDS_PYTHON.search(" ".join(err.split()))
        python = f"; it needs Python {needs[1]}" if needs else ""
        raise InstallError(human(err, environ) + python, not_offered=not_offered)
    return out


def run(
    command: Sequence[str],
    *,
    environ: Mapping[str, str],
    folder: Path | None = None,
    seconds: float = LIMIT_SECONDS,
    cancel: threading.Event | None = None,
    keep: tuple[int, ...] = (),
) -> tuple[int, str, str]:
    """Run a command to its end: exit code, standard output, standard error.

    However this function is left (time over, Ctrl-C, `cancel`), the command and its children are
    gone. Raises InstallError when it cannot start or takes longer than `seconds`.
    """
    process = _start(command, environ, folder, keep)
    deadline = time.monotonic() + seconds
    try:
        while True:
            try:
                out, err = process.communicate(timeout=_POLL_SECONDS)
                return process.returncode, out, err
            except subprocess.TimeoutExpired:
                if cancel is not None and cancel.is_set():
                    raise Cancelled from None
                if time.monotonic() > deadline:
                    name = Path(command[0]).name
                    raise InstallError(f"{name} took longer than {seconds:.0f} s") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def _start(
    command: Sequence[str], environ: Mapping[str, str], folder: Path | None, keep: tuple[int, ...]
) -> subprocess.Popen[str]:
    """Start a command in a process group of its own, its output caught. Raises InstallError."""
    try:
        return subprocess.Popen(
            command,
            env=environ,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            pass_fds=keep,
        )
    except OSError as error:
        raise InstallError(f"{command[0]} cannot be run: {error.strerror}") from error


def human(text: str, environ: Mapping[str, str]) -> str:
    """The gist of uv's complaint, without addresses, and what to do about it, in one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    starts = [i for i, line in enumerate(lines) if _COMPLAINT.match(line)]
    complaint = lines[starts[0] :][:2] if starts else lines[-1:]
    complaint = [_LEAD.sub("", line, count=1).rstrip(":") for line in complaint]
    gist = without_addresses(": ".join(complaint), environ) or "it failed without a message"
    if len(gist) > _LONGEST_LINE:
        gist = gist[: _LONGEST_LINE - 1] + "…"
    advice = next((advice for sign, advice in _ADVICE if sign in text.lower()), None)
    return f"{gist} ({advice})" if advice else gist


def without_addresses(text: str, environ: Mapping[str, str]) -> str:
    """`text` without URLs and without the places that the user's index settings name."""
    text = re.sub(r"\b[a-z+]+://[^\s`'\")]+", "<index>", text)
    for name in _SECRETS:
        for place in re.split(r"[\s,]+", environ.get(name, "")):
            if len(place) > 2:
                text = text.replace(place, f"<{name}>")
    return text
