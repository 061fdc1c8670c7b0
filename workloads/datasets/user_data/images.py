"""A folder of images, a folder a class, read by Pillow.

    pets/cat/1.png  pets/cat/2.png  pets/dog/1.png  ...        parted by a seed
    pets/train/cat/1.png  ...  pets/test/cat/9.png  ...        parted already

Classes are in the order of their folders' names, images in that of theirs. All have one size, or are
resized to `size` without keeping their proportions, by Pillow's bilinear filter, which averages when
it makes an image smaller. An orientation in EXIF is not applied; transparency is dropped.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workloads.datasets.contract import Array
from workloads.datasets.user_data import checks
from workloads.datasets.user_data.records import DataFileError, Options, Outline

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

KEYS = frozenset({"size", "colour"})

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".webp")
FORMATS = ("BMP", "JPEG", "PNG", "PPM", "WEBP")
"""What Pillow may take a file for: none of these runs another program."""

MOST_PIXELS = 2**26
"""Of one image: it is unpacked whole."""

_MODES = {"grey": "L", "rgb": "RGB"}
_CHANNELS = {"grey": 1, "rgb": 3}
_COLOURS = {"1": "grey", "L": "grey", "RGB": "rgb"}
_CONVERTED = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}
"""Modes of 8 bits a channel, which convert without a loss of range."""

_HIDDEN = ("Thumbs.db", "desktop.ini")


def reads(path: Path) -> bool:
    """Whether this is such a folder."""
    return path.is_dir()


def files(path: Path) -> dict[str, Path]:
    """Every image, by its path below the folder."""
    return {
        file.relative_to(path).as_posix(): file
        for classes in _parts(path).values()
        for images in classes.values()
        for file in images
    }


def outline(path: Path, options: Options) -> Outline:
    """List the folders, and look at the first image's size and colours."""
    parts = _parts(path)
    names = {part: tuple(classes) for part, classes in parts.items()}
    if len(set(names.values())) > 1:
        lacking = sorted({*names["train"]} ^ {*names["test"]})
        raise DataFileError(
            f"{path.name}: train and test have to have folders of the same classes; only one has"
            f" {', '.join(lacking[:5])}"
        )
    labels = {
        part: np.repeat(np.arange(len(classes)), [*map(len, classes.values())])
        for part, classes in parts.items()
    }
    first = next(iter(next(iter(next(iter(parts.values())).values()))))
    colour, (height, width) = _kind(first, options, path)
    shape = (_CHANNELS[colour], height, width)
    total = sum(map(len, labels.values()))
    checks.check_size((total, *shape), 1, f"{path.name}: {total:,} images")
    return Outline(shape, "uint8", next(iter(names.values())), labels)


def inputs(path: Path, options: Options, part: str, rows: Array | None) -> Array:
    """Read a part's images, or some rows of it: (N, channels, height, width) uint8."""
    parts = _parts(path)
    first = next(iter(next(iter(next(iter(parts.values())).values()))))
    colour, size = _kind(first, options, path)
    listed = [file for images in parts[part].values() for file in images]
    rows = np.arange(len(listed)) if rows is None else rows
    out = np.empty((len(rows), _CHANNELS[colour], *size), np.uint8)
    for i, row in enumerate(rows):
        out[i] = _pixels(listed[row], colour, size, options, path)
    return out


def _kind(file: Path, options: Options, root: Path) -> tuple[str, tuple[int, int]]:
    """The colours and the (height, width) that all images get, by the options or else by the first."""
    if options.size is not None and len(options.size) != 2:
        raise DataFileError(f"size = {list(options.size)}: expected [height, width]")
    with _opened(file, root) as image:
        colour = options.colour or _colour(image, file, root)
        height, width = options.size or (image.height, image.width)
    return colour, (height, width)


def _colour(image: Picture, file: Path, root: Path) -> str:
    if image.mode not in _COLOURS:
        raise DataFileError(
            f"{_name(file, root)}: has the colours {image.mode}: say which are taken,"
            ' colour = "grey" or colour = "rgb"'
        )
    return _COLOURS[image.mode]


def _pixels(file: Path, colour: str, size: tuple[int, int], options: Options, root: Path) -> Array:
    with _opened(file, root) as image:
        if not options.colour and _colour(image, file, root) != colour:
            raise DataFileError(
                f"{_name(file, root)}: is {_colour(image, file, root)}, the first image {colour}: say"
                ' which all become, colour = "grey" or colour = "rgb"'
            )
        if image.mode not in _CONVERTED:
            raise DataFileError(
                f"{_name(file, root)}: has the colours {image.mode}, more than 8 bits a channel: give"
                " such images as arrays"
            )
        if options.size is None and (image.height, image.width) != size:
            raise DataFileError(
                f"{_name(file, root)}: {image.height}x{image.width}, the first image"
                f" {size[0]}x{size[1]}: say to which all are resized, size = [height, width]"
            )
        converted: Any = image.convert(_MODES[colour])
        if (converted.height, converted.width) != size:
            bilinear = _pillow().Resampling.BILINEAR
            converted = converted.resize((size[1], size[0]), bilinear)
        pixels = np.asarray(converted)
    return pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)


def _parts(path: Path) -> dict[str, dict[str, list[Path]]]:
    """The images by part ("train" and "test", or "all") and class."""
    folders = _folders(path, path)
    if {*folders} == {"train", "test"} and all(
        _folders(folder, path) for folder in folders.values()
    ):
        return {part: _classes(folders[part], path) for part in ("train", "test")}
    return {"all": _classes(path, path)}


def _classes(folder: Path, root: Path) -> dict[str, list[Path]]:
    folders = _folders(folder, root)
    if stray := [file.name for file in _entries(folder, root) if _is_image(file)]:
        raise DataFileError(
            f"{_name(folder, root)}: the image {stray[0]} lies beside the classes: each class has a"
            " folder of its own"
        )
    if not folders:
        raise DataFileError(
            f"{_name(folder, root)}: has no folders: give each class's images a folder of their own,"
            " or arrays as .npy"
        )
    return {name: _images(folders[name], root) for name in sorted(folders)}


def _images(folder: Path, root: Path) -> list[Path]:
    images = _entries(folder, root)
    for file in images:
        if file.is_dir():
            problem = "is a folder; images lie directly in their class's"
        elif not _is_image(file):
            problem = f"is no image by its name; allowed: {' '.join(SUFFIXES)}; move it elsewhere"
        elif not file.is_file():
            problem = "is no file, or a link to none"
        else:
            continue
        raise DataFileError(f"{_name(file, root)}: {problem}")
    if not images:
        raise DataFileError(f"{_name(folder, root)}: is empty: a class needs images")
    return images


def _folders(folder: Path, root: Path) -> dict[str, Path]:
    return {entry.name: entry for entry in _entries(folder, root) if entry.is_dir()}


def _entries(folder: Path, root: Path) -> list[Path]:
    """What is in a folder, in the order of names, but for hidden files."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise DataFileError(f"{_name(folder, root)}: cannot be read: {error.strerror}") from error
    return [folder / name for name in names if not name.startswith(".") and name not in _HIDDEN]


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES


def _name(file: Path, root: Path) -> str:
    """A file's path from the folder's name on."""
    return (Path(root.name) / file.relative_to(root)).as_posix()


@contextmanager
def _opened(file: Path, root: Path) -> Iterator[Picture]:
    """An image whose size is known to be bearable. What goes wrong is a DataFileError."""
    pillow = _pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images: their size is looked at here
            with pillow.open(file, formats=FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise DataFileError(
                        f"{_name(file, root)}: {image.height:,}x{image.width:,} pixels; at most"
                        f" {MOST_PIXELS:,} are read"
                    )
                yield image
    except pillow.DecompressionBombError as error:
        raise DataFileError(f"{_name(file, root)}: too many pixels to be read") from error
    except (DataFileError, MemoryError):
        raise
    except Exception as error:  # Pillow raises nearly anything of a damaged file
        reason = error.strerror if isinstance(error, OSError) else ""
        raise DataFileError(
            f"{_name(file, root)}: {reason or 'no whole image of an allowed format'}"
        ) from error


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise DataFileError(
            "images are read by Pillow, which is not installed: run `pip install pillow`"
        ) from error
    return Image
