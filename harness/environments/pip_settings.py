"""The index settings that stand in pip's files only: uv does not read these."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from functools import cache

_KEYS = ("index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "cert")
_SECTIONS = ("global", "install")
"""Of pip's files; the later one counts more where pip installs."""

_SECONDS = 60
_PLACES = ("PIP_CONFIG_FILE", "HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS")
"""The variables that decide which files pip reads."""


def user_environment() -> dict[str, str]:
    """This process's variables, and what pip's files add to them, as the variables that pip reads."""
    return {**_from_files(*map(os.environ.get, _PLACES)), **os.environ}


@cache
def _from_files(*places: str | None) -> dict[str, str]:
    """Ask pip, which knows its places; nothing where it is not there or its files are broken."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    entries = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return {
        f"PIP_{key.upper().replace('-', '_')}": " ".join(str(ast.literal_eval(value)).split())
        for section in _SECTIONS
        for key in _KEYS
        if (value := entries.get(f"{section}.{key}"))
    }
