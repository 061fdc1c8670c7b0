"""A device's name says which card is shown to a worker, and what it computes in."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.environments.framework_spec import discover
from harness.machine import devices
from harness.runner import plan
from workloads import spec

CARDS = [{"capability": "7.5"}, {"capability": "9.0"}]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(devices.VISIBLE, raising=False)
    monkeypatch.delenv(devices.ORDER, raising=False)


def test_a_worker_sees_its_own_card_only() -> None:
    assert devices.visible("cpu") == {"CUDA_VISIBLE_DEVICES": ""}
    assert devices.visible("cuda")["CUDA_VISIBLE_DEVICES"] == "0"
    assert devices.visible("cuda:1") == {
        "CUDA_VISIBLE_DEVICES": "1",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }


@pytest.mark.parametrize(
    ("listed", "shown", "index"),
    [("2,3", "3", 3), ("GPU-aa, GPU-bb", "GPU-bb", None), ("2", "-1", None), ("", "-1", None)],
)
def test_the_users_own_list_is_counted_in(
    monkeypatch: pytest.MonkeyPatch, listed: str, shown: str, index: int | None
) -> None:
    monkeypatch.setenv(devices.VISIBLE, listed)
    assert devices.visible("cuda:1")[devices.VISIBLE] == shown
    assert devices.index("cuda:1") == index


def test_what_is_not_here_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices.missing("cpu", []) is None
    assert "no cuda device" in str(devices.missing("cuda", []))
    assert devices.missing("cuda:1", CARDS) is None
    assert "the driver shows 2" in str(devices.missing("cuda:2", CARDS))
    monkeypatch.setenv(devices.VISIBLE, "1")
    assert "CUDA_VISIBLE_DEVICES is '1'" in str(devices.missing("cuda:1", CARDS))


def test_arithmetics_by_device() -> None:
    assert devices.precisions("all", "cpu") == ("float32",)
    assert devices.precisions("all", "cuda:1") == ("float32", "tf32", "bfloat16")
    assert devices.precisions("tf32", "cpu") == ("tf32",)  # refused later, with the reason
    assert devices.lacks("float32", "cpu", []) is None
    assert "for cuda devices" in str(devices.lacks("bfloat16", "cpu", []))
    assert devices.lacks("tf32", "cuda:1", CARDS) is None
    assert devices.lacks("tf32", "cuda", CARDS) == "tf32 needs compute capability 8.0; cuda has 7.5"


def test_cells_keep_the_device_as_given_and_have_every_arithmetic() -> None:
    framework_specs = discover()
    ranked = next(
        framework_spec
        for framework_spec in framework_specs.values()
        if not framework_spec.reference
    )
    both = {ranked.name: ranked, **{n: r for n, r in framework_specs.items() if r.reference}}
    cells = plan.cells([spec.load("mlp-digits")], both, [], ["cpu", "cuda:1"], "all")
    found = {(cell.device, cell.precision) for cell in cells if cell.framework == ranked.name}
    assert found == {("cpu", "float32"), *(("cuda:1", one) for one in devices.PRECISIONS)}
    assert [c.precision for c in cells if c.framework != ranked.name] == ["float64"]
    assert any("/cuda:1/tf32" in cell.id for cell in cells)


def test_no_framework_takes_the_whole_card_at_its_start(tmp_path: Path) -> None:
    framework_specs = discover()
    in_force = {
        name: framework_specs[name].worker_variables(device="cuda", threads=1, scratch=tmp_path)
        for name in ("jax", "mxnet", "tensorflow")
    }
    assert in_force["jax"]["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert in_force["tensorflow"]["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    # PyTorch takes what it needs, and has no variable for it; so does MXNet, unless told otherwise.
    assert in_force["mxnet"]["MXNET_GPU_MEM_POOL_TYPE"] == "Naive"


def test_the_variables_that_a_worker_starts_with(tmp_path: Path) -> None:
    for framework_spec in discover().values():
        told = framework_spec.worker_variables(device="cuda:1", threads=1, scratch=tmp_path)
        assert told[devices.VISIBLE] == "1"
        assert "cuda:1" not in told.values()
        assert (
            framework_spec.worker_variables(device="cpu", threads=1, scratch=tmp_path)[
                devices.VISIBLE
            ]
            == ""
        )
