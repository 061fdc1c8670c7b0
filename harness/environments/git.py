"""Asks git about the checkout; where it refuses, says its own reason and what fixes it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from workloads.errors import UserError
from workloads.places import is_checkout

_SECONDS = 60
_OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
"""What git sets for its hooks: it would point at their repository, whichever it is."""


class GitError(UserError):
    """Git cannot be run or refuses: its reason, and as the hint what to do."""


def git(root: Path, *arguments: str) -> bytes:
    """Return what git prints of the checkout in `root`. Raises GitError."""
    if not is_checkout(root):
        raise GitError(
            f"{root} is an installed copy, and git has no checkout there",
            "clone the project, and run `python cli.py` there",
        )
    program = shutil.which("git")
    if program is None:
        raise GitError("git is not on the path", "install git")
    environ = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}
    try:
        done = subprocess.run(
            [program, "-C", str(root), *arguments],
            capture_output=True,
            env={**environ, "LC_ALL": "C"},
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitError(f"git cannot be run: {error}", "try it in a shell") from None
    if done.returncode:
        raise _refusal(root, done.stderr.decode("utf-8", "replace"))
    return done.stdout


def commit(root: Path, ref: str) -> str:
    """Return the full commit that `ref` names. Raises GitError."""
    is_shallow = git(root, "rev-parse", "--is-shallow-repository").strip() == b"true"
    try:
        line = git(root, "rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}")
    except GitError:
        hint = "`git log --oneline` lists commits, `git fetch` brings more"
        if is_shallow:
            hint = "this clone is shallow: `git fetch --unshallow --tags` brings the other commits"
        raise GitError(f'git knows no commit "{ref}" here', hint) from None
    return line.decode().strip()


def _refusal(root: Path, complaint: str) -> GitError:
    reason = re.sub(r"^(fatal|error): ", "", complaint.strip().partition("\n")[0])
    if "dubious ownership" in complaint:
        return GitError(
            f"git refuses: {reason}", f"git config --global --add safe.directory {root}"
        )
    if "not a git repository" in complaint:
        return GitError(
            f"git has no checkout there ({root})", "clone the project with git, and run that"
        )
    return GitError(f"git refuses: {reason or 'it says nothing'}", f"try `git -C {root} status`")
