from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads import datasets
from workloads.datasets import DatasetCorrupt, DatasetMissing, cifar10
from workloads.datasets.cifar10 import RECORD, TEST_FILE, TRAIN_FILES, decode, encode, read

FEW = 2  # records a file


def some(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.Generator(np.random.PCG64(seed))
    return rng.integers(0, 256, (count, 3, 32, 32), np.uint8), rng.integers(0, 10, count)


def write(folder: Path) -> Path:
    """The official layout with FEW records a file."""
    folder.mkdir(parents=True)
    for i, name in enumerate((*TRAIN_FILES, TEST_FILE)):
        (folder / name).write_bytes(encode(*some(FEW, i)))
    return folder


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, server: Any, tar: Any, tmp_path: Path) -> Any:
    """CIFAR-10 with FEW records a file, on the server; gives the dataset."""
    files = write(tmp_path / "published")
    for file in sorted(files.iterdir()):
        tar.add(f"cifar-10-batches-bin/{file.name}", file.read_bytes())
    server.body = tar.packed()
    sizes = {file.name: FEW * RECORD for file in files.iterdir()}
    archive = server.archive(folder="cifar-10-batches-bin", files=sizes)
    origin = datasets.contract.Filed((archive,), partial(read, records=FEW), "cifar-10-batches-bin")
    small = dataclasses.replace(cifar10.DATASET, train=5 * FEW, test=FEW, origin=origin)
    monkeypatch.setattr(cifar10, "DATASET", small)
    return small


@given(count=st.integers(1, 5), seed=st.integers(0, 2**32))
def test_what_is_encoded_is_decoded(count: int, seed: int) -> None:
    images, labels = some(count, seed)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.bin"
        file.write_bytes(encode(images, labels))
        got = decode(file, count)
    np.testing.assert_array_equal(got[0], images)
    np.testing.assert_array_equal(got[1], labels)
    assert got[0].dtype == np.uint8 and got[1].dtype == np.int64


def test_the_layout_is_the_documented_one(tmp_path: Path) -> None:
    record = bytes([7]) + bytes([1]) * 1024 + bytes([2]) * 1024 + bytes(range(32)) * 32
    (tmp_path / "x.bin").write_bytes(record)
    (image,), (label,) = decode(tmp_path / "x.bin", 1)
    assert label == 7
    assert (image[0] == 1).all() and (image[1] == 2).all()
    np.testing.assert_array_equal(image[2, 5], np.arange(32))  # a row is 32 bytes in a row


@pytest.mark.parametrize(
    ("size", "says"),
    [
        (RECORD * 2 - 1, r"6,145 bytes, expected 6,146 .*1 whole records and 3,072 .*offset 3,073"),
        (RECORD * 3, r"9,219 bytes, expected 6,146 .*3 whole"),
        (RECORD, r"3,073 bytes, expected 6,146"),
        (0, r"0 bytes, expected 6,146"),
    ],
)
def test_a_file_of_another_size_is_told(tmp_path: Path, size: int, says: str) -> None:
    (tmp_path / "x.bin").write_bytes(bytes(size))
    with pytest.raises(DatasetCorrupt, match=rf"x\.bin: {says}"):
        decode(tmp_path / "x.bin", 2)


def test_a_wrong_label_is_told_with_its_offset(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(bytes(RECORD) + bytes([10]) + bytes(RECORD - 1))
    with pytest.raises(DatasetCorrupt, match=r"x\.bin: label 10 at offset 3,073 \(record 1\)"):
        decode(tmp_path / "x.bin", 2)


def test_is_fetched_checked_decoded_and_kept(small: Any, server: Any, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert not datasets.state("cifar10", cache).ready
    with pytest.raises(DatasetMissing, match=r"data fetch cifar10.*--data-dir"):
        datasets.prepare("cifar10", cache, seed=0)
    server.drops = [1000]
    datasets.fetch("cifar10", cache)
    datasets.fetch("cifar10", cache)  # nothing left to do
    assert len(server.requests) == 2
    assert datasets.state("cifar10", cache).ready
    arrays = datasets.prepare("cifar10", cache, seed=5)
    assert arrays.source == "official archive" and arrays.folder.name == "official"
    assert arrays.sha256["source/archive.tar.gz"] == small.origin.published[0].sha256
    images, labels = some(FEW, 4)
    np.testing.assert_array_equal(arrays.open("train_inputs")[-FEW:], images)
    np.testing.assert_array_equal(arrays.open("train_labels")[-FEW:], labels)
    assert not list(cache.rglob("*.tar.gz*")) and not list(cache.rglob(".draft*"))
    assert [f.ok for f in datasets.verify("cifar10", cache)] == [True]


def test_a_damaged_copy_is_told_and_fetched_again(small: Any, tmp_path: Path) -> None:
    datasets.fetch("cifar10", tmp_path)
    file = tmp_path / "cifar10" / "official" / "train_inputs.npy"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    (finding,) = datasets.verify("cifar10", tmp_path)
    assert not finding.ok and "train_inputs.npy: sha256" in finding.note
    with pytest.raises(DatasetCorrupt, match="data fetch cifar10"):
        datasets.prepare("cifar10", tmp_path, seed=0)
    datasets.fetch("cifar10", tmp_path)
    assert datasets.prepare("cifar10", tmp_path, seed=0)


def test_reads_a_data_dir_and_records_its_files(small: Any, tmp_path: Path) -> None:
    folder = write(tmp_path / "data" / "cifar-10-batches-bin")
    cache = tmp_path / "cache"
    arrays = datasets.prepare("cifar10", cache, seed=0, data_dir=folder)
    again = datasets.prepare("cifar10", cache, seed=1, data_dir=folder.parent)
    assert arrays == again and arrays.source == "data-dir"
    for name in (*TRAIN_FILES, TEST_FILE):
        sha256 = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        assert arrays.sha256[f"source/{name}"] == sha256
    (folder / TEST_FILE).write_bytes(encode(*some(FEW, 99)))
    other = datasets.prepare("cifar10", cache, seed=0, data_dir=folder)
    assert other.folder != arrays.folder  # other files are other data


def test_a_data_dir_that_lacks_a_file_is_told(small: Any, tmp_path: Path) -> None:
    folder = write(tmp_path / "data")
    (folder / "data_batch_3.bin").unlink()
    with pytest.raises(DatasetMissing, match=r"has data_batch_3\.bin; put there what http"):
        datasets.prepare("cifar10", tmp_path, seed=0, data_dir=folder)
    assert not datasets.state("cifar10", tmp_path, folder).ready
    (finding,) = datasets.verify("cifar10", tmp_path, folder)
    assert not finding.ok


def test_fewer_images_are_never_called_cifar10(tmp_path: Path) -> None:
    folder = write(tmp_path / "data")
    with pytest.raises(DatasetCorrupt, match=r"6,146 bytes, expected 30,730,000"):
        datasets.prepare("cifar10", tmp_path, seed=0, data_dir=folder)
    assert not list((tmp_path / "cifar10").glob("*"))


@pytest.mark.slow
def test_the_real_images(real_cifar10: Path, tmp_path: Path) -> None:
    arrays = datasets.prepare("cifar10", tmp_path, seed=0, data_dir=real_cifar10)
    for split, count in (("train", 5000), ("test", 1000)):
        inputs, labels = arrays.open(f"{split}_inputs"), arrays.open(f"{split}_labels")
        assert inputs.shape == (10 * count, 3, 32, 32) and inputs.dtype == np.uint8
        assert np.bincount(labels).tolist() == [count] * 10
        assert 100 < inputs.mean() < 140  # CIFAR-10's mean is 121
    assert {f"source/{TEST_FILE}", "test_inputs.npy"} <= arrays.sha256.keys()


def test_the_size_of_a_file_is_looked_at_before_it_is_read(tmp_path: Path) -> None:
    """A terabyte, of which nothing is on the disk: reading or hashing it would take hours."""
    for name in (*cifar10.TRAIN_FILES, cifar10.TEST_FILE):
        with (tmp_path / name).open("wb") as file:
            file.truncate(2**40)
    with pytest.raises(DatasetCorrupt, match=r"test_batch\.bin: 1,099,511,627,776 bytes, expected"):
        decode(tmp_path / cifar10.TEST_FILE)
    with pytest.raises(
        DatasetCorrupt, match=r"\.bin: 1,099,511,627,776 bytes, expected 30,730,000"
    ):
        datasets.prepare("cifar10", tmp_path / "cache", seed=0, data_dir=tmp_path)
    (finding,) = datasets.verify("cifar10", tmp_path / "cache", tmp_path)
    assert not finding.ok and "1,099,511,627,776 bytes" in finding.note
