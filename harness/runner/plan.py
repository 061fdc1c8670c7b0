"""What a run will do: its cells, out of what was asked for and what there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.environments.framework_spec import FrameworkSpec
from harness.machine import devices
from workloads.reading import SpecError
from workloads.spec import Workload


@dataclass(frozen=True)
class Cell:
    """One framework computing one workload in one way.

    `framework` is its framework's label; `precision` is the arithmetic's.
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
    framework_specs: Mapping[str, FrameworkSpec],
    modes: Sequence[str],
    places: Sequence[str],
    dtype: str = "float32",
) -> list[Cell]:
    """Return every combination, the reference last; no `modes` means all that a framework has.

    `framework_specs` are by label; `places` are devices; `dtype` is an arithmetic, or "all" that each
    of the devices has.

    Raises:
        SpecError: nothing is left to run.
    """
    ordered = sorted(framework_specs.values(), key=lambda spec: (spec.reference, spec.name))
    planned = [
        Cell(workload.name, framework_spec.label, mode, device, precision)
        for workload in workloads
        for framework_spec in ordered
        for device in places
        for mode, precision in _ways(framework_spec, device, modes, dtype)
    ]
    if ordered and not planned and not modes:
        offered = "; ".join(f"{spec.label}: {', '.join(spec.devices)}" for spec in ordered)
        raise SpecError(
            f"nothing to run: no framework asked for runs on {', '.join(places)}; there are: {offered}"
        )
    if modes and all(framework_specs[cell.framework].reference for cell in planned):
        offered = "; ".join(
            f"{spec.label} on {place}: {', '.join(spec.modes_on(place))}"
            for place in places
            for spec in ordered
        )
        raise SpecError(
            f"no framework asked for has the mode {', '.join(modes)}; there are: {offered}"
        )
    return planned


def _ways(
    framework_spec: FrameworkSpec, device: str, modes: Sequence[str], dtype: str
) -> list[tuple[str, str]]:
    """Return the modes and precisions in which a framework is to compute on `device`."""
    available = framework_spec.modes_on(device)
    if framework_spec.reference:
        return [(mode, "float64") for mode in available if device in framework_spec.devices]
    return [
        (mode, precision)
        for precision in devices.precisions(dtype, device)
        for mode in available
        if not modes or mode in modes
    ]
