"""Joules: what the machine's own meters counted, of processors (RAPL) and of NVIDIA GPUs (NVML).

A meter counts all that its part of the machine does, whoever has it done. What is not metered is
not estimated.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.machine import host
from harness.machine.nvml import Driver

POWERCAP = Path("sys/class/powercap")


@dataclass(frozen=True)
class Reading:
    """What each of a meter's sources had counted at one moment, in joules since some moment."""

    counted: tuple[float, ...]


@dataclass(frozen=True)
class _Package:
    """A processor package; its cores, and whatever else is in it, are in its count."""

    name: str
    file: Path
    range: float
    """Joules after which it begins again at 0."""

    def read(self) -> float:
        return int((host.ROOT / self.file).read_text()) / 1e6


@dataclass(frozen=True)
class _Gpu:
    """A GPU with its memory; it counts since its driver was loaded."""

    name: str
    library: Any
    handle: Any
    range: float | None = None

    def read(self) -> float:
        return self.library.nvmlDeviceGetTotalEnergyConsumption(self.handle) / 1e3


class Meter:
    """All energy counters that can be read here, found once. Making one never raises.

    `sources` names them; `reason` says why a counter that one may expect is not among them, and
    what to do; None where none is missing.
    """

    sources: tuple[str, ...]
    reason: str | None

    def __init__(self, cards: Collection[int] | None = None) -> None:
        """`cards` are the numbers of the GPUs to count, by default all."""
        packages, self.reason = _packages()
        self._parts: list[_Package | _Gpu] = [*packages, *_gpus(cards)]
        self.sources = tuple(part.name for part in self._parts)

    def read(self) -> Reading | None:
        """Return what all sources have counted; None where there is none, or one does not answer."""
        try:
            counted = tuple(part.read() for part in self._parts)
        except Exception:  # any driver: half a reading would be a wrong sum
            return None
        return Reading(counted) if counted else None

    def joules(self, before: Reading | None, after: Reading | None) -> float | None:
        """Return the joules between two readings of this meter, of all sources together.

        One wrap of a counter between the two is seen; a second one (after minutes to hours) is not.
        None without both readings, or where a counter was set back.
        """
        if before is None or after is None:
            return None
        total = 0.0
        for part, first, last in zip(self._parts, before.counted, after.counted, strict=True):
            rise = last - first
            if rise < 0 and part.range:
                rise += part.range
            if rise < 0:
                return None
            total += rise
        return total


def _packages() -> tuple[list[_Package], str | None]:
    """Return the processor packages that can be read, or none and the reason."""
    folder = host.ROOT / POWERCAP
    packages, closed = [], False
    # Zones inside a package have a second colon; "psys" counts packages again, as does the same
    # interface over memory (intel-rapl-mmio). AMD's processors come under this name too.
    for zone in sorted(folder.glob("intel-rapl:*")) if folder.is_dir() else ():
        try:
            name = (zone / "name").read_text().strip()
            if not name.startswith("package"):
                continue
            most = int((zone / "max_energy_range_uj").read_text()) / 1e6
            package = _Package(f"RAPL {name}", POWERCAP / zone.name / "energy_uj", most)
            package.read()
        except PermissionError:
            closed = True
        except (OSError, ValueError):
            continue
        else:
            packages.append(package)
    if packages and not closed:
        return packages, None
    if closed:
        files = f"/{POWERCAP}/intel-rapl:*/energy_uj"
        return packages, f"{files} is for root only (since Linux 5.10): sudo chmod a+r {files}"
    return [], f"not readable here: no RAPL under /{POWERCAP} (a virtual machine?)"


def _gpus(cards: Collection[int] | None) -> list[_Gpu]:
    """Return the GPUs that count their energy; those before Volta do not."""
    driver = Driver()
    gpus = [
        _Gpu(f"NVML GPU {index}", driver.library, handle)
        for index, handle in enumerate(driver.handles)
        if cards is None or index in cards
    ]
    return [gpu for gpu in gpus if _answers(gpu)]


def _answers(gpu: _Gpu) -> bool:
    try:
        gpu.read()
    except Exception:  # "not supported", in the words of any driver
        return False
    return True
