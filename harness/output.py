"""Standard output and error that fail no command: what cannot be written is dropped, and reported."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


def fill_closed_streams() -> None:
    """Put the null device where a standard stream is closed.

    The next file opened would take its number otherwise, and a journal receive what a library prints.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "w" if descriptor else "r", closefd=False))


class LenientStream:
    """A text stream whose writes never raise. `failure` is the first error; all after it is dropped.

    Letters that the stream's encoding lacks are written as "?".
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failure: OSError | ValueError | None = None
        with suppress(AttributeError, OSError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[attr-defined]

    def write(self, text: str) -> int:
        """Write what can be written."""
        if self.failure is None:
            try:
                return self._stream.write(text)
            except (OSError, ValueError) as error:
                self._fail(error)
        return len(text)

    def flush(self) -> None:
        """Flush what can be written."""
        if self.failure is None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._fail(error)

    def take_failure(self) -> OSError | ValueError | None:
        """Flush, and return `failure`; from now on there is none until the next write fails."""
        self.flush()
        failure, self.failure = self.failure, None
        return failure

    def _fail(self, error: OSError | ValueError) -> None:
        """Keep the reason; what the stream still holds goes nowhere, or Python would fail at its exit."""
        self.failure = error
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":  # whoever writes there would be past us
            raise AttributeError(name)
        return getattr(self._stream, name)


@contextmanager
def lenient_output() -> Iterator[LenientStream | None]:
    """Make sys.stdout and sys.stderr lenient in the block; yields the former, None where it is closed.

    Blocks may be nested: an inner one takes the streams of the outer one.
    """
    before = sys.stdout, sys.stderr
    out, err = map(_lenient, before)
    sys.stdout, sys.stderr = out, err
    try:
        yield out
    finally:
        for stream in (out, err):
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before


def _lenient(stream: TextIO | LenientStream | None) -> LenientStream | None:
    return stream if stream is None or isinstance(stream, LenientStream) else LenientStream(stream)
