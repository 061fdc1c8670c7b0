"""The messages between the harness and a worker: one JSON object a line, over a socket of their own.

Jobs go in: ``{"job": name, "id": n, ...}``. Events come out, each with the id of its job:
``{"event": "progress", "id": n, ...}`` any number of times, then one of
``{"event": "done", "id": n, "result": {...}}`` and ``{"event": "failed", "id": n, ...}``.

The socket is neither standard output nor standard error, so whatever a framework prints cannot
corrupt it. Arrays travel as .npy files whose paths the messages hold. Standard library only.
"""

from __future__ import annotations

import json
import math
import socket
import time
from typing import Any

VERSION = 7
"""Raised when a message changes its meaning; both sides compare it in the first job."""

_LONGEST_LINE = 16 * 2**20


class ProtocolError(RuntimeError):
    """What came over the channel is no message."""


class Closed(ProtocolError):
    """The other side is gone."""


class Channel:
    """One end of the line."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._buffer = bytearray()

    def send(self, message: dict[str, Any]) -> None:
        """Send one message. Numbers that are not finite become null. Raises Closed."""
        line = json.dumps(_finite(message), allow_nan=False).encode() + b"\n"
        try:
            self._socket.settimeout(None)
            self._socket.sendall(line)
        except OSError as error:
            raise Closed(f"the channel is closed: {error}") from error

    def receive(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait for the next message, at most `timeout` seconds.

        Raises:
            TimeoutError: none came in time.
            Closed: the other side closed the channel.
            ProtocolError: what came is not a JSON object on one line.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while b"\n" not in self._buffer:
            if len(self._buffer) > _LONGEST_LINE:
                raise ProtocolError(f"a line longer than {_LONGEST_LINE} bytes came")
            self._fill(deadline)
        line, _, remainder = bytes(self._buffer).partition(b"\n")
        self._buffer = bytearray(remainder)
        try:
            message = json.loads(line)
        except ValueError as error:
            raise ProtocolError(f"not a message: {line[:80]!r}") from error
        if not isinstance(message, dict):
            raise ProtocolError(f"not a message: {line[:80]!r}")
        return message

    def _fill(self, deadline: float | None) -> None:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            # Also when time is over: what came while this process was stopped (Ctrl-Z) is there.
            self._socket.settimeout(left)
            data = self._socket.recv(65536)
        except (TimeoutError, BlockingIOError):
            raise TimeoutError("no message in time") from None
        except OSError as error:
            raise Closed(f"the channel is closed: {error}") from error
        if not data:
            raise Closed("the channel is closed")
        self._buffer += data

    def close(self) -> None:
        """Close this end."""
        self._socket.close()


def _finite(value: Any) -> Any:
    """Return `value` with every NaN and infinity as None: JSON has no word for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
