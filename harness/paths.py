"""Where things lie: the project's own folder and the cache of what can be made again."""

from __future__ import annotations

import os
from pathlib import Path

from workloads.errors import UserError
from workloads.places import is_checkout

CACHE_VARIABLE = "SAMESTEP_CACHE"
CACHE_HINT = f"set {CACHE_VARIABLE} to a folder that can be written"


def project_root() -> Path:
    """The folder that holds `cli.py`, `workloads/`, `frameworks/` and `harness/`."""
    return Path(__file__).resolve().parent.parent


def results_folder(root: Path | None = None) -> Path:
    """Where runs are stored by default: the checkout's `results/`, else that of the current folder."""
    root = root or project_root()
    return (root if is_checkout(root) else Path.cwd()) / "results"


def cache_folder() -> Path:
    """Where environments and datasets are stored between runs: $SAMESTEP_CACHE, or the user's cache.

    The folder need not exist yet; whoever writes there makes it. Raises UserError where neither the
    variable nor the user's home names a folder.
    """
    folder = expanded(os.environ.get(CACHE_VARIABLE, "").strip() or _user_cache())
    if folder.startswith("~"):
        raise UserError(f"the cache has no place ({folder}): this user has no home", CACHE_HINT)
    return Path(os.path.realpath(folder))  # Path.resolve raises RuntimeError at a loop of links


def _user_cache() -> str:
    # Imported late: a worker's environment has no platformdirs, and workers are given their paths.
    from platformdirs import user_cache_dir

    try:
        return user_cache_dir("samestep")
    except RuntimeError:  # no HOME, and no entry in passwd
        return "~/.cache/samestep"


def expanded(path: str) -> str:
    """Put the home folder in the place of a leading `~`; where there is no home, it stays."""
    return os.path.expanduser(path)  # noqa: PTH111 - Path.expanduser raises where there is no home


def cache_hint(error: BaseException) -> str:
    """What to do where `error` or its cause is the system's refusal of the cache; else nothing."""
    refusal = error if isinstance(error, OSError) else error.__cause__
    if not isinstance(refusal, OSError) or not isinstance(refusal.filename, str):
        return ""
    try:
        cache = cache_folder()
    except UserError:
        return ""
    path = Path(refusal.filename)
    return CACHE_HINT if cache.is_relative_to(path) or path.is_relative_to(cache) else ""
