"""Work on several launches at a time, a lane of processors each: only what is not timed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

from harness.runner.session import WorkerSession


@contextmanager
def killed_when_stopped(sessions: Iterable[WorkerSession]) -> Iterator[None]:
    """Leave no worker behind, running or frozen, where an exception ends the block."""
    try:
        yield
    except BaseException:
        for session in sessions:
            session.kill()
        raise


def side_by_side(
    lanes: Sequence[Sequence[int]],
    sessions: Iterable[WorkerSession],
    next_session: Callable[[], WorkerSession | None],
    work: Callable[[WorkerSession, Sequence[int]], None],
    done: Callable[[WorkerSession], None],
) -> None:
    """Do `work` with one session after the other, on each lane one at a time; then call `done`.

    `next_session` returns None where none can start now. It and `done` are called by this thread: the
    system ends a worker when the thread that started it ends. `sessions` are all that started: they are
    killed where an exception comes.
    """
    idle, running = [*lanes], dict[Future[None], tuple[WorkerSession, Sequence[int]]]()
    with ThreadPoolExecutor(len(lanes)) as pool, killed_when_stopped(sessions):
        while True:
            while idle and (session := next_session()) is not None:
                lane = idle.pop(0)
                running[pool.submit(work, session, lane)] = session, lane
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                session, lane = running.pop(future)
                idle.append(lane)
                future.result()
                done(session)
