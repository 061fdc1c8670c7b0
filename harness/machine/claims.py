"""Runs on one machine see each other: each holds a lock for every core and card that it uses.

The locks are files in the folder for temporary files, whoever the runs belong to. The system gives a
lock up when its holder ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from harness.machine import file_lock, processors
from harness.machine.processors import Core

FOLDER = "samestep-locks"
POLL_SECONDS = 0.5

_GATE = "gate"
"""Held while cores are tried: of two runs that start at once, one gets all that it needs."""

Waiting = Callable[[Sequence[int], Sequence[int]], None]
"""Called once where a run has to wait: with the processors and the cards that others have."""


@dataclass(frozen=True)
class Claim:
    """The processors that a run's workers may use.

    `spare` are those that it leaves to the rest of the machine while it times, so that workers may start
    there, too. `others` are those that other runs have, None where that cannot be known; `waited` are
    seconds.
    """

    processors: Sequence[int]
    spare: Sequence[int] = ()
    others: Sequence[int] | None = None
    waited: float = 0.0


@contextmanager
def claimed(
    threads: int, cards: Sequence[int], waiting: Waiting, spared: int = 0
) -> Iterator[Claim]:
    """Hold as many cores as the threads need, `spared` beside them, and the cards, while the block runs.

    Waits while other runs hold them. Where no lock can be kept, there is no waiting.
    """
    everything = processors.cores()
    needed = min(threads + spared, len(everything))
    try:
        folder = _folder()
        attempt = _wait_for(folder, everything, needed, cards, waiting)
    except OSError:
        yield Claim(*_shared_out(everything[:needed], threads, spared))
        return
    try:
        timed, spare = _shared_out(attempt.free, threads, spared)
        yield Claim(timed, spare, _flat(attempt.taken), attempt.waited)
    finally:
        attempt.release()


def _shared_out(free: Sequence[Core], threads: int, spared: int) -> tuple[list[int], list[int]]:
    """Return the processors to time on, and those that are spared."""
    timed = processors.spread(free, threads)
    return timed, [cpu for cpu in processors.spread(free, threads + spared) if cpu not in timed]


def in_words(taken: Sequence[int], cards: Sequence[int]) -> str:
    """Say which processors and cards another run uses."""
    kind = "processor" if len(taken) == 1 else "processors"
    named = [f"{kind} {processors.in_words(taken)}"] if taken else []
    named += [f"card {card}" for card in cards]
    return f"another run uses {' and '.join(named)}"


@dataclass
class _Attempt:
    """What one look at all locks came to: the cores that are now held, and those that others have."""

    free: list[Core]
    taken: list[Core]
    taken_cards: list[int]
    descriptors: list[int]
    waited: float = 0.0

    def release(self) -> None:
        while self.descriptors:
            os.close(self.descriptors.pop())


def _wait_for(
    folder: Path, everything: Sequence[Core], needed: int, cards: Sequence[int], waiting: Waiting
) -> _Attempt:
    """Try again and again; return the attempt that holds all that is needed. Raises OSError."""
    began, announced = time.monotonic(), False
    while True:
        attempt = _try(folder, everything, needed, cards)
        if len(attempt.free) == needed and not attempt.taken_cards:
            attempt.waited = time.monotonic() - began if announced else 0.0
            return attempt
        attempt.release()
        if not announced:
            waiting(_flat(attempt.taken), attempt.taken_cards)
            announced = True
        time.sleep(POLL_SECONDS)


def _try(folder: Path, everything: Sequence[Core], needed: int, cards: Sequence[int]) -> _Attempt:
    """Look at every lock, and hold the first cores that are free. Raises OSError."""
    gate = _open(folder / _GATE)
    attempt = _Attempt([], [], [], [])
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        for core in everything:
            descriptor = _lock(folder / f"core-{core[0]}")
            if descriptor is None:
                attempt.taken.append(core)
            elif len(attempt.free) == needed:
                os.close(descriptor)
            else:
                attempt.free.append(core)
                attempt.descriptors.append(descriptor)
        for card in cards:
            descriptor = _lock(folder / f"card-{card}")
            if descriptor is None:
                attempt.taken_cards.append(card)
            else:
                attempt.descriptors.append(descriptor)
    except BaseException:
        attempt.release()
        raise
    finally:
        os.close(gate)
    return attempt


def _lock(path: Path) -> int | None:
    """Take a lock; return its descriptor, or None where another holds it. Raises OSError."""
    descriptor = _open(path)
    if file_lock.take(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def _open(path: Path) -> int:
    """Open a lock's file, which any user may open. It stays: a file made anew would be another lock."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    with suppress(FileExistsError, PermissionError):  # another user's, in a folder that keeps it so
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)
        os.fchmod(descriptor, 0o644)  # whatever the umask
        return descriptor
    return os.open(path, flags)


def _folder() -> Path:
    """Return the folder of the locks, in which every user may make one. Raises OSError."""
    folder = Path(tempfile.gettempdir()) / FOLDER
    with suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o1777)
    return folder


def _flat(cores: Sequence[Core]) -> list[int]:
    return sorted(cpu for core in cores for cpu in core)
