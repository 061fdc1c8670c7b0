"""A test set's first images, with their labels and the cells' predictions.

What a journal holds is checked before anything is drawn; what is not as it should be is left out.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.report.groups import Group, Loaded
from harness.report.html.style import short
from harness.results.preview import CHANNELS, MOST, ROOM
from harness.results.tables import FINISHED
from harness.text import count, plain

MARKS = 2_000
"""About how many images, with what is said of each, a whole report has; a group has 6 at least."""

LETTERS = 300_000
"""How many letters the images of a whole report may take; those of every data set as many."""


@dataclass(frozen=True)
class Mark:
    """What stands under an image: its label, and the prediction where it is misclassified."""

    image: str
    words: str
    label: str
    wrong: str


@dataclass(frozen=True)
class View:
    """What some cells that agree, or all of them together, predicted."""

    name: str
    marks: list[Mark]


@dataclass(frozen=True)
class Picture:
    """An image as a data URI, and its size in pixels."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Grid:
    """A group's images, by names that groups with the same images share, and what is said of them."""

    about: str
    pictures: dict[str, Picture]
    views: list[View]


@dataclass(frozen=True)
class Images:
    """What a journal holds of a data set: pixels (images, channels, height, width), classes' names."""

    pixels: NDArray[np.uint8]
    labels: list[int]
    classes: list[str]
    test: int

    @cached_property
    def key(self) -> str:
        """A name for them, the same wherever the same images are."""
        return f"i{hashlib.sha256(self.pixels.tobytes()).hexdigest()[:8]}"

    def name(self, label: int) -> str:
        """A class in words, or its number."""
        return self.classes[label] if 0 <= label < len(self.classes) else short(str(label))


def grids(loaded: Loaded, groups: Sequence[Group], outcomes: int) -> dict[str, Grid]:
    """Return every group's images by the group's key, of its first run that has some.

    `outcomes` are shown of a group at most. Made-up data has no images, nor have older runs.
    """
    illustrated = {
        group.key: (group, images)
        for group in groups
        if (images := next(filter(None, map(read, _events(loaded, group))), None))
    }
    shown = max(6, MARKS // max(1, len(illustrated)) // (outcomes + 1))
    sets = {images.key: images for _, images in illustrated.values()}
    drawn = {key: _drawn(images, shown, LETTERS // len(sets)) for key, images in sets.items()}
    return {
        key: _grid(loaded, group, images, drawn[images.key], outcomes)
        for key, (group, images) in illustrated.items()
        if drawn[images.key]
    }


def _drawn(images: Images, most: int, room: int) -> dict[str, Picture]:
    """The first images, by name: so many at most, and as have room."""
    pictures = [picture(image) for image in images.pixels[:most]]
    ends = accumulate(len(drawn.uri) for drawn in pictures)
    return {
        f"{images.key}-{place}": drawn
        for place, (drawn, end) in enumerate(zip(pictures, ends, strict=True))
        if end <= room
    }


def _grid(
    loaded: Loaded, group: Group, images: Images, pictures: dict[str, Picture], outcomes: int
) -> Grid:
    shown = count(images.test, "image")
    about = f"The first {len(pictures)} of {shown} of the test set, with their labels."
    predictions = _outcomes(loaded, group, len(pictures))
    views = list(_views(images, list(pictures), predictions))
    if predictions:
        about += " Framed with a cross: misclassified."
    if len(predictions) == 1:
        about += f" {views[0].name}."  # there is nothing to choose from
    if len(predictions) > outcomes:
        about += f" {count(len(predictions) - outcomes, 'more outcome')} in the journal."
    return Grid(about, pictures, views[: outcomes + 1])


def classes(loaded: Loaded, group: Group) -> list[str]:
    """Return the names of a group's classes, as its runs list them; nothing where they do not."""
    return next(filter(None, map(_names, _events(loaded, group))), [])


def read(event: Mapping[str, Any]) -> Images | None:
    """Return the images of a `dataset` event; None where it has none, or none that can be trusted."""
    try:
        stored = event["images"]
        shape, labels, top = map(_integers, (stored["shape"], stored["labels"], [stored["top"]]))
        data = base64.b64decode(stored["data"], validate=True)
        pixels = np.frombuffer(data, np.uint8).reshape(shape)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    fits = pixels.ndim == 4 and 0 < len(pixels) <= MOST and 0 < pixels.size <= ROOM
    if not (fits and pixels.shape[1] in CHANNELS and len(labels) == len(pixels)):
        return None
    if not 0 < top[0] <= 255:
        return None
    bright = np.minimum(pixels * 255.0 / top[0], 255).round().astype(np.uint8)
    test = event.get("test")
    return Images(bright, labels, _names(event), test if isinstance(test, int) else len(pixels))


def picture(pixels: NDArray[np.uint8]) -> Picture:
    """Return an image (channels, height, width) as a PNG of 8 bits, grey or RGB (ISO/IEC 15948)."""
    channels, height, width = pixels.shape
    rows = np.ascontiguousarray(pixels.transpose(1, 2, 0)).reshape(height, -1)
    lines = np.insert(rows, 0, 0, axis=1).tobytes()  # each begins with its filter: none
    kind = {1: 0, 3: 2}[channels]
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )
    return Picture(f"data:image/png;base64,{base64.b64encode(png).decode()}", width, height)


def _events(loaded: Loaded, group: Group) -> Iterator[Mapping[str, Any]]:
    for run in group.cells["run"].unique():
        for event in loaded.records[int(run)].every("dataset"):
            if event.get("workload") == group.workload:
                yield event


def _names(event: Mapping[str, Any]) -> list[str]:
    names = event.get("classes")
    return [short(plain(name)) for name in names] if isinstance(names, list) else []


def _integers(values: Any) -> list[int]:
    """The values, if they are a list of whole numbers. Raises TypeError."""
    if not isinstance(values, list) or any(type(value) is not int for value in values):
        raise TypeError
    return values


def _outcomes(loaded: Loaded, group: Group, shown: int) -> dict[tuple[int, ...], list[str]]:
    """The cells' labels by their predictions."""
    finished = group.cells[group.cells["status"].isin(FINISHED)]
    cells = zip(finished["run"], finished["cell"], strict=True)
    labels = dict(zip(cells, finished["label"], strict=True))
    labels_by_prediction: dict[tuple[int, ...], list[str]] = {}
    for run in finished["run"].unique():
        for event in loaded.records[int(run)].every("evaluated"):
            label = labels.get((run, event.get("cell")))
            try:
                predicted = tuple(_integers(event.get("predicted"))[:shown])
            except TypeError:
                continue
            if label is not None and len(predicted) == shown:
                labels_by_prediction.setdefault(predicted, []).append(label)
    return labels_by_prediction


def _views(
    images: Images, names: Sequence[str], predictions: Mapping[tuple[int, ...], list[str]]
) -> Iterator[View]:
    """One of all cells together, where they differ, and one an outcome."""
    labels = images.labels[: len(names)]
    total = sum(map(len, predictions.values()))
    if len(predictions) != 1:
        missed = [
            sum(len(cells) for predicted, cells in predictions.items() if predicted[place] != label)
            for place, label in enumerate(labels)
        ]
        misses = [f"{n} of {count(total, 'cell')}" if n else "" for n in missed]
        words = [f", misclassified by {text}" if text else "" for text in misses]
        yield View("all cells", _marks(images, names, misses, words))
    for predicted, cells in predictions.items():
        pairs = zip(predicted, labels, strict=True)
        guesses = [images.name(guess) if guess != label else "" for guess, label in pairs]
        words = [f", predicted as {text}" if text else "" for text in guesses]
        sharing = f" and {len(cells) - 1} with the same" if cells[1:] else ""
        who = f"All {total} cells agree" if len(cells) == total > 1 else f"{cells[0]}{sharing}"
        wrong = sum(map(bool, guesses)) or "none"
        yield View(f"{who}: {wrong} wrong", _marks(images, names, guesses, words))


def _marks(
    images: Images, names: Sequence[str], guesses: Sequence[str], words: Sequence[str]
) -> list[Mark]:
    labels = map(images.name, images.labels)
    return [
        Mark(name, f"image {place}: {label}{remark}", label, wrong)
        for place, (name, label, wrong, remark) in enumerate(
            zip(names, labels, guesses, words, strict=False), start=1
        )
    ]
