"""HOW each framework computes a workload: one folder a framework, found by its adapter.py."""

from __future__ import annotations

import importlib
from pathlib import Path

from frameworks.contract import Adapter

HERE = Path(__file__).parent


def names() -> list[str]:
    """Return the frameworks that have an adapter, sorted. Imports none of them."""
    return sorted(path.parent.name for path in HERE.glob("*/adapter.py"))


def adapter(name: str) -> type[Adapter]:
    """Import a framework through its adapter; call it only inside that framework's environment.

    Raises:
        ImportError: the framework cannot be imported here.
    """
    module = importlib.import_module(f"frameworks.{name}.adapter")
    adapters = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Adapter)
        and value.__module__ == module.__name__
    ]
    if len(adapters) != 1:
        raise ImportError(
            f"frameworks/{name}/adapter.py: has to define one Adapter, has {len(adapters)}"
        )
    return adapters[0]
