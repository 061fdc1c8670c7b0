"""MNIST, Fashion-MNIST and CIFAR-100 from made-up files of their formats, fetched and given."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import struct
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads import datasets
from workloads.datasets import DatasetCorrupt, DatasetMissing, cifar100, fashion_mnist, idx, mnist
from workloads.datasets.cifar10 import decode
from workloads.datasets.contract import Filed, Published

TRAIN, TEST = 7, 3
MODULES = {"mnist": mnist, "fashion-mnist": fashion_mnist}


def made_up(seed: int) -> dict[str, bytes]:
    """Four files of a few random images."""
    random = np.random.default_rng(seed)
    images = [random.integers(0, 256, (count, 28, 28)) for count in (TRAIN, TEST)]
    labels = [random.integers(0, 10, count) for count in (TRAIN, TEST)]
    parts = (images[0], labels[0], images[1], labels[1])
    kinds = (idx.IMAGES, idx.LABELS) * 2
    return {
        name: idx.encode(kind, part)
        for name, kind, part in zip(idx.FILES, kinds, parts, strict=True)
    }


@pytest.fixture(params=sorted(MODULES))
def small(request: Any, monkeypatch: pytest.MonkeyPatch, server: Any) -> Any:
    """One of the sets with few images, on the server; gives its description."""
    server.bodies = made_up(1)
    address = server.url.rsplit("/", 1)[0]
    published = tuple(
        Published(
            f"{address}/{name}",
            len(body),
            hashlib.sha256(body).hexdigest(),
            hashlib.md5(body, usedforsecurity=False).hexdigest(),
        )
        for name, body in server.bodies.items()
    )
    module = MODULES[request.param]
    origin = Filed(published, partial(idx.read, train=TRAIN, test=TEST), "MNIST/raw")
    small = dataclasses.replace(module.DATASET, train=TRAIN, test=TEST, origin=origin)
    monkeypatch.setattr(module, "DATASET", small)
    return small


def write(folder: Path, seed: int = 1) -> Path:
    folder.mkdir(parents=True)
    for name, body in made_up(seed).items():
        (folder / name).write_bytes(body)
    return folder


@given(
    count=st.integers(1, 4), rows=st.integers(1, 5), columns=st.integers(1, 5), seed=st.integers(0)
)
def test_what_is_encoded_is_decoded(count: int, rows: int, columns: int, seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (count, rows, columns), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.gz"
        file.write_bytes(idx.encode(idx.IMAGES, images))
        got = idx.decode(file, (idx.IMAGES, count, rows, columns))
    np.testing.assert_array_equal(got.reshape(images.shape), images)


def test_the_layout_is_the_documented_one(tmp_path: Path) -> None:
    file = tmp_path / "x.gz"
    file.write_bytes(gzip.compress(bytes.fromhex("00000803 00000001 00000002 00000002 01020304")))
    assert idx.decode(file, (idx.IMAGES, 1, 2, 2)).tolist() == [1, 2, 3, 4]


HEADER = struct.pack(">2I", idx.LABELS, 3)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"no gzip", "cannot be unpacked"),
        (gzip.compress(HEADER + b"abc")[:-9], "cannot be unpacked"),
        (gzip.compress(HEADER + b"ab"), "unpacks to 10 bytes, expected 11"),
        (gzip.compress(HEADER + b"abcd"), "unpacks to more bytes, expected 11"),
        (gzip.compress(b""), "unpacks to 0 bytes, expected 11"),
        (
            gzip.compress(struct.pack(">2I", idx.LABELS, 4) + b"abcd"),
            "is 0x801 4, expected 0x801 3",
        ),
        (gzip.compress(struct.pack(">2I", idx.IMAGES, 3) + b"abc"), "is 0x803 3, expected 0x801 3"),
        (gzip.compress(HEADER + bytes(10**8)), "unpacks to more bytes"),
    ],
    # Not by the content, which holds the time: each process of pytest-xdist would have names of its own.
    ids=["no-gzip", "cut", "short", "long", "empty", "count", "kind", "bomb"],
)
def test_a_file_that_is_none_is_told(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(DatasetCorrupt, match=rf"x\.gz: .*{says}"):
        idx.decode(tmp_path / "x.gz", (idx.LABELS, 3))


def test_a_label_beyond_nine_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "data")
    (folder / idx.FILES[3]).write_bytes(idx.encode(idx.LABELS, np.array([1, 10, 2])))
    with pytest.raises(
        DatasetCorrupt, match=r"t10k-labels.*label 10 \(number 1\), expected 0 to 9"
    ):
        idx.read(folder, TRAIN, TEST)


def test_four_files_are_fetched_and_gone_on_with(small: Any, server: Any, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    server.drops = [100_000, 10]  # the second file breaks off
    datasets.fetch(small.name, tmp_path, lambda *now: told.append(now))
    assert told == sorted(told) and told[-1] == (small.download, small.download)
    assert server.paths[:3] == [idx.FILES[0], idx.FILES[1], idx.FILES[1]]
    assert [r.get("Range") for r in server.requests[:3]] == [None, None, "bytes=10-"]
    datasets.fetch(small.name, tmp_path)
    assert len(server.requests) == 5
    arrays = datasets.prepare(small.name, tmp_path, seed=0)
    assert arrays.open("train_inputs").shape == (TRAIN, 1, 28, 28)
    sha256 = {f"source/{each.name}": each.sha256 for each in small.origin.published}
    assert sha256.items() <= arrays.sha256.items()
    assert not [*tmp_path.rglob("*.gz*")] and not [*tmp_path.rglob(".draft*")]


def test_what_came_whole_is_not_fetched_again(small: Any, server: Any, tmp_path: Path) -> None:
    room = tmp_path / small.name
    room.mkdir()
    (room / idx.FILES[0]).write_bytes(server.bodies[idx.FILES[0]])
    datasets.fetch(small.name, tmp_path)
    assert server.paths == list(idx.FILES[1:])


def test_a_wrong_file_ends_it(small: Any, server: Any, tmp_path: Path) -> None:
    name = idx.FILES[2]
    server.bodies[name] = server.bodies[name][:-1] + b"?"
    with pytest.raises(DatasetCorrupt, match=f"{name}: sha256 is .* removed"):
        datasets.fetch(small.name, tmp_path)
    assert not datasets.state(small.name, tmp_path).ready


def test_a_data_dir_has_the_very_files(small: Any, tmp_path: Path) -> None:
    folder = write(tmp_path / "data" / "MNIST" / "raw")
    arrays = datasets.prepare(small.name, tmp_path / "cache", seed=0, data_dir=tmp_path / "data")
    again = datasets.prepare(small.name, tmp_path / "cache", seed=0, data_dir=folder)
    assert arrays == again and arrays.source == "data-dir"
    body = bytearray((folder / idx.FILES[0]).read_bytes())
    body[-1] ^= 1
    (folder / idx.FILES[0]).write_bytes(body)
    with pytest.raises(DatasetCorrupt, match=r"train-images.*sha256 is .*, expected .* as http"):
        datasets.prepare(small.name, tmp_path / "cache", seed=0, data_dir=folder)
    (finding,) = [f for f in datasets.verify(small.name, tmp_path / "x", folder) if not f.ok]
    assert "sha256" in finding.note
    (folder / idx.FILES[1]).unlink()
    with pytest.raises(DatasetMissing, match=rf"has {idx.FILES[1]}; put there what http\S+ holds"):
        datasets.prepare(small.name, tmp_path / "cache", seed=0, data_dir=folder)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_another_size_is_told_before_it_is_read(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "data")
    with (folder / idx.FILES[0]).open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(DatasetCorrupt, match=r"train-images.*1,099,511,627,776 bytes, expected"):
        datasets.prepare(name, tmp_path / "cache", seed=0, data_dir=folder)


# CIFAR-100: two label bytes a record.


def records(fine: list[int]) -> bytes:
    return b"".join(
        bytes([19 - i % 20, label])
        + bytes([i]) * 1024
        + bytes([i + 1]) * 1024
        + bytes([i + 2]) * 1024
        for i, label in enumerate(fine)
    )


def test_cifar100_takes_the_fine_labels(tmp_path: Path) -> None:
    (tmp_path / "train.bin").write_bytes(records([99, 0, 42]))
    (tmp_path / "test.bin").write_bytes(records([7]))
    splits = cifar100.read(tmp_path, 3, 1)
    assert splits.train_labels.tolist() == [99, 0, 42] and splits.test_labels.tolist() == [7]
    assert splits.train_inputs.shape == (3, 3, 32, 32)
    assert splits.train_inputs[2, :, 5, 5].tolist() == [2, 3, 4]


def test_cifar100_has_a_hundred_classes_and_its_sizes() -> None:
    classes = cifar100.CLASSES
    assert len(set(classes)) == 100 and list(classes) == sorted(classes)
    assert cifar100.DATASET.origin.files == {"train.bin": 153_700_000, "test.bin": 30_740_000}  # type: ignore[union-attr]


def test_a_wrong_fine_label_is_told_with_its_offset(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(records([99, 100]))
    with pytest.raises(DatasetCorrupt, match=r"label 100 at offset 3,075 \(record 1\), .* 0 to 99"):
        decode(tmp_path / "x.bin", 2, cifar100.LABEL_BYTES, 100)


def test_cifar100_is_fetched(
    monkeypatch: pytest.MonkeyPatch, server: Any, tar: Any, tmp_path: Path
) -> None:
    files = {"train.bin": records([5, 6]), "test.bin": records([9])}
    for name, content in files.items():
        tar.add(f"cifar-100-binary/{name}", content)
    server.body = tar.packed()
    sizes = {name: len(content) for name, content in files.items()}
    archive = server.archive(folder="cifar-100-binary", files=sizes)
    origin = Filed((archive,), partial(cifar100.read, train=2, test=1), "cifar-100-binary")
    small = dataclasses.replace(cifar100.DATASET, train=2, test=1, origin=origin)
    monkeypatch.setattr(cifar100, "DATASET", small)
    datasets.fetch("cifar100", tmp_path)
    arrays = datasets.prepare("cifar100", tmp_path, seed=0)
    assert arrays.open("train_labels").tolist() == [5, 6] and len(arrays.classes) == 100
