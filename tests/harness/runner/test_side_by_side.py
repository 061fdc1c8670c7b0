"""Lanes: every session once, one at a time on a lane, and nothing left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.runner.side_by_side import side_by_side


class Session:
    """Stands for a launch."""

    killed = False

    def kill(self) -> None:
        self.killed = True


def hand_out(sessions: list[Any]) -> Any:
    return partial(next, iter([*sessions]), None)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 12), st.integers(1, 3))
def test_every_session_is_worked_on_once_and_a_lane_has_one_at_a_time(count: int, n: int) -> None:
    sessions: list[Any] = [Session() for _ in range(count)]
    lanes, worked, done, busy = [[lane] for lane in range(n)], [], [], set[int]()

    def work(session: Any, lane: Sequence[int]) -> None:
        assert lane[0] not in busy
        busy.add(lane[0])
        time.sleep(0.0005)
        worked.append(session)
        busy.discard(lane[0])

    side_by_side(lanes, sessions, hand_out(sessions), work, done.append)
    assert sorted(map(id, worked)) == sorted(map(id, done)) == sorted(map(id, sessions))


def test_lanes_work_at_the_same_time() -> None:
    sessions: list[Any] = [Session(), Session()]
    both = threading.Barrier(2, timeout=20)  # a lane alone would wait in vain
    side_by_side(
        [[0], [1]], sessions, hand_out(sessions), lambda session, lane: both.wait(), lambda _: None
    )


def test_sessions_start_and_end_in_the_calling_thread() -> None:
    sessions: list[Any] = [Session() for _ in range(4)]
    hand, threads = hand_out(sessions), list[Any]()

    def next_session() -> Any:
        threads.append(threading.current_thread())
        return hand()

    side_by_side(
        [[0], [1]],
        sessions,
        next_session,
        lambda session, lane: None,
        lambda _: threads.append(threading.current_thread()),
    )
    assert len(threads) >= 9 and {*threads} == {threading.current_thread()}


def test_where_none_can_start_yet_it_is_asked_again_once_another_is_done() -> None:
    first, second = Session(), Session()
    done: list[Any] = []

    def next_session() -> Any:
        if not done and first not in started:
            started.append(first)
            return first
        if done and second not in started:
            started.append(second)
            return second
        return None

    started: list[Any] = []
    side_by_side([[0], [1]], started, next_session, lambda session, lane: None, done.append)
    assert done == [first, second]


@pytest.mark.parametrize("place", ["work", "done", "next"])
def test_an_exception_kills_all_that_started(place: str) -> None:
    sessions: list[Any] = [Session() for _ in range(3)]
    hand, count = hand_out(sessions), [0]

    def stop(where: str) -> None:
        count[0] += where == place
        if where == place and count[0] == 2:
            raise KeyboardInterrupt

    def next_session() -> Any:
        stop("next")
        return hand()

    with pytest.raises(KeyboardInterrupt):
        side_by_side(
            [[0]],
            sessions,
            next_session,
            lambda session, lane: stop("work"),
            lambda session: stop("done"),
        )
    assert all(session.killed for session in sessions)
