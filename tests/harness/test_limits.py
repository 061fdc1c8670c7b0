"""What no machine holds is refused by counting, with file and key, before memory is taken."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.machine import host
from harness.runner import profile
from tests.toy_request import toy_request
from workloads import spec
from workloads.errors import UserError
from workloads.reading import SpecError

NET = """
title = "a net"
loss = "cross-entropy"
[data]
dataset = "digits"
batch = {batch}
epochs = {epochs}
[init]
kind = "uniform-fan-in"
[optimiser]
kind = "sgd"
lr = 0.1
"""
DENSE = """
[[layers]]
kind = "flatten"
[[layers]]
kind = "dense"
units = {units}
[[layers]]
kind = "dense"
units = 10
"""


@pytest.fixture(autouse=True)
def eight_gigabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "memory_there", lambda: 8 * 2**30)


def written(
    folder: Path, batch: int = 32, epochs: int = 1, units: int = 8, layers: str = ""
) -> str:
    path = folder / "net.toml"
    text = NET.format(batch=batch, epochs=epochs) + (layers or DENSE.format(units=units))
    path.write_text(text)
    return str(path)


def refused(root: Path, path: str, **options: Any) -> str:
    """The error, which has to come before any memory to speak of is taken."""
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as error:
            toy_request(root, workloads=[path], **options)
        assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    finally:
        tracemalloc.stop()
    return str(error.value)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"units": 2_000_000_000}, r"layers[1] (dense): units = 2000000000: a training step takes"),
        ({"units": 2**62}, f"layers[1] (dense): units = {2**62}: a training step takes"),
        ({"epochs": 1_000_000_000}, "[data]: epochs = 1000000000: 44,000,000,000 training steps"),
        ({"epochs": 2_000_000}, "[data]: epochs = 2000000: the order of its batches takes"),
        ({"epochs": 2**62}, f"[data]: epochs = {2**62}:"),
        ({"batch": 2_000_000_000}, "[data]: batch = 2000000000: a training step takes"),
    ],
)
def test_a_file_that_asks_for_too_much_is_refused_with_its_key(
    toy_root: Path, tmp_path: Path, values: dict[str, int], says: str
) -> None:
    path = written(tmp_path, **values)
    told = refused(toy_root, path)
    assert told.startswith(f"{path}: {says}")
    assert "8.0 GiB" in told or "at most 100,000,000" in told


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        (
            'kind = "conv2d"\nfilters = 4\nkernel = 3\npadding = 1000000',
            "layers[0] (conv2d): padding",
        ),
        ('kind = "conv2d"\nfilters = 2000000000\nkernel = 3', "layers[0] (conv2d): filters"),
        ('kind = "padchannels"\nchannels = 2000000000', "layers[0] (padchannels): channels"),
        (
            'kind = "residual"\nbody = [{kind = "padchannels", channels = 2000000000}]\n'
            'shortcut = [{kind = "padchannels", channels = 2000000000}]',
            "layers[0] (padchannels): channels",
        ),
    ],
)
def test_every_kind_of_layer_is_counted(
    toy_root: Path, tmp_path: Path, layers: str, says: str
) -> None:
    rest = '[[layers]]\nkind = "globalavgpool"\n[[layers]]\nkind = "dense"\nunits = 10\n'
    path = written(tmp_path, layers=f"[[layers]]\n{layers}\n{rest}")
    assert says in refused(toy_root, path)


@pytest.mark.parametrize(
    ("accumulate", "options", "says"),
    [
        (45, {}, "accumulate = 45: the training has 44 steps, and so no update"),
        (3, {"steps": 2}, "accumulate = 3: the training has 2 steps, and so no update"),
        (2**62, {}, f"accumulate = {2**62}: the training has 44 steps"),
        (
            5001,
            {"epochs": 200},
            "accumulate = 5001: the parity check compares 2 updates, 10,002 steps, and at",
        ),
    ],
)
def test_gradients_that_never_become_an_update_are_refused(
    toy_root: Path, tmp_path: Path, accumulate: int, options: dict[str, int], says: str
) -> None:
    path = Path(written(tmp_path))
    path.write_text(path.read_text().replace("lr = 0.1", f"lr = 0.1\naccumulate = {accumulate}"))
    told = refused(toy_root, str(path), **options)
    assert told.startswith(f"{path}: [optimiser]: accumulate = ") and says in told


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"steps": 10**12}, "--steps 1000000000000: 1,000,000,000,000 training steps"),
        ({"steps": 10**30}, "--steps 1000000000000000000000000000000:"),
        ({"steps": 50_000_000}, "--steps 50000000: the order of its batches takes"),
        ({"epochs": 10**9}, "--epochs 1000000000: 44,000,000,000 training steps"),
        ({"seeds": 10**9}, "--seeds 1000000000: 44,000,000,000 training steps of net; at most"),
        ({"parity_steps": 10**8}, "--parity-steps 100000000: at most 10,000 are compared"),
        ({"parity_steps": 10_001}, "--parity-steps 10001: at most 10,000 are compared"),
    ],
)
def test_an_option_that_asks_for_too_much_is_refused(
    toy_root: Path, tmp_path: Path, options: dict[str, int], says: str
) -> None:
    assert refused(toy_root, written(tmp_path), **options).startswith(says)


def test_the_batches_of_the_parity_check_are_counted(toy_root: Path) -> None:
    told = refused(toy_root, "cifar-cnn-128", parity_steps=10_000)
    assert told.startswith("--parity-steps 10000: their batches take")
    assert toy_request(toy_root, workloads=["cifar-cnn-128"], parity_steps=10_000, no_parity=True)


def test_what_the_machine_holds_is_let_through(
    toy_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, units=4_000_000)  # 2.5 GiB in float32, 5 in float64
    assert toy_request(toy_root, workloads=[path])
    monkeypatch.setattr(host, "memory_there", lambda: 4 * 2**30)
    assert "layers[1] (dense): units = 4000000" in refused(toy_root, path)
    assert toy_request(toy_root, workloads=[path], no_parity=True)
    monkeypatch.setattr(host, "memory_there", lambda: None)
    assert toy_request(toy_root, workloads=[path])


def test_the_whole_catalogue_is_let_through(toy_root: Path) -> None:
    assert len(toy_request(toy_root, workloads=["all"]).workloads) == len(spec.names())


def test_a_profile_is_held_to_the_same(toy_root: Path, tmp_path: Path) -> None:
    path = written(tmp_path, units=2_000_000_000)
    with pytest.raises(UserError, match="units = 2000000000"):
        profile._task(path, tmp_path)


@pytest.mark.parametrize("key", ["units", "epochs", "lr"])
@pytest.mark.parametrize("digits", [20, 400, 5000])
def test_a_number_of_absurd_length_is_one_line(tmp_path: Path, key: str, digits: int) -> None:
    path = Path(written(tmp_path))
    lines = path.read_text().splitlines()
    changed = [f"{key} = {'9' * digits}" if line.startswith(f"{key} =") else line for line in lines]
    path.write_text("\n".join(changed))
    with pytest.raises(SpecError, match="digits") as error:
        spec.load(str(path))
    assert str(path) in str(error.value) and len(str(error.value)) < 400


def test_a_file_too_large_to_be_a_workload_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.toml"
    with path.open("wb") as file:
        file.truncate(2**40)  # a terabyte, of which nothing is on the disk
    with pytest.raises(SpecError, match=r"large\.toml: 1,099,511,627,776 bytes"):
        spec.load(str(path))


def test_a_file_nested_without_end_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "deep.toml"
    path.write_text("a = " + "[" * 100_000)
    with pytest.raises(SpecError, match=r"deep\.toml: not valid TOML"):
        spec.load(str(path))


def test_arrays_of_ones_own_that_memory_does_not_hold_are_refused(
    toy_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "my.npz", inputs=np.zeros((8, 2**17)), labels=np.arange(8) % 2)
    path = Path(written(tmp_path, batch=2))
    text = path.read_text().replace('dataset = "digits"', 'file = "my.npz"\ntest = 0.5')
    path.write_text(text.replace("units = 10", "units = 2").replace("units = 8", "units = 1"))
    assert toy_request(toy_root, workloads=[str(path)])
    monkeypatch.setattr(host, "memory_there", lambda: 2**22 - 1)
    assert refused(toy_root, str(path)).startswith(f"{path}: [data]: my.npz takes ")
