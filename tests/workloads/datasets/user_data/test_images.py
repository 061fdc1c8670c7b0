"""Data of one's own as a folder of images."""

from __future__ import annotations

import builtins
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.workloads.datasets.user_data.conftest import Files
from workloads import datasets
from workloads.datasets.user_data import images

FOLDER = 'file = "pets"'
SPLIT = f"{FOLDER}\ntest = 0.5"
Write = Callable[..., Path]


@pytest.fixture
def pets(picture: Write) -> Write:
    """Two images of each of two classes; 10.png comes before 2.png."""
    for i, name in enumerate(("cat/2.png", "cat/10.png", "dog/a.jpg", "dog/ü b.PNG")):
        picture(f"pets/{name}", (10 * i, 20, 30))
    return picture


def test_a_folder_a_class(pets: Write, files: Files) -> None:
    (files.folder / "pets" / ".DS_Store").write_text("")
    (files.folder / "pets" / "cat" / ".hidden").write_text("")
    (files.folder / "pets" / "readme.txt").write_text("")
    workload = files.load(SPLIT)
    assert workload.data.dataset == "pets/"
    assert workload.dataset.classes == ("cat", "dog") and workload.input_shape == (3, 4, 3)
    got = files.arrays(SPLIT)
    both = np.concatenate([got["train_inputs"], got["test_inputs"]])
    assert both.dtype == np.uint8 and both.shape == (4, 3, 4, 3)
    reds = {
        int(image[0, 0, 0]): label
        for image, label in zip(
            both, np.concatenate([got["train_labels"], got["test_labels"]]), strict=True
        )
    }
    assert {red: reds[red] for red in (0, 10, 30)} == {0: 0, 10: 0, 30: 1}


def test_train_and_test_may_be_folders(picture: Write, files: Files) -> None:
    for part, names in (("train", ("a/1", "a/2", "b/1")), ("test", ("b/1", "a/1"))):
        for i, name in enumerate(names):
            picture(f"pets/{part}/{name}.png", 50 * i, mode="L")
    got = files.arrays(FOLDER)
    assert got["train_labels"].tolist() == [0, 0, 1] and got["test_labels"].tolist() == [0, 1]
    assert got["test_inputs"][:, 0, 0, 0].tolist() == [50, 0]
    assert "pets/: has train and test apart: leave test out" in files.refusal(SPLIT)


def test_train_and_test_may_be_classes(picture: Write, files: Files) -> None:
    for name in ("train/1", "train/2", "test/1", "test/2"):
        picture(f"pets/{name}.png")
    assert files.load(SPLIT).dataset.classes == ("test", "train")


def test_pixels_are_channels_first_and_colours_convert(picture: Write, files: Files) -> None:
    for name in ("a/1", "a/2", "b/1", "b/2"):
        picture(f"pets/{name}.png", (200, 100, 50))
    got = files.arrays(SPLIT)["train_inputs"]
    assert got[0, :, 1, 2].tolist() == [200, 100, 50]
    grey = files.arrays(f'{SPLIT}\ncolour = "grey"')["train_inputs"]
    assert grey.shape == (2, 1, 4, 3)
    assert grey[0, 0, 0, 0] == 124  # ITU-R 601-2 luma: 0.299 R + 0.587 G + 0.114 B


def test_images_are_resized_by_the_stated_filter(picture: Write, files: Files) -> None:
    ramp = np.arange(0, 160, 10, dtype=np.uint8)[None].repeat(8, 0)
    for name in ("a/1", "a/2", "b/1", "b/2"):
        path = picture(f"pets/{name}.png", mode="L")
        Image.fromarray(ramp).save(path)
    got = files.arrays(f"{SPLIT}\nsize = [4, 8]")["train_inputs"]
    expected = np.asarray(Image.fromarray(ramp).resize((8, 4), Image.Resampling.BILINEAR))
    assert got.shape == (2, 1, 4, 8)
    np.testing.assert_array_equal(got[0, 0], expected)


def chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def announced(height: int, width: int) -> bytes:
    """A PNG of hardly any content whose header announces any size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))


def spoil(pets: Path, picture: Write, how: str) -> None:
    """Make one thing of the folder wrong."""
    cat, dog = pets / "cat", pets / "dog"
    match how:
        case "empty class":
            (pets / "bird").mkdir()
        case "image beside":
            picture("pets/stray.png")
        case "text inside":
            (cat / "notes.txt").write_text("")
        case "folder inside":
            (cat / "more").mkdir()
        case "broken link":
            (cat / "3.png").symlink_to("gone.png")
        case "loop":
            (cat / "3.png").symlink_to("3.png")
        case "other size":
            picture("pets/dog/c.png", size=(5, 3))
        case "grey among colours":
            picture("pets/dog/c.png", mode="L")
        case "transparent":
            picture("pets/cat/0.png", (0, 0, 0, 9), mode="RGBA")
            picture("pets/cat/10.png", (0, 0, 0, 9), mode="RGBA")
        case "no image":
            (dog / "c.png").write_text("<html>")
        case "truncated":
            content = (dog / "a.jpg").read_bytes()
            (dog / "a.jpg").write_bytes(content[: len(content) // 2])
        case "bomb":
            (dog / "c.png").write_bytes(announced(4, 3 * 10**7))
        case "large bomb":
            (dog / "c.png").write_bytes(announced(10**6, 10**6))
        case "first is a bomb":
            (cat / "0.png").write_bytes(announced(10**5, 10**5))
        case "another program's":
            (dog / "c.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 3 4\n")
        case "one class":
            for path in dog.iterdir():
                path.unlink()
            dog.rmdir()
        case "no classes":
            for folder in (cat, dog):
                for path in folder.iterdir():
                    path.unlink()
                folder.rmdir()
        case "odd class":
            picture("pets/a\x1b[31m/1.png")
            picture("pets/a\x1b[31m/2.png")
        case "no unicode":
            folder = pets / os.fsdecode(b"\xff")
            folder.mkdir()
            (folder / "1.png").hardlink_to(cat / "2.png")
            (folder / "2.png").hardlink_to(cat / "10.png")


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("empty class", "pets/bird: is empty: a class needs images"),
        ("image beside", "pets: the image stray.png lies beside the classes"),
        ("text inside", "pets/cat/notes.txt: is no image by its name; allowed: .bmp"),
        ("folder inside", "pets/cat/more: is a folder; images lie directly"),
        ("broken link", "pets/cat/3.png: is no file, or a link to none"),
        ("loop", "pets/cat/3.png: is no file, or a link to none"),
        (
            "other size",
            "pets/dog/c.png: 5x3, the first image 4x3: say to which all are resized, size",
        ),
        (
            "grey among colours",
            "pets/dog/c.png: is grey, the first image rgb: say which all become",
        ),
        ("transparent", "pets/cat/0.png: has the colours RGBA: say which are taken, colour ="),
        ("no image", "pets/dog/c.png: no whole image of an allowed format"),
        ("truncated", "pets/dog/a.jpg: no whole image of an allowed format"),
        ("bomb", "pets/dog/c.png: 4x30,000,000 pixels; at most 67,108,864 are read"),
        ("large bomb", "pets/dog/c.png: too many pixels to be read"),
        ("first is a bomb", "pets/cat/0.png: too many pixels to be read"),
        ("another program's", "pets/dog/c.png: no whole image of an allowed format"),
        ("one class", "pets/: one class only (cat): at least two are needed"),
        ("no classes", "pets: has no folders: give each class's images a folder"),
        ("odd class", r"a class is named 'a\x1b[31m': has to be printable"),
        ("no unicode", r"a class is named '\udcff': has to be printable"),
    ],
)
def test_a_folder_that_will_not_do_is_refused(
    pets: Write, files: Files, how: str, says: str
) -> None:
    spoil(files.folder / "pets", pets, how)
    assert says in files.refusal(SPLIT)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (FOLDER, "pets/: say which part of it is the test's"),
        (f"{SPLIT}\nsize = 8", "size = [8]: expected [height, width]"),
        (f"{SPLIT}\nsize = [8, 8, 3]", "size = [8, 8, 3]: expected [height, width]"),
        (f"{SPLIT}\nsize = [0, 8]", "size = 0: has to be at least 1"),
        (f'{SPLIT}\ncolour = "gray"', "colour = 'gray': not known (did you mean \"grey\"?)"),
        (f'{SPLIT}\nlayout = "nchw"', "pets: takes no layout, but colour, size"),
        (f'{SPLIT}\nclasses = ["a", "b"]', "pets: takes no classes, but colour, size"),
    ],
)
def test_keys_that_will_not_do_are_refused(pets: Write, files: Files, keys: str, says: str) -> None:
    assert says in files.refusal(keys)


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_more_than_eight_bits_are_refused(picture: Write, files: Files, mode: str) -> None:
    for name in ("a/1", "a/2", "b/1", "b/2"):
        path = picture(f"pets/{name}.png", mode="L")
        Image.fromarray(np.full((4, 3), 3000, np.uint16)).save(path)
    assert 'say which are taken, colour = "grey"' in files.refusal(SPLIT)
    assert "more than 8 bits a channel" in files.refusal(f'{SPLIT}\ncolour = "grey"')


def test_transparency_is_dropped_where_a_colour_is_asked_for(picture: Write, files: Files) -> None:
    for name in ("a/1", "a/2", "b/1", "b/2"):
        picture(f"pets/{name}.png", (9, 8, 7, 0), mode="RGBA")
    got = files.arrays(f'{SPLIT}\ncolour = "rgb"')["train_inputs"]
    assert got[0, :, 0, 0].tolist() == [9, 8, 7]


def test_train_and_test_have_the_same_classes(picture: Write, files: Files) -> None:
    for name in ("train/a/1", "train/b/1", "test/a/1", "test/c/1"):
        picture(f"pets/{name}.png")
    assert "folders of the same classes; only one has b, c" in files.refusal(FOLDER)


def test_too_many_images_are_not_read(
    pets: Write, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images.checks, "MOST_BYTES", 143)
    assert "pets: 4 images: has shape (4, 3, 4, 3), 144 bytes; at most 143" in files.refusal(SPLIT)


def test_a_class_may_be_a_link_and_a_renamed_image_is_other_data(pets: Write, files: Files) -> None:
    folder = files.folder / "pets"
    (folder / "dog").rename(files.folder / "elsewhere")
    (folder / "dog").symlink_to(files.folder / "elsewhere")
    before = files.load(SPLIT)
    assert before.dataset.classes == ("cat", "dog")
    (folder / "cat" / "2.png").rename(folder / "cat" / "3.png")
    after = files.load(SPLIT)
    assert before.data.user_data != after.data.user_data


def test_a_result_names_no_image(pets: Write, files: Files) -> None:
    prepared = datasets.prepare(files.load(SPLIT).dataset, files.cache, seed=0)
    sources = [name for name in prepared.sha256 if name.startswith("source/")]
    assert sources == ["source/pets/"]


def test_pillow_is_asked_for_where_it_is_lacking(
    pets: Write, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def refuse(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "PIL":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert "read by Pillow, which is not installed: run `pip install pillow`" in files.refusal(
        SPLIT
    )
