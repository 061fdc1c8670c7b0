"""Arrays of numpy and keys of [data] that will not do are refused in one line."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from tests.workloads.datasets.user_data.conftest import Files
from tests.workloads.datasets.user_data.made_arrays import FILE, LABELS, SPLIT, VECTORS, whole


def parted(**changes: Any) -> dict[str, Any]:
    parts = {
        "train_inputs": VECTORS,
        "train_labels": LABELS,
        "test_inputs": VECTORS,
        "test_labels": LABELS,
    }
    return parts | changes


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


def test_a_pipe_among_the_arrays_of_a_folder_is_refused_and_not_waited_for(files: Files) -> None:
    folder = files.folder / "arrays"
    folder.mkdir()
    np.save(folder / "labels.npy", LABELS)
    os.mkfifo(folder / "inputs.npy")
    assert "arrays: inputs.npy: is no regular file" in files.refusal('file = "arrays"\ntest = 0.5')


def test_a_batch_larger_than_the_training_part_is_refused(files: Files) -> None:
    files.npz(**whole())
    assert "batch = 7: my.npz has 6 examples" in files.refusal(SPLIT, batch=7)
    assert files.load(SPLIT, batch=6)


def test_the_last_layer_has_to_fit_the_classes(files: Files) -> None:
    files.npz(**whole())
    assert "my.npz has 2 classes" in files.refusal(SPLIT, units=3)
