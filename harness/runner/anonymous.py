"""Leaves the host's name, the user's name and paths out of what a run writes."""

from __future__ import annotations

import getpass
import os
import platform
import re
import socket
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from harness.paths import cache_folder, project_root

Scrub = Callable[[Any], Any]
"""Takes a value as a manifest or an event holds it; returns it without what is private."""

_PATH = re.compile(r"(?<![\w:/.<>])/(?:[^\s/:'\"`,;()]+/)+")
"""An absolute path but for its last part; no address, no cell's id."""

_PACKED = ("right", "data")
"""Fields that hold bytes in base64: what looks like a path there is none."""

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def scrubber(results: Path) -> Scrub:
    """Return what takes out this host's and user's names and all absolute paths."""
    folders = [results, Path.cwd(), project_root(), cache_folder(), Path(tempfile.gettempdir())]
    folders += [Path(os.path.expanduser("~"))]  # noqa: PTH111 - Path.home raises where there is none
    longest = sorted({str(path) for path in folders if path.is_absolute()}, key=len, reverse=True)
    prefixes = re.compile(
        "|".join(re.escape(path) + "(?=/|\\b)" for path in longest if len(path) > 1)
    )
    hosts = sorted(_hosts(), key=len, reverse=True)
    words = dict.fromkeys(map(_whole, hosts), "<host>")
    words |= dict.fromkeys(map(_whole, _users()), "<user>")
    return partial(_scrubbed, prefixes=prefixes, words=words)


def scrub_logs(folder: Path, scrub: Scrub) -> None:
    """Rewrite what the workers printed."""
    for path in (file for file in folder.rglob("*") if file.is_file()):
        text = path.read_text(encoding="utf-8", errors="replace")
        path.write_text(scrub(text), encoding="utf-8")


def _scrubbed(value: Any, prefixes: re.Pattern[str], words: Mapping[re.Pattern[str], str]) -> Any:
    again = partial(_scrubbed, prefixes=prefixes, words=words)
    if isinstance(value, Mapping):
        return {key: item if _is_packed(key, item) else again(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [again(item) for item in value]
    if isinstance(value, Path):
        value = str(value)
    if not isinstance(value, str):
        return value
    text = _PATH.sub("<path>/", prefixes.sub("<path>", value))
    for word, placeholder in words.items():
        text = word.sub(placeholder, text)
    return text


def _is_packed(key: Any, value: Any) -> bool:
    return key in _PACKED and isinstance(value, str) and bool(_BASE64.fullmatch(value))


def _whole(name: str) -> re.Pattern[str]:
    """A name as a word of its own: no part of a cell's id, of a file's name or of a version."""
    return re.compile(rf"(?<![\w/.-]){re.escape(name)}(?![\w/-])")


def _hosts() -> Iterable[str]:
    names = {platform.node(), socket.gethostname(), socket.getfqdn()}
    return {part for name in names for part in (name, name.partition(".")[0]) if len(part) > 1}


def _users() -> Iterable[str]:
    names = {os.environ.get(variable, "") for variable in ("USER", "LOGNAME", "SUDO_USER")}
    with suppress(KeyError, OSError):
        names.add(getpass.getuser())
    return {name for name in names if len(name) > 1}
