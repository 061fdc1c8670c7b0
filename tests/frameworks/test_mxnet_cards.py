"""Which cards MXNet's builds can use, told before one of them crashes on it."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from frameworks.mxnet import cards


def driver(capability: tuple[int, int], fails: str = "") -> type:
    """A fake of the CUDA driver's library."""

    class Library:
        def __init__(self, name: str) -> None:
            assert name == "libcuda.so.1"

        def cuInit(self, flags: int) -> int:  # noqa: N802
            return int(fails == "init")

        def cuDeviceGet(self, device: Any, index: int) -> int:  # noqa: N802
            return int(index > 0)

        def cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> int:  # noqa: N802
            value._obj.value = capability[{75: 0, 76: 1}[attribute]]
            return int(fails == "attribute")

    return Library


def test_the_cards_capability_comes_from_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", driver((9, 0)))
    assert cards.capability() == (9, 0)
    assert cards.capability(1) is None
    for fault in ("init", "attribute"):
        monkeypatch.setattr(ctypes, "CDLL", driver((9, 0), fault))
        assert cards.capability() is None

    def absent(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert cards.capability() is None


@pytest.mark.parametrize(
    ("version", "cuda", "seen", "card", "says"),
    [
        ("1.9.1", False, 0, (9, 0), "without CUDA"),
        ("1.9.1", True, 1, (9, 0), "5.0 to 8.6 and no PTX, and this card has 9.0"),
        ("2.0.0", True, 1, (10, 0), "this card has 10.0"),
        ("1.9.1", True, 0, None, "sees no GPU"),
        ("1.9.1", True, 1, (8, 6), None),
        ("1.9.1", True, 1, None, None),
        ("2.0.0+cu133.bw", True, 1, (9, 0), None),  # a community build: it is tried
    ],
)
def test_what_a_build_cannot_use_is_said(
    version: str, cuda: bool, seen: int, card: tuple[int, int] | None, says: str | None
) -> None:
    found = cards.refusal(version, cuda, seen, card)
    assert (found is None) == (says is None)
    assert says is None or says in str(found)
