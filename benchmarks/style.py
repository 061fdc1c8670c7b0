"""How the code is written, in figures: names, folders, formatting, help, start-up.

    python benchmarks/style.py            # the figures
    python benchmarks/style.py --names    # where each vague name is bound

`tests/test_style.py` holds the figures: they may get better, not worse.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ("cli.py", "samestep.py", "harness", "frameworks", "workloads")
EVERYTHING = (*SOURCE, "benchmarks", "tests")

_VAGUE = """
one told found known own said asked made kept given there here other others some every each
whole rest more well right mine theirs ours now then was
"""
VAGUE = frozenset(_VAGUE.split())
"""Pronouns, participles and adverbs: as a name, none of them says what it holds."""

MOST_LINES = 40
"""Of a function: what fits on a screen."""


class Binding(NamedTuple):
    """A name that is bound, and where."""

    path: Path
    line: int
    name: str


def python_files(*roots: str) -> list[Path]:
    """The Python files under these folders of the tree (or these files themselves)."""
    files: set[Path] = set()
    for root in roots:
        path = ROOT / root
        files.update([path] if path.is_file() else path.rglob("*.py"))
    return sorted(files)


def bound_names(source: str) -> Iterator[tuple[int, str]]:
    """Each name that `source` binds, with its line.

    Counted are assignments, `for` and comprehension targets, `with ... as`, `except ... as`,
    names captured by `match`, and arguments. Attributes, functions, classes and imports are not.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.arg(arg=name):
                yield node.lineno, name
            case ast.ExceptHandler(name=str(name)):
                yield node.lineno, name
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield node.lineno, name


def is_vague(name: str) -> bool:
    """Whether the name, without leading or trailing underscores, is a word of `VAGUE`."""
    return name.strip("_") in VAGUE


def bindings(files: list[Path]) -> list[Binding]:
    """All names that these files bind."""
    return [
        Binding(path, line, name)
        for path in files
        for line, name in bound_names(path.read_text(encoding="utf-8"))
    ]


def vague_share(names: list[Binding]) -> float:
    """Which part of the bound names is vague, 0 to 1."""
    return sum(is_vague(binding.name) for binding in names) / len(names)


def flat_modules() -> dict[str, int]:
    """How many modules each folder of the source holds, `__init__.py` not counted."""
    folders = Counter(
        path.parent.relative_to(ROOT).as_posix()
        for path in python_files(*SOURCE)
        if path.name != "__init__.py"
    )
    return dict(folders.most_common())


def unformatted(files: list[Path]) -> int:
    """How many statements are kept from the formatter."""
    marks = re.compile(r"#\s*fmt:\s*(skip|off)")
    return sum(len(marks.findall(path.read_text(encoding="utf-8"))) for path in files)


def functions(path: Path) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, bool]]:
    """Every function of a file, and whether it is public: none of the names around it is private."""
    stack: list[tuple[ast.AST, bool]] = [(ast.parse(path.read_text(encoding="utf-8")), True)]
    while stack:
        parent, public = stack.pop()
        for node in ast.iter_child_nodes(parent):
            is_public = public
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                is_public = public and not node.name.startswith("_")
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node, is_public
                is_public = False  # what a function defines is its own business
            stack.append((node, is_public))


def long_functions(files: list[Path]) -> list[str]:
    """The functions that do not fit on a screen, as `path:line name (lines)`."""
    return [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name} ({length})"
        for path in files
        for node, _ in functions(path)
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MOST_LINES
    ]


def undescribed(files: list[Path]) -> list[str]:
    """Public functions of three parameters or more whose docstring names fewer than half of them.

    A heuristic: a parameter that its name explains needs no words.
    """
    poor = []
    for path in files:
        for node, public in functions(path):
            arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            names = [each.arg for each in arguments if each.arg not in ("self", "cls")]
            if not public or len(names) < 3:
                continue
            words = set(re.findall(r"\w+", ast.get_docstring(node) or ""))
            if 2 * sum(name in words for name in names) < len(names):
                poor.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    return poor


def prose_words() -> int:
    """How many words README and docs/ have outside tables, code, the glossary and the examples."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    words = 0
    for page in pages:
        if page.name == "glossary.md" or "example" in page.parts:
            continue
        text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        text = re.sub(r"\]\([^)]*\)", "]", text)
        lines = (line.removeprefix("> ").strip() for line in text.splitlines())
        words += sum(len(line.split()) for line in lines if not line.startswith(("|", ":::")))
    return words


_LIST_OPTIONS = """
import click, cli

def walk(command, names):
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.help:
            print(" ".join([*names, parameter.opts[0]]))
    for name, child in getattr(command, "commands", {}).items():
        walk(child, [*names, name])

walk(cli.main, [])
"""


def options_without_help() -> list[str]:
    """The options of the command line that do not say what they do."""
    return _run("-c", _LIST_OPTIONS).stdout.splitlines()


def imported_modules() -> set[str]:
    """The modules that `cli.py --help` imports."""
    lines = _run("-X", "importtime", "cli.py", "--help").stderr.splitlines()
    rows = [line.split("|") for line in lines if line.startswith("import time:")]
    return {row[-1].strip() for row in rows if row[-1].strip() != "imported package"}


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--names", action="store_true", help="list where vague names are bound")
    if parser.parse_args().names:
        for path, line, name in bindings(python_files(*SOURCE)):
            if is_vague(name):
                print(f"{path.relative_to(ROOT)}:{line} {name}")
        return
    source = python_files(*SOURCE)
    harness = bindings(python_files("harness"))
    beside = bindings([path for path in source if ROOT / "harness" not in path.parents])
    print(f"vague names, harness/       {vague_share(harness):6.1%} of {len(harness)}")
    print(f"vague names, other source   {vague_share(beside):6.1%} of {len(beside)}")
    folder, most = next(iter(flat_modules().items()))
    print(f"most modules in a folder    {most:6} ({folder}/)")
    print(f"fmt: skip, whole tree       {unformatted(python_files(*EVERYTHING)):6}")
    for title, rows in (
        (f"functions over {MOST_LINES} lines", long_functions(source)),
        ("functions, few described", undescribed(source)),
        ("options without help", options_without_help()),
    ):
        print(f"{title:27} {len(rows):6}", *rows, sep="\n  ")
    print(f"words of prose, docs/       {prose_words():6}")
    print(f"modules imported by --help  {len(imported_modules()):6}")


if __name__ == "__main__":
    main()
