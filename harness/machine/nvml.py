"""NVIDIA's driver, asked through its library; where there is none, there are no GPUs and a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

CLOCK_SM = 1
"""NVML_CLOCK_SM, from nvml.h: the clock of the multiprocessors."""

POWER_CAP = 0x4

SLOWED_BY = {
    POWER_CAP: "its power limit",
    0x8: "its hardware",
    0x20: "heat (by the driver)",
    0x40: "heat (by the hardware)",
    0x80: "a power brake",
}
"""The bits of nvmlClocksEventReasons* that slow a card down by themselves; a user's settings do not."""


class Driver:
    """The driver's library, opened once and left open. Making one never raises.

    `handles` has one for each GPU; `reason` says why there is none. Nothing is asked of `library`
    where there are no handles.
    """

    library: Any = None
    handles: tuple[Any, ...] = ()
    reason: str | None = None

    def __init__(self) -> None:
        try:
            import pynvml
        except ImportError:
            self.reason = "nvidia-ml-py is not installed"
            return
        self.library = pynvml
        try:
            pynvml.nvmlInit()
        except Exception as error:  # no driver, or one that does not answer
            self.reason = f"no NVIDIA driver answers ({error})"
            return
        try:
            indices = range(pynvml.nvmlDeviceGetCount())
            self.handles = tuple(map(pynvml.nvmlDeviceGetHandleByIndex, indices))
        except Exception as error:
            self.reason = f"the NVIDIA driver did not list its GPUs ({error})"
        else:
            self.reason = None if self.handles else "the driver shows no GPU"

    def processes(self) -> list[dict[int, int | None]]:
        """Return, GPU by GPU, which processes compute on it and the bytes each holds there.

        The numbers are the host's: inside a container they may be missing, or not those seen there.
        Bytes are None where the driver does not report them (Windows, some virtual GPUs).
        """
        return [self._processes(handle) for handle in self.handles]

    def _processes(self, handle: Any) -> dict[int, int | None]:
        try:
            processes = self.library.nvmlDeviceGetComputeRunningProcesses(handle)
        except Exception:  # an old driver, a GPU cut in parts
            return {}
        return {int(process.pid): process.usedGpuMemory for process in processes}

    def state(self, index: int) -> dict[str, Any]:
        """Return a card's clock and most clock in MHz, its power and power limit in W, what slows it.

        What the driver does not report is None. Nothing is ever set.
        """
        handle, library = self.handles[index], self.library
        reasons = _asked(lambda: library.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
        words = [word for bit, word in SLOWED_BY.items() if (reasons or 0) & bit]
        return {
            "mhz": _asked(lambda: library.nvmlDeviceGetClockInfo(handle, CLOCK_SM)),
            "mhz_most": _asked(lambda: library.nvmlDeviceGetMaxClockInfo(handle, CLOCK_SM)),
            "watts": _asked(lambda: library.nvmlDeviceGetPowerUsage(handle) / 1e3),
            "watts_most": _asked(lambda: library.nvmlDeviceGetEnforcedPowerLimit(handle) / 1e3),
            "slowed_by": None if reasons is None else words,
        }

    def memory_of(self, pid: int) -> int | None:
        """Return the bytes that a process holds on all GPUs; None where the driver does not report it."""
        held = [processes[pid] for processes in self.processes() if pid in processes]
        sizes = [size for size in held if size is not None]
        return sum(sizes) if held and len(sizes) == len(held) else None


def _asked(read: Callable[[], Any]) -> Any:
    """Return what the library reports, or None: "not supported", in the words of any driver."""
    try:
        return read()
    except Exception:
        return None
