"""Why a framework cannot use a card is told before anything is built."""

from __future__ import annotations

import pytest

from harness.environments import builder, gpu_support
from harness.environments.builder import Unavailable
from harness.environments.framework_spec import discover

H200 = {"name": "NVIDIA H200", "capability": "9.0", "driver": "580.65.06"}


def test_a_framework_without_a_build_for_the_card_says_exactly_why() -> None:
    reason = str(gpu_support.refusal(discover()["mxnet"], H200, has_interpreter=False))
    assert reason.startswith("runs on cpu, not on cuda: ")
    assert "11.2 to 11.7) hold code for compute capabilities 5.0 to 8.6 and no PTX" in reason
    assert "this card, NVIDIA H200, has compute capability 9.0" in reason
    assert reason.endswith("--interpreter mxnet=PYTHON")
    assert "this card" not in str(
        gpu_support.refusal(discover()["mxnet"], None, has_interpreter=False)
    )


def test_an_interpreter_of_ones_own_is_tried() -> None:
    spec = discover()["mxnet"]
    assert gpu_support.refusal(spec, H200, has_interpreter=True) is None
    with pytest.raises(Unavailable, match="not on cuda"):
        builder.prepare(spec, "cuda")


@pytest.mark.parametrize(
    ("driver", "fits"),
    [
        ("580.65.06", {"jax", "pytorch", "tensorflow"}),
        ("570.124", {"tensorflow"}),
        ("525.60.13", {"tensorflow"}),
        ("470.82", set()),
        (None, {"jax", "pytorch", "tensorflow"}),  # not told: tried
    ],
)
def test_which_lock_fits_the_driver(driver: str | None, fits: set[str]) -> None:
    card, framework_specs = {**H200, "driver": driver}, discover()
    assert {
        name for name, r in framework_specs.items() if gpu_support.lock_that_fits(r, card)
    } == fits
    for name in ("jax", "pytorch", "tensorflow"):
        refusal = gpu_support.refusal(framework_specs[name], card, has_interpreter=False)
        assert (refusal is None) == (name in fits)
        assert refusal is None or "need an NVIDIA driver" in refusal
        assert gpu_support.refusal(framework_specs[name], card, has_interpreter=True) is None
