"""Devices by name (cpu, cuda, cuda:N): which card is meant, and what arithmetic it has.

Cards are numbered as the driver numbers them, by their place on the bus; where CUDA_VISIBLE_DEVICES
is set, cuda:N is the Nth of those that it lists.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from frameworks.contract import PRECISIONS

CPU, CUDA = "cpu", "cuda"
NAME = re.compile(r"cpu|cuda(:\d+)?")

VISIBLE, ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"

TENSOR_CORES = (8, 0)
"""The compute capability from which cards multiply in TF32 and in bfloat16."""

Card = Mapping[str, Any]
"""A card as `host.gpus` describes it."""


def kind(device: str) -> str:
    """Return cpu or cuda."""
    return device.partition(":")[0]


def visible(device: str) -> dict[str, str]:
    """Return the variables that show a process the device's card and no other: there it is cuda."""
    if kind(device) == CPU:
        # A build that finds a GPU makes a context on it, which would count as its memory.
        return {VISIBLE: ""}
    return {VISIBLE: _entry(device) or "-1", ORDER: os.environ.get(ORDER, "PCI_BUS_ID")}


def _entry(device: str) -> str | None:
    """Return the card as CUDA_VISIBLE_DEVICES names it: a number, or what the user wrote there."""
    number = int(device.partition(":")[2] or 0)
    listed = os.environ.get(VISIBLE)
    if listed is None:
        return str(number)
    words = [word.strip() for word in listed.split(",") if word.strip()]
    return words[number] if number < len(words) else None


def index(device: str) -> int | None:
    """Return the driver's number of a device's card; None for the CPU, or where it has a name only."""
    entry = None if kind(device) == CPU else _entry(device)
    return int(entry) if entry and entry.isdigit() else None


def indices(names: Iterable[str]) -> list[int]:
    """Return the driver's numbers of the cards among some devices, where they are known."""
    return [number for number in map(index, names) if number is not None]


def card(device: str, cards: Sequence[Card]) -> Card | None:
    """Return the device's card among those that the driver shows; None where that is unknown."""
    number = index(device)
    return cards[number] if number is not None and number < len(cards) else None


def missing(device: str, cards: Sequence[Card]) -> str | None:
    """Return in one line why there is no such device here, or None."""
    if kind(device) == CPU:
        return None
    if not cards:
        return (
            f"no such device: no {device} device and driver found on this machine: `doctor` says what"
            " it looked for, and --device cpu needs none"
        )
    if _entry(device) is None:
        return f"no such device: {device}: {VISIBLE} is {os.environ.get(VISIBLE)!r}"
    if index(device) is not None and card(device, cards) is None:
        return f"no such device: {device}: the driver shows {len(cards)}, from cuda:0"
    return None


def precisions(precision: str, device: str) -> tuple[str, ...]:
    """Return the arithmetics that `precision` means on a device; "all" is what such devices have."""
    if precision != "all":
        return (precision,)
    return PRECISIONS if kind(device) == CUDA else PRECISIONS[:1]


def lacks(precision: str, device: str, cards: Sequence[Card]) -> str | None:
    """Return in one line why a device does not compute in a precision, or None."""
    if precision not in PRECISIONS[1:]:
        return None
    if kind(device) == CPU:
        return f"{precision} is for cuda devices: on a CPU it is slow or not there at all"
    capability = (card(device, cards) or {}).get("capability")
    if capability and version(capability) < TENSOR_CORES:
        needed = ".".join(map(str, TENSOR_CORES))
        return f"{precision} needs compute capability {needed}; {device} has {capability}"
    return None


def version(text: str) -> tuple[int, ...]:
    """Return a version's numbers, to be compared."""
    return tuple(int(word) for word in re.findall(r"\d+", text))
