"""Where things lie: the project's own folder and the cache of what can be made again."""

from __future__ import annotations

import os
from pathlib import Path

from workloads.errors import UserError
from workloads.places import is_checkout

CACHE_VARIABLE = "SAMESTEP_CACHE"


def project_root() -> Path:
    """The folder that holds `cli.py`, `workloads/`, `frameworks/` and `harness/`."""
    return Path(__file__).resolve().parent.parent


def results_folder(root: Path | None = None) -> Path:
    """Where runs are kept by default: the checkout's `results/`, else that of the current folder."""
    root = root or project_root()
    return (root if is_checkout(root) else Path.cwd()) / "results"


def cache_folder() -> Path:
    """Where environments and datasets are kept between runs: $SAMESTEP_CACHE, or the user's cache.

    The folder need not exist yet; whoever writes there makes it. Raises UserError where neither the
    variable nor the user's home names a folder.
    """
    # Imported late: a worker's environment has no platformdirs, and workers are given their paths.
    from platformdirs import user_cache_dir

    folder = os.path.expanduser(os.environ.get(CACHE_VARIABLE) or user_cache_dir("samestep"))  # noqa: PTH111 - Path.expanduser raises where there is no home
    if folder.startswith("~"):
        raise UserError(
            f"{folder}: the cache has no place, for this user has no home folder",
            f"set {CACHE_VARIABLE} to a folder, or HOME",
        )
    return Path(folder).resolve()
