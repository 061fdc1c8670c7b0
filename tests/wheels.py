"""Tiny wheels, made on the spot: what an index would offer."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy

from harness.environments.framework_spec import load
from harness.environments.lockfiles import lock


def wheel(
    folder: Path,
    name: str,
    version: str,
    body: str = "",
    more: dict[str, str] | None = None,
    python: str = ">=3",
) -> str:
    """Write a wheel with one module, and `more` files; returns the line that locks it."""
    files = {
        f"{name}.py": body,
        **(more or {}),
        f"{name}-{version}.dist-info/METADATA": (
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: {python}\n"
        ),
        f"{name}-{version}.dist-info/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: toy\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    record = f"{name}-{version}.dist-info/RECORD"
    rows = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        rows.append(f"{path},sha256={digest.decode()},{len(text)}\n")
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inner, text in (*files.items(), (record, "".join(rows) + f"{record},,\n")):
            archive.writestr(zipfile.ZipInfo(inner), text)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


TOY = '''
"""A framework whose only property is how long it naps in a step: its package says so."""

import time
from collections.abc import Sequence

import toyframe
from numpy.typing import NDArray

from frameworks.reference.adapter import Reference
from workloads.batches import Batch


class Toy(Reference):
    @classmethod
    def versions(cls) -> dict[str, str]:
        return {"toyframe": toyframe.VERSION}

    def train(self, batches: Sequence[Batch]) -> NDArray:
        time.sleep(toyframe.NAP * len(batches))
        return super().train(batches)
'''

SPEC = """
title = "Toy"
python = "{python}"
package = "toyframe"
module = "toyframe"
modes = {modes}
devices = ["cpu"]

[requirements]
cpu = ["toyframe=={version}", "basis"]

[variables]
OMP_NUM_THREADS = "{{threads}}"
OPENBLAS_NUM_THREADS = "{{threads}}"
"""


def publish(
    folder: Path, version: str, nap: float = 0.0, body: str = "", python: str = ">=3"
) -> None:
    """Offer a release of the toy's package, which naps so many seconds in each step."""
    body = f"VERSION, NAP = {version!r}, {nap!r}\n{body}"
    wheel(folder, "toyframe", version, body, python=python)


def add_basis(wheels: Path) -> None:
    """Offer `basis`, a package that brings numpy as it is here."""
    # A line in a .pth file is one more place that Python looks into.
    here = str(Path(numpy.__file__).parents[1])
    wheel(wheels, "basis", "1.0", more={"basis.pth": here + "\n"})


def add_framework(root: Path, name: str, version: str, modes: Sequence[str]) -> None:
    """Add a toy called `name` to a project, locked at a release that is offered."""
    folder = root / "frameworks" / name
    folder.mkdir()
    (folder / "adapter.py").write_text(TOY, encoding="utf-8")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    spec = SPEC.format(python=python, modes=json.dumps(modes), version=version)
    (folder / "environment.toml").write_text(spec, encoding="utf-8")
    lock(load(folder / "environment.toml"))


def add_toy(root: Path, wheels: Path) -> None:
    """Add the framework `toy` to a project, locked at its release 1.0, which is offered."""
    add_basis(wheels)
    publish(wheels, "1.0")
    add_framework(root, "toy", "1.0", ["plain"])
