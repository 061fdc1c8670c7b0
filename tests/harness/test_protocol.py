"""The channel carries JSON lines, tells silence from the end, and takes no garbage."""

from __future__ import annotations

import math
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.protocol import Channel, Closed, ProtocolError

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def line() -> Iterator[tuple[Channel, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours), theirs


@given(st.lists(st.dictionaries(st.text(), JSON, max_size=4), max_size=5))
def test_what_is_sent_arrives_in_order(messages: list[dict]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        here, there = Channel(ours), Channel(theirs)
        for message in messages:
            here.send(message)
        assert [there.receive(1) for _ in messages] == messages


def test_numbers_that_are_not_finite_become_null(line: tuple[Channel, socket.socket]) -> None:
    channel, other = line
    channel.send({"loss": math.nan, "more": [math.inf, 1.5]})
    assert Channel(other).receive(1) == {"loss": None, "more": [None, 1.5]}


def test_silence_times_out(line: tuple[Channel, socket.socket]) -> None:
    with pytest.raises(TimeoutError):
        line[0].receive(0.01)


def test_what_came_while_nobody_looked_is_read_though_time_is_over(
    line: tuple[Channel, socket.socket],
) -> None:
    channel, far = line
    far.sendall(b'{"event": "done"}\n')
    assert channel.receive(0.0) == {"event": "done"}
    with pytest.raises(TimeoutError):
        channel.receive(0.0)


def test_half_a_message_times_out_and_is_not_lost(line: tuple[Channel, socket.socket]) -> None:
    channel, other = line
    other.sendall(b'{"a": ')
    with pytest.raises(TimeoutError):
        channel.receive(0.01)
    other.sendall(b"1}\n")
    assert channel.receive(1) == {"a": 1}


def test_an_end_in_the_middle_of_a_message_is_an_end(line: tuple[Channel, socket.socket]) -> None:
    channel, other = line
    other.sendall(b'{"a": ')
    other.close()
    with pytest.raises(Closed):
        channel.receive(1)


@pytest.mark.parametrize("garbage", [b"\x00\xff\n", b"[1]\n", b"{]\n", b"3\n", b"\n"])
def test_garbage_is_refused(line: tuple[Channel, socket.socket], garbage: bytes) -> None:
    channel, other = line
    other.sendall(garbage)
    with pytest.raises(ProtocolError, match="not a message"):
        channel.receive(1)


def test_an_endless_line_is_refused(line: tuple[Channel, socket.socket]) -> None:
    channel, other = line

    def flood() -> None:
        block = b"x" * 2**20
        try:
            for _ in range(20):
                other.sendall(block)
        except OSError:
            return

    sender = threading.Thread(target=flood, daemon=True)
    sender.start()
    with pytest.raises(ProtocolError, match="longer than"):
        channel.receive(10)
    channel.close()
    sender.join(5)
    assert not sender.is_alive()
