"""SIGTERM, SIGHUP and the like end a command as Ctrl-C does: what was measured is saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = "TERM HUP QUIT USR1 USR2 XCPU PWR ALRM VTALRM PROF IO"
ENDING = tuple(
    getattr(signal, f"SIG{name}") for name in _NAMES.split() if hasattr(signal, f"SIG{name}")
)
"""Sent by a CI job's time limit, a container's stop, a terminal that is closed, Ctrl-\\, a batch system
ahead of its time limit, `ulimit -t`, a power supply; and what else ends a process by default."""


class Terminated(KeyboardInterrupt):
    """A signal of ENDING arrived: `number`. Whatever ends well on Ctrl-C does on this one."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def terminated_by_signals() -> Iterator[None]:
    """Raise Terminated in the block at the first signal of ENDING; those that follow are ignored.

    Shells and batch systems often send more than one, and the end must not be cut short. A signal that
    is ignored already (nohup) stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return

    def end(number: int, frame: FrameType | None) -> None:
        for handled in before:
            signal.signal(handled, lambda number, frame: None)
        raise Terminated(number)

    listened = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.getsignal(number) for number in listened}
    for number in listened:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
