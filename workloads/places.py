"""Where this copy of the project lies: a checkout, or an installed one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

CHECKOUT, INSTALLED = "python cli.py", "samestep"
"""How the program is called in a checkout, and where it is installed."""


def is_checkout(root: Path) -> bool:
    """Whether `root` is the project's source tree, and not the folder of an installed copy."""
    return (root / "pyproject.toml").is_file()


def program() -> str:
    """How this samestep is called in a shell: what a user is asked to type."""
    return CHECKOUT if is_checkout(Path(__file__).resolve().parents[1]) else INSTALLED


def arguments(command: Sequence[str]) -> list[str]:
    """Return what follows the program in a stored command, whichever of both names began it."""
    return list(command[len((INSTALLED if command[:1] == [INSTALLED] else CHECKOUT).split()) :])
