"""What stands around the numbers, in words."""

from __future__ import annotations

import dataclasses

from harness.report import provenance
from workloads import spec
from workloads.augmentations import Crop, Flip
from workloads.optimisers import AdamW


def test_a_workloads_line_has_every_parameter_of_its_optimiser() -> None:
    workload = dataclasses.replace(spec.load("mlp-digits"), optimiser=AdamW(0.01, beta2=0.95))
    line = provenance.workload(workload.to_dict())
    assert line.endswith(
        "cross-entropy, adamw lr 0.01, weight_decay 0.0, beta1 0.9, beta2 0.95, epsilon 1e-08"
    )


def test_a_workloads_line_has_its_augmentations() -> None:
    workload = spec.load("cnn-digits").with_data(augment=(Crop(2), Flip()))
    assert "digits, augmented by crop(padding 2) flip, batch" in provenance.workload(
        workload.to_dict()
    )


def test_a_workload_of_which_little_is_known_still_has_a_line() -> None:
    assert provenance.workload({"optimiser": {"kind": "sgd", "lr": 0.1}}) == "sgd lr 0.1"
    assert provenance.workload({}) == ""
