"""Where things lie: the project's own folder and the cache of what can be made again."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "SAMESTEP_CACHE"


def project_root() -> Path:
    """The folder that holds `cli.py`, `workloads/`, `frameworks/` and `harness/`."""
    return Path(__file__).resolve().parent.parent


def cache_folder() -> Path:
    """Where environments and datasets are kept between runs: $SAMESTEP_CACHE, or the user's cache.

    The folder need not exist yet; whoever writes there makes it.
    """
    folder = os.environ.get(CACHE_VARIABLE)
    if folder:
        return Path(folder).expanduser().resolve()
    # Imported late: a worker's environment has no platformdirs, and workers are given their paths.
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("samestep"))
