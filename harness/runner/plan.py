"""What a run will do: its cells, out of what was asked for and what there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.environments.framework_spec import Recipe
from harness.machine import devices
from workloads.reading import SpecError
from workloads.spec import Workload


@dataclass(frozen=True)
class Cell:
    """One framework computing one workload in one way.

    `framework` is its recipe's label; `precision` is the arithmetic's.
    """

    workload: str
    framework: str
    mode: str
    device: str
    precision: str

    @property
    def file_name(self) -> str:
        """The id as the name of a file or a folder; no colon, which parts the folders of a path."""
        return self.id.replace("/", "_").replace(":", "-")

    @property
    def id(self) -> str:
        """The cell's name in the journal: ``cnn-digits/<framework>/<mode>/cpu/float32``."""
        return f"{self.workload}/{self.framework}/{self.mode}/{self.device}/{self.precision}"


def cells(
    workloads: Sequence[Workload],
    recipes: Mapping[str, Recipe],
    modes: Sequence[str],
    places: Sequence[str],
    dtype: str = "float32",
) -> list[Cell]:
    """Return every combination, the arbiter last; no `modes` means all that a framework has.

    `recipes` are by label; `places` are devices; `dtype` is an arithmetic, or "all" that each of the
    devices has.

    Raises:
        SpecError: nothing is left to run.
    """
    ordered = sorted(recipes.values(), key=lambda recipe: (recipe.arbiter, recipe.name))
    planned = [
        Cell(workload.name, recipe.label, mode, device, precision)
        for workload in workloads
        for recipe in ordered
        for device in places
        for precision in (["float64"] if recipe.arbiter else devices.precisions(dtype, device))
        for mode in recipe.modes_on(device)
        if (not modes or mode in modes or recipe.arbiter)
        and not (recipe.arbiter and device not in recipe.devices)
    ]
    if recipes and not planned and not modes:
        offered = "; ".join(f"{r.label}: {', '.join(r.devices)}" for r in ordered) or "none"
        raise SpecError(
            f"nothing to run: no framework asked for runs on {', '.join(places)}; there are: {offered}"
        )
    if not any(not recipes[cell.framework].arbiter for cell in planned) and modes:
        offered = "; ".join(
            f"{r.label} on {place}: {', '.join(r.modes_on(place))}"
            for place in places
            for r in ordered
        )
        raise SpecError(
            f"no framework asked for has the mode {', '.join(modes)}; there are: {offered}"
        )
    return planned
