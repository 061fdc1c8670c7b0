"""Standard output and error that fail no command: what cannot be written is dropped, and reported."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


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
    """Make sys.stdout and sys.stderr lenient in the block; yields the former, None where it is closed."""
    before = sys.stdout, sys.stderr
    out, err = (None if stream is None else LenientStream(stream) for stream in before)
    sys.stdout, sys.stderr = out, err
    try:
        yield out
    finally:
        for stream in (out, err):
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before
