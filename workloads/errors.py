"""What a user can put right: the base of every error that is shown as one line, not as a traceback."""

from __future__ import annotations

from typing import ClassVar


class UserError(Exception):
    """Wrong use, bad input or something missing.

    The message says what was wrong and where; `hint` what to do, where the message does not.
    `exit_status` is the command's.
    """

    exit_status: ClassVar[int] = 2

    def __init__(self, message: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
