"""What a run will do: its workloads and cells, out of what was asked for and what there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.environments.framework_spec import FrameworkSpec
from harness.machine import devices
from harness.results.sweep import AXES, Axis, Point, Sweep
from harness.text import listed
from workloads.errors import UserError
from workloads.reading import SpecError
from workloads.spec import Workload, from_dict
from workloads.width import widened

Values = Mapping[Axis, Sequence[float]]
"""By its option, what was given for it: nothing, one value, or those of a sweep."""


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


def at_values(
    loaded: Mapping[str, Workload], values: Values
) -> tuple[dict[str, Workload], Sweep | None]:
    """Return the workloads at the values that were given, and the sweep that they make.

    `loaded` are by the words that name them. What a single value changes keeps its word, and its name
    says so; each point of a sweep has a word and a name of its own. A number of threads changes no
    workload: single, it is left alone.

    Raises:
        UserError: several values of more than one option, or one of them twice.
        SpecError: a workload cannot have such a value.
    """
    swept = _swept(values)
    workloads = dict(loaded)
    for axis in _CHANGES:
        if axis != swept and values.get(axis):
            (value,) = values[axis]
            workloads = {word: _at(workload, axis, value) for word, workload in workloads.items()}
    if swept is None:
        return workloads, None
    points, described = {}, []
    for word, workload in workloads.items():
        nets: dict[str, float] = {}
        for value in sorted(values[swept]):
            point = _at(workload, swept, value)
            same = nets.setdefault(str(point.parameters), value)
            if swept == "width" and same != value:
                raise UserError(
                    f"--width {same:g} and {value:g}: {workload.name} is the same at both"
                )
            points[f"{word} {swept} {value:g}"] = point
            declared = value == _declared(workload, swept, value)
            described.append(Point(swept, point.name, workload.name, value, declared))
    return points, Sweep(swept, described)


def _swept(values: Values) -> Axis | None:
    """Return which option has several values."""
    several = [axis for axis in AXES if len(values.get(axis, ())) > 1]
    if len(several) > 1:
        options = listed(f"--{axis}" for axis in several)
        raise UserError(f"{options}: a sweep is over one of them; give the others one value each")
    for axis in several:
        shown = ",".join(f"{value:g}" for value in values[axis])
        if len({*values[axis]}) < len(values[axis]):
            raise UserError(f"--{axis} {shown}: give each value once")
        return axis
    return None


def _at(workload: Workload, axis: Axis, value: float) -> Workload:
    name = f"{workload.name} {axis} {value:g}"
    try:
        changed = _CHANGES[axis](workload, value) if axis in _CHANGES else workload
        return from_dict({**changed.to_dict(), "name": name}, workload.name)
    except SpecError as error:
        raise SpecError(f"--{axis} {value:g}: {error}") from error


def _declared(workload: Workload, axis: Axis, value: float) -> float:
    return {"batch": workload.data.batch, "width": 1.0, "threads": value}[axis]


_CHANGES: dict[Axis, Callable[[Workload, float], Workload]] = {
    "width": widened,
    "batch": lambda workload, value: workload.with_data(batch=int(value)),
}
"""How a value changes a workload."""
