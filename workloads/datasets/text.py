"""Text for language models: what Python's own `help()` says about the language, character by character.

Every Python carries it (`pydoc_data.topics`, 0.46 million characters in 3.11), so nothing is fetched.
Releases of Python differ in it: a result's hashes say which text it was. Case is folded and characters
that are not in the vocabulary become one, which leaves 64 tokens. Documentation licence: PSF-2.0.
"""

from __future__ import annotations

import string

import numpy as np

from workloads.datasets.contract import Array, Dataset, DatasetMissing, Embedded, Splits

STEPS = 64
"""The length of a window."""

TRAIN, TEST = 5120, 640
"""Windows, which do not overlap: 0.37 million characters, fewer than any release has."""

REST = "other"
CHARACTERS = "\n " + string.ascii_lowercase + string.digits + "-\"_.*,=():|'>+][;<~{}/\\#%"
NAMES = {"\n": "newline", " ": "space"}


def tokens(text: str) -> Array:
    """Return each character's token, uint8: 0 for what is not in CHARACTERS, else its place from 1 on."""
    numbers = {character: number for number, character in enumerate(CHARACTERS, 1)}
    return np.array([numbers.get(character, 0) for character in text.lower()], np.uint8)


def windows(text: str) -> Splits:
    """Inputs (N, STEPS) uint8, and for each character the next one, (N, STEPS) int64.

    The first windows are for training, those behind them for the test. Raises DatasetMissing where the
    text is too short.
    """
    size = (TRAIN + TEST) * STEPS
    if len(text) <= size:
        raise DatasetMissing(
            f"text: this Python's help has {len(text):,} characters, {size + 1:,} are needed: take"
            " another release of Python"
        )
    numbers = tokens(text[: size + 1])
    inputs = numbers[:-1].reshape(-1, STEPS)
    labels = numbers[1:].reshape(-1, STEPS).astype(np.int64)
    return Splits(inputs[:TRAIN], labels[:TRAIN], inputs[TRAIN:], labels[TRAIN:])


def load() -> Splits:
    """5,120 train and 640 test windows of this Python's help, its topics in alphabetical order.

    Raises DatasetMissing where this Python was installed without it.
    """
    try:
        # Only the harness prepares data, and workers need not load half a megabyte.
        from pydoc_data.topics import topics
    except ImportError as error:
        raise DatasetMissing(
            f"text: it is read from pydoc_data.topics, which this Python has not ({error}): take"
            " another installation of Python"
        ) from error
    return windows("\n".join(topics[name] for name in sorted(topics)))


DATASET = Dataset(
    name="text",
    title="the help of Python on its language, by characters (as this Python carries it)",
    shape=(STEPS,),
    classes=(REST, *(NAMES.get(character, character) for character in CHARACTERS)),
    train=TRAIN,
    test=TEST,
    dtype="uint8",
    top=len(CHARACTERS),
    licence="PSF-2.0; the Python Software Foundation's documentation of Python",
    origin=Embedded(load),
    tokens=1 + len(CHARACTERS),
    label_shape=(STEPS,),
)
