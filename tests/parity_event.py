"""A parity event of a cell, as a journal holds it, for made-up runs."""

from __future__ import annotations

from typing import Any

from harness.verdicts import BEFORE, EQUIVALENT, NOT_EQUIVALENT, UNDECIDED

TENSOR = "gradient of dense1.bias at step 1"
"""The tensor nearest its bound, and of an undecided cell the one that nothing was shown for."""

_SHARES = {EQUIVALENT: 0.1, UNDECIDED: 0.2, NOT_EQUIVALENT: 3000.0}
_SENTENCES = {
    EQUIVALENT: "equivalent",
    UNDECIDED: f"undecided: {TENSOR}",
    NOT_EQUIVALENT: "not equivalent: gradient of dense1.bias is off by 3e-2",
}


def parity_event(verdict: str = EQUIVALENT, **changes: Any) -> dict[str, Any]:
    """Return the fields of the event; `changes` replace or add some."""
    share, effect = _SHARES[verdict], 2.0
    bound = 0.6 * effect if verdict == UNDECIDED else 1e-5 * effect

    def check(name: str, share: float, bound: float) -> dict[str, Any]:
        sizes = {"error": share * bound, "bound": bound, "effect": effect}
        largest = {"largest": share * bound, "largest_bound": bound, "largest_effect": effect}
        return {
            "tensor": f"gradient of {name}",
            "when": "at step 1",
            **sizes,
            **largest,
            "share": share,
        }

    return {
        "when": BEFORE,
        "verdict": verdict,
        "sentence": _SENTENCES[verdict],
        "hint": None,
        "steps": 20,
        "seconds": 0.4,
        "worst_share": share,
        "worst_tensor": TENSOR,
        "undecided": [TENSOR] if verdict == UNDECIDED else [],
        "checks": [check("conv1.weight", 0.02, 2e-5), check("dense1.bias", share, bound)],
        **changes,
    }
