"""What each framework's folder says of its adapter, in expected.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from tests.frameworks.inside import FRAMEWORK_SPECS
from workloads.reading import read


@dataclass(frozen=True)
class Expected:
    """`precisions`: those that it offers. `resident`: whether it takes batches on the device.

    `deterministic`: what its flags.deterministic() returns, `off` and `on`, and the `variable`, if any,
    that is read before Python starts. `precision`: what flags.precision() returns, by its argument.
    """

    precisions: list
    resident: bool
    deterministic: dict
    precision: dict = field(default_factory=dict)


def load(folder: Path) -> Expected:
    """Read a framework's expectations.

    Raises:
        SpecError: a key is missing, unknown or of the wrong type.
    """
    path = folder / "expected.toml"
    return read(Expected, tomllib.loads(path.read_text()), str(path))


EXPECTED = {name: load(spec.folder) for name, spec in FRAMEWORK_SPECS.items()}
