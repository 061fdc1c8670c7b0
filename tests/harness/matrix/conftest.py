"""A matrix in a toy project, run by the command line as its users and engines run it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.matrix import plan as planning
from harness.matrix.plan import Plan
from tests.conftest import ROOT, copy_with_toys
from tests.faults.conftest import Shell

TOYS = f"""
[always]
quick = true
threads = 1
mode = ["well", "slow"]
interpreter = ["faulty={sys.executable}", "reference={sys.executable}"]

[over]
workload = ["mlp-2-3-2"]
seed = SEEDS

[nodes]
replicates = REPLICATES
"""

WITH_STAND_IN = f"""
import sys
if sys.argv[1:2] == ["run"]:
    sys.path.append({str(ROOT)!r})
    from tests.harness.matrix import stand_in
    sys.exit(stand_in.main())
"""


def matrix_file(folder: Path, seeds: int = 1, replicates: int = 1, extra: str = "") -> Path:
    """A matrix.toml of quick runs of two toys, with so many units."""
    file = folder / "toys.toml"
    text = TOYS.replace("SEEDS", str([*range(seeds)])).replace("REPLICATES", str(replicates))
    file.write_text(text + extra)
    return file


def planned(shell: Shell, file: Path) -> Plan:
    """Plan a file by the command line."""
    status, _, errors = shell.run("matrix", "plan", str(file))
    assert status == 0, errors
    return planning.load(planning.resolve(shell.root / "results", None))


@pytest.fixture
def toys(tmp_path: Path) -> Iterator[Shell]:
    """A project whose runs are real, of toys."""
    shell = Shell(copy_with_toys(tmp_path / "project"))
    yield shell
    shell.end()


@pytest.fixture
def shell(toys: Shell) -> Shell:
    """A project whose runs are a stand-in's."""
    program = toys.root / "cli.py"
    future = "from __future__ import annotations\n"
    program.write_text(program.read_text().replace(future, future + WITH_STAND_IN))
    return toys
