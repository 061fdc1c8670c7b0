"""Which CUDA card a build of MXNet can use. It imports no MXNet: a wrong card may end the process."""

from __future__ import annotations

import ctypes

OFFICIAL = ((5, 0), (8, 6))
"""The least and the most compute capability that the official CUDA wheels have code for, of all from
cu112 to cu117 and of 2.0.0b1. They carry no PTX, which a driver could translate for newer cards."""

_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*, from cuda.h


def capability(index: int = 0) -> tuple[int, int] | None:
    """Return a card's compute capability, from the driver, without making a context; None: unknown."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, value, numbers = ctypes.c_int(), ctypes.c_int(), []
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), index):
        return None
    for attribute in (_MAJOR, _MINOR):
        if driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device):
            return None
        numbers.append(value.value)
    return numbers[0], numbers[1]


def refusal(version: str, cuda: bool, cards: int, card: tuple[int, int] | None) -> str | None:
    """Return in one line why this build cannot use the card, or None.

    `cuda` is whether the build has CUDA, `cards` how many it sees. Of a build that is not official
    (its version has a "+") nothing is known: it is tried.
    """
    if not cuda:
        return f"MXNet {version} is a build without CUDA: take cpu, or give a CUDA build"
    if card and "+" not in version and not OFFICIAL[0] <= card <= OFFICIAL[1]:
        least, most, this_card = (".".join(map(str, pair)) for pair in (*OFFICIAL, card))
        return (
            f"the official builds of MXNet {version} carry code for compute capabilities {least} to"
            f" {most} and no PTX, and this card has {this_card}: take cpu, or give a build that knows it"
        )
    if not cards:
        return f"MXNet {version} sees no GPU: take cpu, or fix the driver"
    return None
