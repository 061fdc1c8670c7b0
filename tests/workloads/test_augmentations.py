"""Augmentations: right values from their definitions, laws, and the same pixels in every numpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads import spec
from workloads.augmentations import Augmentation, Crop, Cutout, Flip, augmented, below
from workloads.batches import Batches, in_order, normalise
from workloads.reading import SpecError

ALL = (Crop(2), Flip(), Cutout(3))


def images(count: int, channels: int = 3, height: int = 6, width: int = 5) -> np.ndarray:
    """Pixels of which none is 0."""
    random = np.random.Generator(np.random.PCG64(count))
    return random.integers(1, 256, (count, channels, height, width), np.uint8)


def words(*rows: list[float]) -> np.ndarray:
    """Random words by the part of all of their range that they stand for, 0 to 1."""
    return np.array([[int(part * 2**64) for part in row] for row in rows], np.uint64)


sizes = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(3, 7), st.integers(3, 7))


def test_a_crop_is_a_window_of_the_image_with_zeros_around() -> None:
    (image,) = raw = images(1)
    padded = np.zeros((3, 10, 9), np.uint8)
    padded[:, 2:8, 2:7] = image
    for top in range(5):
        for left in range(5):
            (got,) = Crop(2).apply(raw, words([top / 5 + 0.1], [left / 5 + 0.1]))
            np.testing.assert_array_equal(got, padded[:, top : top + 6, left : left + 5])


def test_a_flip_mirrors_left_to_right_in_the_upper_half() -> None:
    raw = images(2)
    got = Flip().apply(raw, words([0.49, 0.51]))
    np.testing.assert_array_equal(got[0], raw[0])
    np.testing.assert_array_equal(got[1], raw[1, :, :, ::-1])


@pytest.mark.parametrize(
    ("size", "row", "column", "cut"),
    [
        (3, 2, 2, [(r, c) for r in (1, 2, 3) for c in (1, 2, 3)]),
        (2, 2, 2, [(r, c) for r in (1, 2) for c in (1, 2)]),
        (3, 0, 4, [(0, 3), (0, 4), (1, 3), (1, 4)]),  # beyond the edge there is nothing
        (1, 5, 0, [(5, 0)]),
    ],
)
def test_a_cutout_is_a_square_around_its_centre(
    size: int, row: int, column: int, cut: list[tuple[int, int]]
) -> None:
    raw = images(1)
    got = Cutout(size).apply(raw, words([row / 6 + 0.01], [column / 5 + 0.01]))
    zeros = {(int(r), int(c)) for _, _, r, c in np.argwhere(got == 0)}
    assert zeros == set(cut)
    np.testing.assert_array_equal(got[got != 0], raw[got != 0])


@given(sizes, st.integers(0, 2**32))
def test_flipped_twice_is_as_it_was(shape: tuple[int, ...], seed: int) -> None:
    raw = images(*shape)
    drawn = np.random.PCG64(seed).random_raw(len(raw))[None]
    twice = Flip().apply(Flip().apply(raw, drawn), drawn)
    np.testing.assert_array_equal(twice, raw)


@given(sizes, st.integers(0, 2**32), st.integers(0, 9))
def test_a_crop_of_padding_0_changes_nothing(shape: tuple[int, ...], seed: int, step: int) -> None:
    raw = images(*shape)
    np.testing.assert_array_equal(augmented(raw, [Crop(0)], seed, step), raw)


@given(sizes, st.integers(0, 2**32), st.integers(0, 9), st.sampled_from(["uint8", "float32"]))
def test_shape_and_dtype_stay_and_no_pixel_is_new(
    shape: tuple[int, ...], seed: int, step: int, dtype: str
) -> None:
    raw = images(*shape).astype(dtype)
    before = raw.copy()
    got = augmented(raw, ALL, seed, step)
    assert got.shape == raw.shape and got.dtype == raw.dtype
    np.testing.assert_array_equal(raw, before)
    for new, old in zip(got, raw, strict=True):
        for channel in range(shape[1]):
            counts = np.bincount(old[channel].astype(int).ravel(), minlength=256)
            changed = np.bincount(new[channel].astype(int).ravel(), minlength=256)
            assert (changed[1:] <= counts[1:]).all()


@given(st.integers(1, 1000), st.integers(0, 2**32))
def test_draws_are_below_their_end(end: int, seed: int) -> None:
    drawn = below(np.random.PCG64(seed).random_raw(100), end)
    assert drawn.min() >= 0 and drawn.max() < end
    assert below(np.array([0, 2**64 - 1], np.uint64), end).tolist() == [0, end - 1]


def test_every_place_is_drawn_as_often() -> None:
    drawn = below(np.random.PCG64(1).random_raw(90_000), 9)
    counts = np.bincount(drawn)
    assert len(counts) == 9 and (np.abs(counts - 10_000) < 6 * 100).all()  # 6 sigma


def test_a_step_has_draws_of_its_own_and_each_image_too() -> None:
    raw = np.repeat(images(1), 32, axis=0)
    first, again, second = (augmented(raw, ALL, 0, step) for step in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != second).any()
    assert len({image.tobytes() for image in first}) > 10
    assert (augmented(raw, ALL, 1, 5) != first).any()


def test_the_same_pixels_in_every_version_of_numpy() -> None:
    """The figures are written down: raw bits of PCG64, which numpy promises never to change."""
    drawn = np.random.PCG64([7, 3, 2, 1]).random_raw(4)
    assert drawn.tolist() == DRAWN
    raw = np.arange(1, 17, dtype=np.uint8).reshape(1, 1, 4, 4)
    got = [augmented(raw, (Crop(1), Flip(), Cutout(2)), 7, step)[0, 0].tolist() for step in (0, 1)]
    assert got == PIXELS


DRAWN = [
    4526097023647793365,
    3881945734231064562,
    9264973756426599849,
    11743761769910731537,
]
PIXELS = [
    [[6, 7, 8, 0], [10, 11, 12, 0], [14, 0, 0, 0], [0, 0, 0, 0]],
    [[0, 1, 2, 3], [0, 5, 6, 7], [0, 9, 10, 11], [0, 13, 14, 15]],
]


def with_augment(folder: Path, augment: str, base: str = "cnn-digits") -> str:
    text = (spec.CATALOGUE / f"{base}.toml").read_text()
    path = folder / "net.toml"
    path.write_text(text.replace("[data]\n", f"[data]\naugment = {augment}\n", 1))
    return str(path)


def test_a_workload_has_them_and_one_without_them_keeps_its_table(tmp_path: Path) -> None:
    path = with_augment(tmp_path, '[{kind = "crop", padding = 1}, {kind = "flip"}]')
    workload = spec.load(path)
    assert workload.data.augment == (Crop(1), Flip())
    table = workload.to_dict()
    assert table["data"]["augment"] == [{"kind": "crop", "padding": 1}, {"kind": "flip"}]
    assert spec.from_dict(json.loads(json.dumps(table)), "worker") == workload
    assert "augment" not in spec.load("cnn-digits").to_dict()["data"]


@pytest.mark.parametrize(
    ("augment", "says"),
    [
        ('"flip"', "augment: expected a list"),
        ('["flip"]', r"augment\[0\]: kind = None"),
        ('[{kind = "flipp"}]', r"augment\[0\]: kind = 'flipp'.*did you mean \"flip\""),
        ('[{kind = "crop"}]', r'augment\[0\] \(crop\): the key "padding" is missing'),
        ('[{kind = "crop", padding = -1}]', "has to be at least 0"),
        ('[{kind = "crop", padding = 8}]', r"augment\[0\] \(crop\): padding = 8: less than .* 8"),
        ('[{kind = "cutout", size = 0}]', "has to be at least 1"),
        ('[{kind = "flip"}, {kind = "cutout", size = 9}]', r"augment\[1\] \(cutout\): size = 9"),
        ('[{kind = "flip", size = 1}]', 'unknown key "size"'),
    ],
)
def test_an_error_names_place_and_value(tmp_path: Path, augment: str, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        spec.load(with_augment(tmp_path, augment))


def test_points_are_no_images(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"augment\[0\] \(flip\): changes images, .*\(2,\)"):
        spec.load(with_augment(tmp_path, '[{kind = "flip"}]', "mlp-2-3-2"))


def test_training_batches_are_changed_before_they_are_normalised_and_tests_are_not() -> None:
    workload = spec.load("cnn-digits").with_data(augment=ALL, batch=4)
    raw = images(8, 1, 8, 8)
    order = np.arange(8).reshape(2, 4)
    batches = Batches(raw, np.arange(8), order, workload).take(2, 2)  # steps 2 and 3
    for step, batch in enumerate(batches, 2):
        row = order[step % 2]
        expected = normalise(augmented(raw[row], ALL, workload.data.seed, step), workload.data)
        assert isinstance(batch.inputs, np.ndarray)  # made already, before any clock runs
        np.testing.assert_array_equal(batch.inputs, expected)
        assert batch.labels.tolist() == row.tolist()
    tests = np.concatenate(list(in_order(raw, 4, workload.data)))
    np.testing.assert_array_equal(tests, normalise(raw, workload.data))


@pytest.mark.parametrize("augmentation", ALL, ids=lambda each: each.kind)
def test_an_augmentation_has_its_words(augmentation: Any) -> None:
    assert isinstance(augmentation, Augmentation)
    got = augmented(images(3), [augmentation], 0, 0)
    assert got.shape == images(3).shape
