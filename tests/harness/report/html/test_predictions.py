"""The grid of images: what is drawn, and that nothing wrong in a journal is."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.report.html import predictions, renderer, run_page
from harness.results import store
from harness.results.preview import ROOM
from tests.harness.report.made_up import ReportRun

lawful = settings(deadline=None, derandomize=True, max_examples=60)

PIXELS = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
EVENT = {
    "classes": ["cat", "dog"],
    "test": 360,
    "images": {
        "shape": [2, 3, 4, 5],
        "top": 255,
        "labels": [1, 0],
        "data": base64.b64encode(PIXELS.tobytes()).decode(),
    },
}


def event(**changes: Any) -> dict[str, Any]:
    return EVENT | {"images": EVENT["images"] | changes}  # type: ignore[operator]


def grid(folder: Path) -> predictions.Grid | None:
    return run_page.build([store.read(folder)]).parts[0].grid


@lawful
@given(st.sampled_from([1, 3]), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_a_picture_is_the_image(channels: int, height: int, width: int, seed: int) -> None:
    shape = (channels, height, width)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    made = predictions.picture(pixels)
    kind, _, data = made.uri.partition(",")
    with Image.open(io.BytesIO(base64.b64decode(data))) as seen:
        assert (kind, seen.size) == ("data:image/png;base64", (width, height))
        assert (made.width, made.height) == (width, height)
        back = np.asarray(seen).reshape(height, width, channels).transpose(2, 0, 1)
    assert (back == pixels).all()


def test_images_are_read_as_bright_as_they_are_meant() -> None:
    whole = predictions.read(event())
    assert whole and (whole.pixels == PIXELS).all() and whole.test == 360
    assert [whole.name(label) for label in (*whole.labels, 7)] == ["dog", "cat", "7"]
    dim = predictions.read(event(top=60))
    assert dim and dim.pixels.ravel()[[0, 30, 60, 119]].tolist() == [0, 128, 255, 255]


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [2, 3, 4]},
        {"shape": [2, 3, 4, 6]},
        {"shape": [10**400, 3, 4, 5]},
        {"shape": [-2, 3, -4, 5]},
        {"shape": "2345"},
        {"shape": [2.0, 3, 4, 5]},
        {"shape": None},
        {"shape": [2, 2, 6, 5]},
        {"shape": [0, 3, 4, 5], "data": "", "labels": []},
        {"shape": [30, 1, 2, 2], "labels": [0] * 30},
        {"labels": [1]},
        {"labels": [1, "0"]},
        {"labels": [True, False]},
        {"labels": {"0": 1}},
        {"top": 0},
        {"top": "16"},
        {"top": 10**400},
        {"data": "<script>"},
        {"data": "é"},
        {"data": 7},
        {"data": None},
        {
            "shape": [1, 1, 500, 500],
            "labels": [0],
            "data": base64.b64encode(bytes(250_000)).decode(),
        },
    ],
)
def test_what_is_no_image_is_left_out(changes: dict[str, Any]) -> None:
    assert ROOM < 500 * 500
    assert predictions.read(event(**changes)) is None


@lawful
@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.floats(),
        lambda some: (
            st.lists(some, max_size=4)
            | st.dictionaries(st.sampled_from(["shape", "data", "top", "labels"]), some)
        ),
    )
)
def test_no_event_breaks_it(odd: Any) -> None:
    for told in ({}, {"images": odd}, event(shape=odd), event(labels=odd), event(data=odd)):
        read = predictions.read({**told, "classes": odd, "test": odd})
        assert read is None or len(read.pixels) == len(read.labels)


def test_every_cell_s_guesses_are_there(tmp_path: Path, fake: ModuleType) -> None:
    found = grid(fake.rich_run(tmp_path))
    assert found and len(found.pictures) == 24
    assert found.about.startswith("The first 24 of 360 images of the test set")
    names = [view.name for view in found.views]
    assert names == [
        "all cells",
        "pytorch eager and 3 with the same: 1 wrong",
        "pytorch compile and 5 with the same: none wrong",
    ]
    every, some, none = (view.marks for view in found.views)
    assert (every[0].label, every[0].wrong) == ("zero", "4 of 10 cells")
    assert every[0].words == "image 1: zero, misclassified by 4 of 10 cells"
    assert (some[0].wrong, some[0].words) == ("1", "image 1: zero, predicted as 1")
    assert {mark.wrong for mark in [*every[1:], *some[1:], *none]} == {""}


@pytest.mark.parametrize("scored", [True, False])
def test_cells_that_agree_and_cells_without_a_score(
    tmp_path: Path, fake: ModuleType, scored: bool
) -> None:
    cells = fake.plan("cnn-digits")
    run = ReportRun(tmp_path, fake.manifest(cells))
    run.begin()
    for cell in cells:
        run.open_cell(cell)
        if scored:
            run.score_classes(cell, 0.9)
        run.time_slices(cell)
        run.done(cell)
    run.end()
    found = grid(run.folder)
    assert found and len(found.views) == 1
    assert ("All 10 cells agree: 1 wrong." in found.about) == scored
    assert [bool(mark.wrong) for mark in found.views[0].marks] == [scored, *[False] * 23]


@pytest.mark.parametrize("odd", [None, "", {"shape": [1] * 4, "data": "<script>"}, [1], 7])
def test_a_run_without_images_has_a_report(tmp_path: Path, fake: ModuleType, odd: Any) -> None:
    cells = fake.plan("cnn-digits")
    run = ReportRun(tmp_path, fake.manifest(cells))
    run.begin(odd)
    for cell in cells:
        run.whole_cell(cell)
    run.end()
    assert grid(run.folder) is None
    assert "Images of the test set" not in renderer.render([store.read(run.folder)])


def test_wrong_guesses_are_left_out(tmp_path: Path, fake: ModuleType) -> None:
    cells = fake.plan("cnn-digits")[:4]
    run = ReportRun(tmp_path, fake.manifest(cells))
    run.begin()
    for cell, odd in zip(cells, (["<b>"] * 24, [1], {"0": 1}, [10**18] * 24), strict=True):
        run.open_cell(cell)
        run("evaluated", cell, accuracy=0.5, examples=360, predicted=odd)
        run.done(cell)
    run.end()
    found = grid(run.folder)
    assert found and [view.name for view in found.views] == ["tensorflow graph: 24 wrong"]


def test_large_reports_show_fewer(
    tmp_path: Path, fake: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fake.rich_run(tmp_path)
    for changes, shown in ((("MARKS", 90), 10), (("MARKS", 1), 6), (("LETTERS", 700), 4)):
        with monkeypatch.context() as patch:
            patch.setattr(predictions, *changes)
            found = grid(folder)
        assert found and len(found.pictures) == shown
        assert {len(view.marks) for view in found.views} == {shown}
    monkeypatch.setattr(predictions, "LETTERS", 1)
    assert grid(folder) is None


def test_groups_of_the_same_data_share_its_images(tmp_path: Path, fake: ModuleType) -> None:
    runs = [store.read(fake.rich_run(tmp_path)) for _ in range(2)]
    made = run_page.build([*runs, store.read(fake.good_run(tmp_path, steps=7))])
    assert sum(part.grid is not None for part in made.parts) == 2 and len(made.pictures) == 24
