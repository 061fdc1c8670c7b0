"""Which releases of a framework the user's index offers, as pip lists them by pip's own settings."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from harness.environments.framework_spec import FrameworkSpec
from harness.environments.installer import InstallError, human, pip_environment
from harness.environments.interpreters import by_preference
from harness.environments.pip_settings import user_environment

_SECONDS = 120
_FEW = 5
_LISTED = re.compile(r"^Available versions: (.*)$", re.MULTILINE)


def versions(spec: FrameworkSpec) -> list[Version]:
    """Return the releases that have a wheel for some Python that is to be had, oldest first.

    No pre-release is among them, and of a release's builds only one.

    Raises:
        InstallError: pip is not there, or no index answers.
    """
    pythons = [interpreter.version for interpreter in by_preference(spec.python)]
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda python: _listed(spec, python), pythons))
    releases = {
        release for answer in answers if not isinstance(answer, InstallError) for release in answer
    }
    if not releases and isinstance(answers[0], InstallError):
        raise answers[0]
    return sorted(releases)


def _listed(spec: FrameworkSpec, python: str) -> set[Version] | InstallError:
    """The releases for one Python, or why there are none."""
    command = [
        *(sys.executable, "-m", "pip", "index", "versions", _package(spec)),
        *("--only-binary", ":all:", "--python-version", python),
    ]
    environ = pip_environment(user_environment())
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            env=environ,
        )
    except subprocess.TimeoutExpired:
        return InstallError(f"pip did not list releases within {_SECONDS} s")
    if "No module named pip" in done.stderr:
        return InstallError(f"releases are listed by pip: {sys.executable} -m ensurepip")
    line = _LISTED.search(done.stdout)
    if done.returncode or not line:
        return InstallError(human(done.stderr, environ))
    releases = {_version(word) for word in line[1].split(", ")}
    return {release for release in releases if release and not release.is_prerelease}


def offered(spec: FrameworkSpec) -> str:
    """Say which releases there are instead of the one that the spec asks for: near it, and newest."""
    try:
        releases = versions(spec)
    except InstallError as error:
        return f"which releases there are could not be asked: {error}"
    wanted = _version(spec.release or "")
    if not releases or wanted is None:
        return "it has none for this machine"
    below = [release for release in releases if release < wanted][-2:]
    above = [release for release in releases if release > wanted][:2]
    near = f"nearest are {', '.join(map(str, below + above))}"
    return f"{near}; newest are {', '.join(map(str, releases[: -_FEW - 1 : -1]))}"


def _package(spec: FrameworkSpec) -> str:
    """Return the distribution whose releases are the framework's: the one required on this machine."""
    names = [
        wanted.name
        for lines in spec.requirements.values()
        for wanted in map(Requirement, lines)
        if wanted.name in spec.packages and (not wanted.marker or wanted.marker.evaluate())
    ]
    return (names or list(spec.packages))[0]


def _version(word: str) -> Version | None:
    try:
        return Version(Version(word).public)
    except InvalidVersion:
        return None
