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
    ordered = sorted(
        framework_specs.values(),
        key=lambda framework_spec: (framework_spec.reference, framework_spec.name),
    )
    planned = [
        Cell(workload.name, framework_spec.label, mode, device, precision)
        for workload in workloads
        for framework_spec in ordered
        for device in places
        for precision in (
            ["float64"] if framework_spec.reference else devices.precisions(dtype, device)
        )
        for mode in framework_spec.modes_on(device)
        if (not modes or mode in modes or framework_spec.reference)
        and not (framework_spec.reference and device not in framework_spec.devices)
    ]
    if framework_specs and not planned and not modes:
        offered = "; ".join(f"{r.label}: {', '.join(r.devices)}" for r in ordered) or "none"
        raise SpecError(
            f"nothing to run: no framework asked for runs on {', '.join(places)}; there are: {offered}"
        )
    if not any(not framework_specs[cell.framework].reference for cell in planned) and modes:
        offered = "; ".join(
            f"{r.label} on {place}: {', '.join(r.modes_on(place))}"
            for place in places
            for r in ordered
        )
        raise SpecError(
            f"no framework asked for has the mode {', '.join(modes)}; there are: {offered}"
        )
    return planned
