"""How a command fails: what a user can put right is one line, a signal is an exit status."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from click.core import ParameterSource

from harness.output import LenientStream, fill_closed_streams, lenient_output
from harness.paths import cache_hint
from harness.signals import Terminated, terminated_by_signals
from harness.text import plain
from workloads.errors import UserError

INTERRUPTED = 128 + signal.SIGINT
"""The exit status after Ctrl-C, as shells have it."""


class Refused(click.ClickException):
    """One line for the user, a hint below it where there is one, and the exit status."""

    def __init__(self, error: UserError) -> None:
        super().__init__("\n".join(filter(None, (plain(error), plain(error.hint)))))
        self.exit_code = error.exit_status  # type: ignore[misc]


class LenientGroup(click.Group):
    """A program whose help and refusals, printed before any command begins, give no traceback."""

    def main(self, *args: Any, **options: Any) -> Any:
        """As click's; exit status 2 where help cannot be written, 1 where its reader has gone."""
        fill_closed_streams()
        with lenient_output() as output:
            try:
                return super().main(*args, **options)
            except SystemExit as end:
                if not end.code:
                    _check_written(output)
                raise


def plainly(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn errors that the user can put right into one line, and signals into their exit status.

    What is printed fails no command that has an exit status of its own.
    """

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        _ignore_no_width()
        with terminated_by_signals(), lenient_output() as output:
            try:
                _refuse_empty_words()
                result = command(*args, **kwargs)
            except UserError as error:
                raise Refused(error) from error
            except OSError as error:
                raise Refused(UserError(_in_one_line(error), cache_hint(error))) from error
            except MemoryError as error:
                raise Refused(
                    UserError(f"memory does not suffice: {error}".rstrip(" :"))
                ) from error
            except Terminated as end:
                click.echo(_ended(f"ended by {end}", end), err=True)
                sys.exit(128 + end.number)
            except KeyboardInterrupt as end:
                click.echo(_ended("interrupted", end), err=True)
                sys.exit(INTERRUPTED)
            except SystemExit:
                if failure := output and output.take_failure():
                    click.echo(_not_written(failure), err=True)
                raise
            _check_written(output)
        return result

    return wrapped


def _ended(how: str, end: KeyboardInterrupt) -> str:
    """Say how a command ended, and by its notes how it goes on."""
    notes = getattr(end, "__notes__", [])
    return "\n".join([f"{how}; what was measured until now is saved", *notes])


def _ignore_no_width() -> None:
    """Take COLUMNS=0 for unset: tables of no width would be printed as nothing."""
    if not os.environ.get("COLUMNS", "").strip("0"):
        os.environ.pop("COLUMNS", None)


def _refuse_empty_words() -> None:
    """Raise UserError where an option or an argument of the command was given as an empty word."""
    context = click.get_current_context()
    for param in context.command.params:
        source = context.get_parameter_source(param.name or "")
        value = context.params.get(param.name or "")
        values = value if isinstance(value, tuple) else (value,)
        empty = [word for word in values if isinstance(word, str) and not word.strip()]
        if source is ParameterSource.COMMANDLINE and empty:
            name = param.opts[0] if isinstance(param, click.Option) else param.human_readable_name
            raise UserError(f'{name} "{empty[0]}": an empty word; leave it out, or give one')


def _check_written(output: LenientStream | None) -> None:
    """End with 2 where what a command is for was not printed; with 1 where its reader has gone.

    So `... | head` ends every program: that is no news for anyone.
    """
    failure = output and output.take_failure()
    if isinstance(failure, BrokenPipeError):
        sys.exit(1)
    if failure:
        click.echo(f"Error: {_not_written(failure)}", err=True)
        sys.exit(2)


def _not_written(failure: OSError | ValueError) -> str:
    reason = _in_one_line(failure) if isinstance(failure, OSError) else failure
    return f"standard output cannot be written: {reason}"


def _in_one_line(error: OSError) -> str:
    """Name the file and what the system said of it."""
    if isinstance(error, FileNotFoundError) and error.filename is None:  # as os.getcwd has it
        return "the current folder was removed: change to another one"
    reason = error.strerror or str(error)
    return reason if error.filename is None else f"{error.filename}: {reason}"
