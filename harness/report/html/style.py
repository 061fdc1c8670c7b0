"""How a cell looks in every plot: a colour and a symbol a framework, a filling a mode."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pandas as pd

COLOURS = 8
"""How many colours style.css has, as --c0, --c1 and so on; the colour-blind can distinguish them too."""

GREY = "--soft"
"""What is no contestant: the reference, a warm-up."""

MUTE = "--mute"
"""What a framework brings along before it works."""

SYMBOLS = (
    "pentagon",
    "hexagon",
    "circle",
    "star-diamond",
    "square",
    "triangle-down",
    "diamond",
    "triangle-up",
)
_FILLINGS = ("-open", "", "-open-dot", "-dot")
_DASHES = ("dash", "solid", "dot", "dashdot")

LONGEST = 30
"""Letters of a name in a plot; the table and the details have all."""


@dataclass(frozen=True)
class Style:
    """A colour (the name of a CSS variable), a plot symbol, a line's dashes."""

    colour: str
    symbol: str
    dash: str

    @property
    def stroke(self) -> str:
        """The line's dashes as SVG has them."""
        return {"dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3"}.get(self.dash, "none")


def styles(cells: pd.DataFrame) -> dict[int, Style]:
    """Return every cell's style by its id; a framework keeps its colour from report to report."""
    places = _places(sorted(set(cells["framework"])))
    modes: dict[str, list[str]] = {}
    for framework, mode in zip(cells["framework"], cells["mode"], strict=True):
        seen = modes.setdefault(framework, [])
        if mode not in seen:
            seen.append(mode)
    return {
        cell["id"]: Style(GREY, "cross-thin-open", "dot")
        if cell["reference"]
        else _style(places[cell["framework"]], modes[cell["framework"]].index(cell["mode"]))
        for cell in cells.to_dict("records")
    }


def short(label: str) -> str:
    """A name that leaves room for the plot."""
    return label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…"


def text(foreign: object) -> str:
    """A text with nothing in it that the plot library would take for markup."""
    return str(foreign).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _style(place: int, mode: int) -> Style:
    filling = mode % len(_FILLINGS)
    symbol = SYMBOLS[place % len(SYMBOLS)] + _FILLINGS[filling]
    return Style(f"--c{place % COLOURS}", symbol, _DASHES[filling])


def _places(names: list[str]) -> dict[str, int]:
    """A place a name, by the name's hash so that it stays; where it is taken, the next one.

    Releases of a framework are names of their own, and come after the frameworks as they are here.
    """
    places: dict[str, int] = {}
    for name in sorted(names, key=lambda name: "@" in name):
        place = hashlib.md5(name.encode(), usedforsecurity=False).digest()[0] % COLOURS
        if len(places) < COLOURS:
            while place in places.values():
                place = (place + 1) % COLOURS
        places[name] = place
    return places
