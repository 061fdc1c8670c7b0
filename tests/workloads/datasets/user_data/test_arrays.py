"""Data of one's own as arrays of numpy: what comes of it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from tests.workloads.datasets.user_data.conftest import Files
from tests.workloads.datasets.user_data.made_arrays import FILE, LABELS, SPLIT, VECTORS, whole
from workloads import datasets, spec
from workloads.datasets.splitting import stratified
from workloads.datasets.user_data import Options, arrays, checks


def test_arrays_given_apart_stay_as_they_are(files: Files) -> None:
    parts = {
        "train_inputs": VECTORS[:6],
        "train_labels": LABELS[:6],
        "test_inputs": VECTORS[6:],
        "test_labels": LABELS[6:].astype(np.uint8),
    }
    files.npz(**parts, other=np.zeros(3))
    got = files.arrays(FILE)
    for name, part in parts.items():
        np.testing.assert_array_equal(got[name], part)
    assert got["train_inputs"].dtype == np.float32 and got["test_labels"].dtype == np.int64


def test_a_seed_splits_evenly_and_keeps_labels_with_inputs(files: Files) -> None:
    labels = np.repeat([0, 1], [30, 10])
    files.npz(inputs=np.arange(40.0)[:, None], labels=labels)
    got = files.arrays(f"{FILE}\ntest = 0.2")
    assert np.bincount(got["test_labels"]).tolist() == [6, 2]
    both = np.concatenate([got["train_inputs"], got["test_inputs"]])[:, 0]
    assert sorted(both) == list(range(40))
    np.testing.assert_array_equal(
        labels[both.astype(int)], np.concatenate([got["train_labels"], got["test_labels"]])
    )
    again = files.arrays(f"{FILE}\ntest = 0.2\nsplit_seed = 0")
    other = files.arrays(f"{FILE}\ntest = 0.2\nsplit_seed = 1")
    np.testing.assert_array_equal(again["test_inputs"], got["test_inputs"])
    assert (other["test_inputs"] != got["test_inputs"]).any()


@given(st.lists(st.integers(0, 3), min_size=2, max_size=60), st.integers(1, 99), st.integers(0, 9))
def test_a_split_has_its_share_of_every_class(labels: list[int], percent: int, seed: int) -> None:
    counts = np.bincount(labels, minlength=4)
    train, test = stratified(np.array(labels), percent / 100, seed)
    assert sorted([*train, *test]) == list(range(len(labels)))
    tested = np.bincount(np.array(labels)[test], minlength=4)
    assert (np.abs(tested - counts * percent / 100) < 1 + 1e-9).all()


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        ((8, 5), None, (5,)),
        ((8, 7, 5), None, (7, 5)),
        ((8, 4, 6), "nchw", (1, 4, 6)),
        ((8, 4, 6), "nhwc", (1, 4, 6)),
        ((8, 3, 4, 6), "nchw", (3, 4, 6)),
        ((8, 4, 6, 3), "nhwc", (3, 4, 6)),
    ],
)
def test_an_example_has_its_canonical_shape(
    files: Files, shape: tuple[int, ...], layout: str | None, expected: tuple[int, ...]
) -> None:
    inputs = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    path = files.npz(inputs=inputs, labels=LABELS)
    options = Options("my.npz", layout=layout)
    assert arrays.outline(path, options).shape == expected
    got = arrays.inputs(path, options, "all", None)
    channels_last = layout == "nhwc" and len(shape) == 4
    canonical = inputs.transpose(0, 3, 1, 2) if channels_last else inputs
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, canonical.reshape(8, *expected))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        *((name, "float32") for name in ("int8", "uint16", "int64", "uint64", "float16", ">f8")),
        ("uint8", "uint8"),
        ("bool", "uint8"),
    ],
)
def test_numbers_become_uint8_or_float32(files: Files, dtype: str, expected: str) -> None:
    inputs = np.arange(16).reshape(8, 2).astype(dtype)
    files.npz(inputs=inputs, labels=LABELS)
    got = files.arrays(SPLIT)["train_inputs"]
    assert got.dtype == expected
    assert sorted(got.ravel()) == sorted(files.arrays(SPLIT)["train_inputs"].ravel())
    workload = files.load(SPLIT)
    assert workload.data.user_data and workload.data.user_data.dtype == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(arrays_of.arrays(np.float64, (4, 2), elements=st.floats(width=64)))
def test_numbers_are_the_nearest_float32_or_refused(inputs: np.ndarray) -> None:
    with np.errstate(over="ignore"):
        fits = np.isfinite(inputs.astype(np.float32)).all()
    if not fits:
        with pytest.raises(checks.DataFileError, match="has to be finite in float32"):
            checks.converted(inputs, None, "float32", lambda piece: piece, "x")
        return
    got = checks.converted(inputs, np.array([3, 0]), "float32", lambda piece: piece, "x")
    np.testing.assert_array_equal(got, inputs[[3, 0]].astype(np.float32))


def test_a_folder_of_npy_gives_what_the_npz_gives(files: Files) -> None:
    folder = files.folder / "mine"
    folder.mkdir()
    np.save(folder / "inputs.npy", np.asfortranarray(VECTORS))
    np.save(folder / "labels.npy", LABELS)
    files.npz(inputs=VECTORS, labels=LABELS)
    from_folder, from_npz = files.arrays('file = "mine"\ntest = 0.25'), files.arrays(SPLIT)
    for part, array in from_npz.items():
        np.testing.assert_array_equal(from_folder[part], array)


def test_compressed_and_linked_files_are_read(files: Files) -> None:
    np.savez_compressed(files.folder / "packed.npz", inputs=VECTORS, labels=LABELS)
    (files.folder / "my.npz").symlink_to("packed.npz")
    assert len(files.arrays(SPLIT)["test_labels"]) == 2
    workload = files.load(SPLIT)
    assert workload.data.dataset == "my.npz"


def test_classes_have_names(files: Files) -> None:
    files.npz(inputs=VECTORS, labels=LABELS)
    workload = files.load(f'{SPLIT}\nclasses = ["chat", "狗", "o ther"]', units=3)
    assert workload.dataset.classes == ("chat", "狗", "o ther")
    assert files.load(SPLIT).dataset.classes == ("0", "1")


def test_what_a_worker_gets_needs_no_file(files: Files) -> None:
    path = files.npz(**whole())
    workload = files.load(SPLIT)
    prepared = datasets.prepare(workload.dataset, files.cache, seed=0)
    table = json.loads(json.dumps(workload.to_dict()))
    assert str(files.folder) not in json.dumps(table)
    path.unlink()
    elsewhere = spec.from_dict(table, "worker")
    assert elsewhere == workload and elsewhere.files is None
    assert datasets.prepare(elsewhere.dataset, files.cache, seed=0) == prepared
    assert prepared.folder.parent.name == workload.data.user_data.sha256[:16]  # type: ignore[union-attr]
    with pytest.raises(
        datasets.DatasetMissing, match=r"my\.npz: its arrays are not in .*elsewhere"
    ):
        datasets.prepare(elsewhere.dataset, files.folder / "elsewhere", seed=0)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("sha256", "../../etc", "expected a sha256"),
        ("classes", ["a"], "one class only"),
        ("classes", ["a", "b\x1b[0m"], "has to be printable"),
        ("dtype", "object", "dtype = 'object': not known"),
        ("train", 0, "has to be at least 1"),
        ("shape", [0], "has to be at least 1"),
    ],
)
def test_a_table_from_elsewhere_is_checked(files: Files, key: str, value: Any, says: str) -> None:
    files.npz(**whole())
    table = json.loads(json.dumps(files.load(SPLIT).to_dict()))
    table["data"]["user_data"][key] = value
    with pytest.raises(spec.SpecError, match=says):
        spec.from_dict(table, "a table")


def test_the_same_files_read_otherwise_are_other_data(files: Files) -> None:
    files.npz(**whole())
    first, second = files.load(SPLIT), files.load(f"{SPLIT}\nsplit_seed = 3")
    assert first.data.user_data != second.data.user_data
    (files.folder / "my.npz").rename(files.folder / "renamed.npz")
    renamed = files.load(SPLIT.replace("my.npz", "renamed.npz"))
    assert renamed.data.user_data == first.data.user_data
    hashes = datasets.prepare(renamed.dataset, files.cache, seed=0).sha256
    content = (files.folder / "renamed.npz").read_bytes()
    assert hashes["source/renamed.npz"] == hashlib.sha256(content).hexdigest()


def test_a_broken_copy_in_the_cache_is_made_again(files: Files) -> None:
    files.npz(**whole())
    workload = files.load(SPLIT)
    prepared = datasets.prepare(workload.dataset, files.cache, seed=0)
    (prepared.folder / "train_inputs.npy").write_bytes(b"?")
    assert datasets.prepare(workload.dataset, files.cache, seed=0) == prepared


def test_stand_ins_have_its_shapes(files: Files) -> None:
    files.npz(**whole())
    workload = files.load(SPLIT)
    prepared = datasets.prepare(workload.dataset, files.cache, seed=3, synthetic=True)
    assert prepared.synthetic and prepared.open("train_inputs").shape == (6, 3)
