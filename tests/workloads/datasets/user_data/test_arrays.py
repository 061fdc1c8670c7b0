"""Data of one's own as arrays of numpy: what comes of it, and how careless files are refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from tests.workloads.datasets.user_data.conftest import Files
from workloads import datasets, spec
from workloads.datasets.splitting import stratified
from workloads.datasets.user_data import Options, arrays, checks

FILE = 'file = "my.npz"'
SPLIT = f"{FILE}\ntest = 0.25"
LABELS = np.arange(8) % 2
VECTORS = np.arange(24, dtype=np.float32).reshape(8, 3)


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


def parted(**changes: Any) -> dict[str, Any]:
    parts = {
        "train_inputs": VECTORS,
        "train_labels": LABELS,
        "test_inputs": VECTORS,
        "test_labels": LABELS,
    }
    return parts | changes


def whole(**changes: Any) -> dict[str, Any]:
    return {"inputs": VECTORS, "labels": LABELS} | changes


BAD = np.where(np.arange(24).reshape(8, 3) == 16, np.nan, VECTORS)


@pytest.mark.parametrize(
    ("contents", "says"),
    [
        (
            whole(inputs=BAD),
            r"my.npz: inputs: nan in example 5 (at [1] of it): every number has to",
        ),
        (whole(inputs=BAD * 0 + np.inf), "my.npz: inputs: inf in example"),
        (whole(inputs=VECTORS.astype(float) * 1e300), "in example"),
        (whole(inputs=(VECTORS + 2**24).astype(int)), "whole numbers up to 16,777,216 only"),
        (whole(inputs=VECTORS.astype(object)), "my.npz: inputs: holds Python objects"),
        (whole(labels=LABELS.astype(object)), "my.npz: labels: holds Python objects"),
        (whole(inputs=VECTORS.astype("U3")), "my.npz: inputs: holds <U3; allowed: whole numbers"),
        (whole(inputs=VECTORS.astype(complex)), "inputs: holds complex128; allowed"),
        (whole(inputs=VECTORS.astype("m8[s]")), "inputs: holds timedelta64[s]; allowed"),
        (whole(inputs=np.zeros(8, [("a", int)])), "has shape (8,); expected (N, features)"),
        (whole(inputs=VECTORS[:, 0]), "my.npz: inputs: has shape (8,); expected (N, features)"),
        (
            whole(inputs=np.zeros((8, 2, 2, 3))),
            'has shape (8, 2, 2, 3): images? say layout = "nhwc"',
        ),
        (whole(inputs=np.zeros((8, 1, 2, 2, 3))), "expected vectors (N, features), sequences"),
        (whole(inputs=np.zeros((8, 0))), "my.npz: inputs: has shape (8, 0): it is empty"),
        (whole(inputs=VECTORS[:0], labels=LABELS[:0]), "it is empty"),
        (whole(inputs=np.float64(3)), "has shape ()"),
        (
            whole(labels=LABELS[:7]),
            "my.npz: labels: has shape (7,); expected (8,), a label for each",
        ),
        (whole(labels=LABELS[:, None]), "take labels.ravel()"),
        (whole(labels=np.eye(2)[LABELS]), "of one-hot rows take labels.argmax(1)"),
        (
            whole(labels=LABELS * 1.0),
            'float64; allowed: whole numbers: take labels.astype("int64")',
        ),
        (whole(labels=LABELS.astype("U1")), "and give their names as `classes`"),
        (whole(labels=LABELS - 1), "my.npz: labels: label -1 of example 0; allowed: 0 to"),
        (
            whole(labels=LABELS.astype("u8") + np.uint64(2**63)),
            "label 9223372036854775808 of example 0",
        ),
        (whole(labels=LABELS + 1), "no example has label 0, and the largest is 2"),
        (whole(labels=LABELS * 2), "no example has label 1, and the largest is 2"),
        (whole(labels=LABELS * 0), "my.npz: one class only (0): at least two are needed"),
        (whole(labels=np.array([0] * 7 + [1])), None),
        (parted(test_labels=LABELS + 1), "my.npz: test_labels: label 2; the training's are 0 to 1"),
        (
            parted(test_inputs=VECTORS[:, :2]),
            "have to be alike: train_inputs (3,), test_inputs (2,)",
        ),
        (
            parted(test_inputs=VECTORS.astype("u1")),
            "alike: train_inputs float32, test_inputs uint8",
        ),
        (parted(test_labels=LABELS[:3]), "my.npz: test_labels: has shape (3,); expected (8,)"),
        (parted(test_inputs=VECTORS[:0], test_labels=LABELS[:0]), "it is empty"),
        (parted(**whole()), "my.npz: has both kinds; it has to have inputs and labels, or"),
        (
            {"x_train": VECTORS, "y_train": LABELS},
            "my.npz: has x_train, y_train; it has to have inputs",
        ),
        ({}, "my.npz: has no array; it has to have inputs and labels"),
    ],
)
def test_arrays_that_will_not_do_are_refused(
    files: Files, contents: dict[str, Any], says: str | None
) -> None:
    files.npz(**contents)
    text = FILE if "train_inputs" in contents and "inputs" not in contents else SPLIT
    if says is None:
        assert files.arrays(text)
    else:
        assert says in files.refusal(text)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (FILE, "my.npz: say which part of it is the test's, as test = 0.2"),
        (f"{FILE}\ntest = 0", "test = 0.0: has to be more than 0"),
        (f"{FILE}\ntest = 1", "test = 1.0: has to be less than 1"),
        (
            f"{FILE}\ntest = 0.9",
            "my.npz: test = 0.9 of 8 examples leaves 0 to train and 8 to test",
        ),
        (f"{SPLIT}\nsplit_seed = -1", "split_seed = -1: has to be at least 0"),
        (f'{SPLIT}\nlayout = "hwc"', "layout = 'hwc': not known"),
        (f'{SPLIT}\nlayout = "nhwc"', "has shape (8, 3); expected vectors"),
        (f'{SPLIT}\nlabel = "species"', "my.npz: takes no label, but classes, layout"),
        (f"{SPLIT}\nsize = [8, 8]", "my.npz: takes no size"),
        (f'{SPLIT}\nclasses = ["a"]', "labels: label 1, and `classes` names 1, for 0 to 0"),
        (f'{SPLIT}\nclasses = ["a", "a"]', "expected at least one text, and none twice"),
        (f'{SPLIT}\nclasses = ["a", "b\\u001b[31m"]', "a class is named 'b\\x1b[31m'"),
        (
            f'{SPLIT}\ncolor = "rgb"',
            'unknown key "color" (did you mean "colour"?); allowed: augment',
        ),
        (f'{SPLIT}\ndataset = "digits"', "dataset and file exclude each other"),
        ('dataset = "digits"\ntest = 0.2', 'test goes with file = "...", and with no data set'),
        ("", 'say which data: dataset = "digits", or file = "..."'),
        ('file = "my.npy"\ntest = 0.2', 'no such file or folder (did you mean "my.npz"?)'),
        ('file = "nowhere/my.npz"', "no such file or folder"),
        ('file = ""', "expected a file's or a folder's path"),
        ("file = 3", "file = 3: expected a text"),
        ('file = "net.toml"', "net.toml: of no kind that is read; allowed: .npz, .csv"),
        ('file = "broken.npz"', "no such file or folder, but a link to none"),
        ('file = "pipe.npz"', "pipe.npz: is neither a file nor a folder"),
        ('file = "a\\u0000b.npz"', "its name has to be printable"),
        ('file = "a\\nb.npz"', "its name has to be printable"),
        (f'file = "{"n" * 130}.npz"', "of 120 bytes at most"),
        (f'file = "{"n" * 300}.npz"', "cannot be a path"),
        ('file = "/"', "its name has to be printable"),
        ('file = "~nobody-of-that-name/my.npz"', "cannot be a path"),
    ],
)
def test_keys_that_will_not_do_are_refused(files: Files, keys: str, says: str) -> None:
    files.npz(**whole())
    files.npz("few.npz", inputs=VECTORS[:5], labels=np.array([0, 0, 0, 0, 1]))
    (files.folder / "broken.npz").symlink_to("gone.npz")
    os.mkfifo(files.folder / "pipe.npz")
    assert says in files.refusal(keys)


def test_a_batch_larger_than_the_training_part_is_refused(files: Files) -> None:
    files.npz(**whole())
    assert "batch = 7: my.npz has 6 examples" in files.refusal(SPLIT, batch=7)
    assert files.load(SPLIT, batch=6)


def test_the_last_layer_has_to_fit_the_classes(files: Files) -> None:
    files.npz(**whole())
    assert "my.npz has 2 classes" in files.refusal(SPLIT, units=3)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def announced(shape: tuple[int, ...], descr: str = "|u1") -> bytes:
    """A .npy of no content whose header says anything."""
    stream = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)  # type: ignore[arg-type]
    return stream.getvalue()


class Evil:
    """Unpickling it would leave a trace."""

    def __reduce__(self) -> Any:
        return (os.mkdir, ("trace",))


LABELS_NPY = npy(LABELS)


@pytest.mark.parametrize(
    ("members", "says"),
    [
        (
            {"inputs": b"no array"},
            "my.npz: inputs: cannot be read: the magic string is not correct",
        ),
        ({"inputs": npy(VECTORS)[:-5]}, "my.npz: inputs: cannot be read:"),
        ({"inputs": npy(VECTORS)[:9]}, "my.npz: inputs: cannot be read:"),
        (
            {"inputs": announced((8, 2**40))},
            "has shape (8, 1099511627776), 8,796,093,022,208 bytes; at",
        ),
        ({"inputs": announced((8, 2**62, 2**62))}, "at most 8,589,934,592 are read"),
        ({"inputs": announced((8, 3), "|O")}, "holds Python objects"),
        ({"inputs": announced((8, -3))}, "my.npz: inputs:"),
        ({"inputs": pickle.dumps(Evil())}, "cannot be read"),
        ({"inputs": announced((8, 3), "|O") + pickle.dumps([Evil()])}, "holds Python objects"),
        (
            {"inputs": b"\x93NUMPY\x01\x00" + struct.pack("<H", 60_000) + b" " * 60_000},
            "inputs: cannot",
        ),
    ],
)
def test_a_damaged_or_evil_npz_is_refused(
    files: Files, members: dict[str, bytes], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files.folder)
    with zipfile.ZipFile(files.folder / "my.npz", "w") as archive:
        for name, content in {"labels": LABELS_NPY, **members}.items():
            archive.writestr(f"{name}.npy", content)
    assert says in files.refusal(SPLIT)
    assert not (files.folder / "trace").exists()
    folder = files.folder / "mine"
    folder.mkdir()
    for name, content in {"labels": LABELS_NPY, **members}.items():
        (folder / f"{name}.npy").write_bytes(content)
    assert "inputs" in files.refusal('file = "mine"\ntest = 0.25')
    assert not (files.folder / "trace").exists()


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip", b"\x93NUMPY" + bytes(90)])
def test_what_is_no_npz_is_refused(files: Files, content: bytes) -> None:
    (files.folder / "my.npz").write_bytes(content)
    assert "my.npz: no .npz of numpy: " in files.refusal(SPLIT)


def test_a_changed_byte_is_found(files: Files) -> None:
    path = files.npz(**whole())
    content = bytearray(path.read_bytes())
    content[content.index(VECTORS.tobytes()[:16])] ^= 1
    path.write_bytes(content)
    assert "Bad CRC-32" in files.refusal(SPLIT)


def test_a_bomb_is_not_unpacked(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(
        files.folder / "my.npz", inputs=np.zeros((1000, 1000)), labels=np.arange(1000) % 2
    )
    assert (files.folder / "my.npz").stat().st_size < 20_000
    monkeypatch.setattr(checks, "MOST_BYTES", 10**6)
    text = files.refusal(SPLIT)
    assert "has shape (1000, 1000), 8,000,000 bytes; at most 1,000,000 are read" in text


def test_a_huge_file_is_not_read(files: Files) -> None:
    path = files.npz(**whole())
    with path.open("ab") as stream:
        stream.truncate(2**42)
    assert "my.npz: 4,398,046,511,104 bytes; at most" in files.refusal(SPLIT)


def test_a_file_that_changed_since_is_told(files: Files) -> None:
    files.npz(**whole())
    workload = files.load(SPLIT)
    files.npz(**whole(inputs=VECTORS + 1))
    with pytest.raises(
        datasets.DatasetError, match=r"my\.npz: changed since the workload was read"
    ):
        datasets.prepare(workload.dataset, files.cache, seed=0)


def test_a_file_that_may_not_be_read_is_told(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.npz(**whole())

    def refuse(self: Path, *arguments: Any, **options: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(zipfile.ZipFile, "__init__", refuse)
    assert "my.npz: no .npz of numpy: Permission denied" in files.refusal(SPLIT)


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
