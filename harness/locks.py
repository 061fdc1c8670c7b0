"""Writes the lock files beside an `environment.toml`: exact versions, hashes, no addresses."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path

from harness.installer import run_uv
from harness.recipes import FILE_NAME, Recipe

_HEADER = """\
# Locked for Python {python} on every platform. Do not edit: change `requirements` in
# {file} and run `python cli.py env lock {name}`.
"""

# uv forms its answer from this file; `environments` keeps it to the one Python of the recipe.
_PROJECT = """\
[project]
name = "samestep-{name}"
version = "0"
requires-python = ">={python}"
dependencies = {requirements}

[tool.uv]
environments = ["python_version == '{python}'"]
"""


def lock(recipe: Recipe, *, upgrade: bool = False) -> list[Path]:
    """Write every lock file of a recipe anew; returns those that changed.

    Versions already locked are kept while they still fit, unless `upgrade` is set. Only metadata is
    read, whatever the size of the packages. Raises InstallError.
    """
    changed = []
    for name in recipe.requirements:
        path = recipe.folder / f"{name}.txt"
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        after = _compile(recipe, name, "" if upgrade else before)
        if after != before:
            _replace(path, after)
            changed.append(path)
    return changed


def _compile(recipe: Recipe, name: str, before: str) -> str:
    """The text of one lock file; pins in `before` are kept where they fit."""
    with tempfile.TemporaryDirectory(prefix="samestep-lock-") as folder:
        project = Path(folder, "pyproject.toml")
        locked = Path(folder, "locked.txt")
        # A JSON list of texts is a TOML list of texts too.
        requirements = json.dumps(list(recipe.requirements[name]))
        project.write_text(
            _PROJECT.format(name=recipe.name, python=recipe.python, requirements=requirements),
            encoding="utf-8",
        )
        locked.write_text(before, encoding="utf-8")
        run_uv(
            ["pip", "compile", project.name, "--output-file", locked.name, "--universal",
             "--generate-hashes", "--python-version", recipe.python, "--no-header",
             "--no-emit-index-url", "--no-emit-find-links", "--no-emit-index-annotation"],
            folder=Path(folder),
        )  # fmt: skip
        text = locked.read_text(encoding="utf-8")
    text = text.replace("(pyproject.toml)", f"({FILE_NAME})")
    # Whatever a user's own uv settings ask for: no line of options and no address is kept.
    text = re.sub(r"^(?:[-#]|.*://).*\n+", "", text, flags=re.MULTILINE)
    header = _HEADER.format(python=recipe.python, file=FILE_NAME, name=recipe.name)
    return header + text


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
