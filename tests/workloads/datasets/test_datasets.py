from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from workloads import datasets
from workloads.datasets import PARTS, DatasetCorrupt, DatasetError, DatasetMissing, array_cache, xor

ROOT = Path(__file__).parents[3]
ALL = datasets.names()


def test_each_is_described() -> None:
    assert {"cifar10", "cifar100", "digits", "fashion-mnist", "mnist", "xor"} <= set(ALL)
    for name in ALL:
        told = datasets.describe(name)
        assert told.name == name and told.title and told.licence and "\n" not in told.licence
        assert len(told.classes) > 1 and told.train > told.test > 0


def test_a_new_module_is_a_new_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy.py").write_text(
        "import dataclasses\n"
        "from workloads.datasets import xor\n"
        "DATASET = dataclasses.replace(xor.DATASET, name='toy')\n"
    )
    monkeypatch.setattr(datasets, "__path__", [*datasets.__path__, str(tmp_path)])
    assert datasets.names() == sorted([*ALL, "toy"])
    assert datasets.prepare("toy", tmp_path / "cache", seed=0).name == "toy"
    sys.modules.pop("workloads.datasets.toy")


def test_a_misspelt_name_is_told_the_right_one() -> None:
    with pytest.raises(DatasetMissing, match=r"'cifer10', did you mean 'cifar10'\?"):
        datasets.describe("cifer10")


@pytest.mark.parametrize("name", [n for n in ALL if not datasets.describe(n).download])
def test_what_needs_no_download_is_ready(name: str, tmp_path: Path) -> None:
    assert datasets.state(name, tmp_path).ready
    datasets.fetch(name, tmp_path)
    assert not list(tmp_path.iterdir())
    assert datasets.verify(name, tmp_path) == []


def test_the_arrays_are_mapped_read_only_and_used_again(tmp_path: Path) -> None:
    arrays = datasets.prepare("xor", tmp_path, seed=4)
    assert (arrays.source, arrays.synthetic) == ("made from seed 4", False)
    stamp = (arrays.folder / "meta.json").stat().st_mtime_ns
    assert datasets.prepare("xor", tmp_path, seed=4) == arrays
    assert (arrays.folder / "meta.json").stat().st_mtime_ns == stamp
    assert datasets.prepare("xor", tmp_path, seed=5).sha256 != arrays.sha256
    for part, made in zip(PARTS, xor.draw(4), strict=True):
        mapped = arrays.open(part)
        assert isinstance(mapped, np.memmap) and not mapped.flags.writeable
        np.testing.assert_array_equal(mapped, made)


@pytest.mark.parametrize("harm", ["truncate", "flip", "remove", "meta", "no meta"])
def test_what_is_broken_is_found_and_made_again(tmp_path: Path, harm: str) -> None:
    arrays = datasets.prepare("xor", tmp_path, seed=0)
    file, meta = arrays.folder / "test_labels.npy", arrays.folder / "meta.json"
    data = file.read_bytes()
    if harm == "truncate":
        file.write_bytes(data[:-1])
    elif harm == "flip":
        file.write_bytes(data[:-8] + bytes([data[-8] ^ 1]) + data[-7:])
    elif harm == "remove":
        file.unlink()
    elif harm == "meta":
        meta.write_text("[]")
    else:
        meta.unlink()
    with pytest.raises(DatasetCorrupt, match=str(arrays.folder)):
        array_cache.get(arrays.folder)
    assert datasets.prepare("xor", tmp_path, seed=0) == arrays
    assert [finding.ok for finding in datasets.verify("xor", tmp_path)] == [True]
    assert [path.name for path in arrays.folder.parent.iterdir()] == ["seed-0"]


@pytest.mark.parametrize("name", [n for n in ALL if not n.startswith("cifar")])
def test_synthetic_has_the_shapes_and_says_so(name: str, tmp_path: Path) -> None:
    told = datasets.describe(name)
    arrays = datasets.prepare(name, tmp_path, seed=7, synthetic=True)
    assert arrays.source == "synthetic, made from seed 7" and arrays.synthetic
    for split, count in (("train", told.train), ("test", told.test)):
        inputs, labels = arrays.open(f"{split}_inputs"), arrays.open(f"{split}_labels")
        assert inputs.shape == (count, *told.shape) and inputs.dtype == told.dtype
        assert inputs.max() <= told.top and np.unique(labels).size == len(told.classes)
    assert datasets.prepare(name, tmp_path, seed=8, synthetic=True).sha256 != arrays.sha256


def test_processes_at_once_end_well(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from workloads import datasets;"
        "print(datasets.prepare('xor', Path(sys.argv[1]), seed=0).sha256['test_inputs.npy'])"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    started = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(4)]
    said = [process.communicate(timeout=60)[0] for process in started]
    assert all(process.returncode == 0 for process in started)
    assert len(set(said)) == 1 and said[0]
    assert [path.name for path in (tmp_path / "xor").iterdir()] == ["seed-0"]


def test_arrays_that_are_not_as_described_are_never_kept(tmp_path: Path) -> None:
    made = xor.draw(0)
    for wrong, says in (
        (made._replace(train_labels=made.train_labels.astype(np.int32)), "train_labels is int32"),
        (made._replace(test_inputs=made.test_inputs[1:]), r"test_inputs is float32 \(199, 2\)"),
        (made._replace(test_labels=made.test_labels + 1), r"leaves 0\.\.1"),
    ):
        with pytest.raises(DatasetCorrupt, match=says):
            array_cache.put(tmp_path / "x", xor.DATASET, array_cache.Label("test"), wrong)
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="read-only"):
        datasets.prepare("xor", tmp_path / "file", seed=0)


def test_what_killed_processes_left_is_swept(tmp_path: Path) -> None:
    left, fresh = tmp_path / "xor" / ".draft-old", tmp_path / "xor" / ".draft-new"
    for folder in (left, fresh):
        folder.mkdir(parents=True)
    os.utime(left, times=(time.time() - 2 * array_cache.STALE,) * 2)
    datasets.prepare("xor", tmp_path, seed=0)
    assert not left.exists() and fresh.exists()


def test_a_description_is_not_changed_by_hand() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        xor.DATASET.name = "other"  # type: ignore[misc]
