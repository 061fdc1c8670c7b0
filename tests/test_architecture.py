"""The packages of `harness/` import one way: each only those to its right, and leaf modules."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

ORDER = (
    "commands",
    "report",
    "matrix",
    "doctor",
    "bisect",
    "gate",
    "analysis",
    "runner",
    "results",
    "environments",
    "diagnosis",
    "parity",
    "machine",
    "stats",
)
LEAVES = (
    "defaults",
    "disk",
    "failures",
    "limits",
    "outcomes",
    "output",
    "paths",
    "protocol",
    "selection",
    "signals",
    "text",
    "this_process",
    "verdicts",
    "worker",
)
"""Modules that every package may import, and that import no package."""

MOST_MODULES = 20
"""Of one folder."""

MODULES = sorted((ROOT / "harness").rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """The packages and leaf modules of the harness that a file imports, at its top or later."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "harness":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("harness."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            names = (alias.name.split(".") for alias in node.names)
            yield from (name[1] for name in names if name[0] == "harness" and len(name) > 1)


def forbidden(path: Path, package: str) -> set[str]:
    """What a file of `package` imports and may not."""
    to_the_right = ORDER[ORDER.index(package) :] if package in ORDER else ()
    return {*imported(path)} - {*to_the_right, *LEAVES}


def package_of(path: Path) -> str:
    return path.relative_to(ROOT / "harness").with_suffix("").parts[0]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_package_imports_only_packages_to_its_right(path: Path) -> None:
    assert not forbidden(path, package_of(path))


@pytest.mark.parametrize(
    ("package", "line", "offence"),
    [
        ("stats", "from harness.report import markdown", "report"),
        ("runner", "def late():\n    from harness.gate.evaluate import verdict", "gate"),
        ("results", "import harness.commands.run", "commands"),
        ("text", "from harness import stats", "stats"),
    ],
)
def test_the_rule_can_fail(tmp_path: Path, package: str, line: str, offence: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(line)
    assert forbidden(path, package) == {offence}


def test_every_module_belongs_to_a_package_or_is_a_leaf() -> None:
    assert {package_of(path) for path in MODULES} == {"__init__", *ORDER, *LEAVES}


def test_no_folder_is_crowded() -> None:
    folders = {path.parent for path in MODULES}
    crowded = {folder: len(list(folder.glob("*.py"))) for folder in folders}
    assert {folder: count for folder, count in crowded.items() if count > MOST_MODULES} == {}


HEAVY = ("jinja2", "numpy", "pandas", "plotly", "psutil", "rich", "scipy", "sklearn")


@pytest.mark.parametrize("command", [["--help"], ["run", "--help"], ["check", "--help"]])
def test_help_imports_nothing_that_computes(command: list[str]) -> None:
    script = (
        "import sys, cli\n"
        f"cli.main({command}, standalone_mode=False)\n"
        f"print(sorted({{*{HEAVY}}} & sys.modules.keys()), len(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    heavy, _, count = done.stdout.splitlines()[-1].rpartition(" ")
    # `run` and `check` show the words of --dtype, for which they import the adapters' contract.
    assert heavy == ("[]" if command == ["--help"] else "['numpy']")
    assert int(count) < (400 if command == ["--help"] else 700)
