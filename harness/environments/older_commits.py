"""Whether the trees of other commits know what a workload asks for, before anything is run there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable

from harness.environments.framework_spec import FrameworkSpec
from workloads.reading import SpecError
from workloads.spec import Workload

_SECONDS = 120

_READ = """
import json, sys
sys.path.insert(0, sys.argv[1])
from workloads.spec import from_dict
for table in json.load(sys.stdin):
    try:
        from_dict(table, table["name"])
    except ValueError as error:
        sys.exit(str(error))
"""


def check(specs: Iterable[FrameworkSpec], workloads: Iterable[Workload]) -> None:
    """Read the workloads as the worker of each commit will.

    Raises:
        SpecError: one of them has a key or a kind that came after a commit.
    """
    tables = json.dumps([workload.to_dict() for workload in workloads])
    for root, label in {spec.root: spec.label for spec in specs if spec.commit}.items():
        done = subprocess.run(
            [sys.executable, "-P", "-c", _READ, str(root)],
            input=tables,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
        if done.returncode:
            *_, reason = done.stderr.strip().splitlines() or ["it says nothing"]
            raise SpecError(
                f"{label}: that commit does not know this workload yet: {reason}",
                "take a newer commit",
            )
