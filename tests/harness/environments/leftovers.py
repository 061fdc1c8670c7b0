"""What tests of builders look for in the cache, and scripts that they write."""

from __future__ import annotations

from pathlib import Path

from harness.environments import cache


def left_over() -> list[str]:
    """What lies on the shelf beside whole environments and the files that lock them."""
    standing = {path.name for path in cache.installed()}
    return [
        path.name
        for path in cache.environments_folder().glob("*")
        if path.name not in standing and not path.name.startswith(".lock-")
    ]


def script(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path
