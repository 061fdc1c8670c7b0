"""Which releases of a framework the user's index offers, as pip lists them by pip's own settings."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from harness.environments.framework_spec import Recipe
from harness.environments.installer import InstallError, human, pip_environment

_SECONDS = 120
_FEW = 5
_LISTED = re.compile(r"^Available versions: (.*)$", re.MULTILINE)


def versions(recipe: Recipe) -> list[Version]:
    """Return the releases that have a wheel for the recipe's Python here, oldest first.

    No pre-release is among them, and of a release's builds only one.

    Raises:
        InstallError: pip is not there, or no index answers.
    """
    command = [
        *(sys.executable, "-m", "pip", "index", "versions", _package(recipe)),
        *("--only-binary", ":all:", "--python-version", recipe.python),
    ]
    environ = pip_environment(os.environ)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, env=environ
        )
    except subprocess.TimeoutExpired:
        raise InstallError(f"pip did not list releases within {_SECONDS} s") from None
    if "No module named pip" in done.stderr:
        raise InstallError(f"releases are listed by pip: {sys.executable} -m ensurepip")
    listed = _LISTED.search(done.stdout)
    if done.returncode or not listed:
        raise InstallError(human(done.stderr, environ))
    releases = {_version(word) for word in listed[1].split(", ")}
    return sorted(release for release in releases if release and not release.is_prerelease)


def offered(recipe: Recipe) -> str:
    """Say which releases there are instead of the one that the recipe asks for: near it, and newest."""
    try:
        releases = versions(recipe)
    except InstallError as error:
        return f"which releases there are could not be asked: {error}"
    wanted = _version(recipe.release or "")
    if not releases or wanted is None:
        return "it has none for this machine"
    below = [release for release in releases if release < wanted][-2:]
    above = [release for release in releases if release > wanted][:2]
    near = f"nearest are {', '.join(map(str, below + above))}"
    return f"{near}; newest are {', '.join(map(str, releases[: -_FEW - 1 : -1]))}"


def _package(recipe: Recipe) -> str:
    """Return the distribution whose releases are the framework's: the one required on this machine."""
    names = [
        wanted.name
        for lines in recipe.requirements.values()
        for wanted in map(Requirement, lines)
        if wanted.name in recipe.packages and (not wanted.marker or wanted.marker.evaluate())
    ]
    return (names or list(recipe.packages))[0]


def _version(word: str) -> Version | None:
    try:
        return Version(Version(word).public)
    except InvalidVersion:
        return None
