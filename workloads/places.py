"""Where this copy of the project lies: a checkout, or an installed one."""

from __future__ import annotations

from pathlib import Path


def is_checkout(root: Path) -> bool:
    """Whether `root` is the project's source tree, and not the folder of an installed copy."""
    return (root / "pyproject.toml").is_file()


def program() -> str:
    """How this samestep is called in a shell: what a user is asked to type."""
    return "python cli.py" if is_checkout(Path(__file__).resolve().parents[1]) else "samestep"
