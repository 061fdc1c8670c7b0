"""What the command line takes besides words and numbers: durations, parts, names with a path."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import click

from harness.paths import expanded


def parse_duration(text: str) -> float:
    """Return the seconds of a text as ``90``, ``90s``, ``2m`` or ``1h``.

    Raises:
        ValueError: it is none of these, or not more than 0.
    """
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:])
    try:
        seconds = float(text[:-1] if unit else text) * (unit or 1)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f'"{text}": give a time as 90s, 2m or 1h')
    return seconds


class Parsed(click.ParamType):
    """A number that `parse` reads; what its ValueError says goes to the user."""

    @staticmethod
    def parse(text: str) -> float:
        """Return the number. Raises ValueError."""
        raise NotImplementedError

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Parse `value`."""
        try:
            return self.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Duration(Parsed):
    """A time as ``90s``, ``2m`` or ``1h``, in seconds."""

    name = "time"
    parse = staticmethod(parse_duration)


def parse_percent(text: str) -> float:
    """Return the part of one that a text as ``2%`` says.

    Raises:
        ValueError: it is no such text, or not between 0% and 100%.
    """
    try:
        part = float(text.removesuffix("%")) / 100 if text.endswith("%") else math.nan
    except ValueError:
        part = math.nan
    if not 0 < part < 1:
        raise ValueError(f'"{text}": give a part in percent, as 2%')
    return part


class Percent(Parsed):
    """A part as ``2%``, of one."""

    name = "percent"
    parse = staticmethod(parse_percent)


class Numbers(click.ParamType):
    """Numbers with commas between them, as a tuple; each is held to the range of `number`."""

    def __init__(self, number: click.ParamType, *, several: bool = True) -> None:
        self._number, self._several = number, several
        self.name = f"{number.name},..." if several else number.name

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Parse `value`."""
        words = [word.strip() for word in str(value).split(",")]
        if len(words) > 1 and not self._several:
            self.fail(
                f'"{value}": give one number; several are a sweep, which `run` makes', param, ctx
            )
        numbers = tuple(self._number.convert(word, param, ctx) for word in words)
        if not all(map(math.isfinite, numbers)):
            self.fail(f'"{value}": give finite numbers', param, ctx)
        return numbers


class Named(click.ParamType):
    """``NAME=PATH``, PATH an existing file."""

    name = "NAME=PATH"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Path]:
        """Parse `value`."""
        name, equals, path = value.partition("=")
        if not (name and equals and path):
            self.fail(f'"{value}": give a framework and its python, as NAME=/path/to/python')
        # Not resolved: a virtual environment's python is a link, and what it links to is not it.
        return name, Path(expanded(path)).absolute()


class Folder(click.Path):
    """A folder; a `~` that the shell has left, as in ``--out=~/runs``, is the user's home."""

    def __init__(self, *, exists: bool = False) -> None:
        super().__init__(exists=exists, file_okay=False, path_type=str)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Expand and check `value`; an empty word would be the folder that one is in."""
        folder = expanded(str(value))
        if not folder.strip():
            self.fail(f'"{value}": an empty word; leave it out, or name a folder', param, ctx)
        if folder.startswith("~"):
            self.fail(f'"{value}": there is no such home folder; give a whole path', param, ctx)
        if os.path.lexists(folder) and not Path(folder).is_dir():  # pipes and broken links, too
            self.fail(f'"{value}": is no folder; name one', param, ctx)
        return Path(str(super().convert(folder, param, ctx)))


class Device(click.ParamType):
    """``cpu``, ``cuda``, ``cuda:1`` (the second card), or ``auto``."""

    name = "device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check `value`."""
        from harness.machine import devices  # imports numpy, which help does without

        if value != "auto" and not devices.NAME.fullmatch(value):
            self.fail(f'"{value}": give cpu, cuda, cuda:1 for the second card, or auto', param, ctx)
        return str(value)
