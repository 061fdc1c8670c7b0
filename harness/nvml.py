"""NVIDIA's driver, asked through its library; where there is none, there are no GPUs and a reason."""

from __future__ import annotations

from typing import Any


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
            self.reason = f"the NVIDIA driver does not tell of its GPUs ({error})"
        else:
            self.reason = None if self.handles else "the driver shows no GPU"

    def processes(self) -> list[dict[int, int | None]]:
        """Return, GPU by GPU, which processes compute on it and the bytes each holds there.

        The numbers are the host's: inside a container they may be missing, or not those seen there.
        Bytes are None where the driver does not tell (Windows, some virtual GPUs).
        """
        return [self._processes(handle) for handle in self.handles]

    def _processes(self, handle: Any) -> dict[int, int | None]:
        try:
            found = self.library.nvmlDeviceGetComputeRunningProcesses(handle)
        except Exception:  # an old driver, a GPU cut in parts
            return {}
        return {int(one.pid): one.usedGpuMemory for one in found}

    def memory_of(self, pid: int) -> int | None:
        """Return the bytes that a process holds on all GPUs; None where the driver does not tell."""
        held = [processes[pid] for processes in self.processes() if pid in processes]
        known = [size for size in held if size is not None]
        return sum(known) if held and len(known) == len(held) else None
