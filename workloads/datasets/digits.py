"""The embedded default: 1,797 real handwritten digits, 8x8, which scikit-learn carries.

Pixels are uint8, 0 to 16 (counts of dark pixels in 4x4 blocks of a 32x32 bitmap); the workload's
normalisation divides later. Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten
Digits, UCI Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49: its test part.
The split here is random, so the same writers are in both halves, as in most uses of these digits.
"""

from __future__ import annotations

import numpy as np

from workloads.datasets.contract import Dataset, DatasetMissing, Embedded, Splits
from workloads.datasets.splitting import stratified

SPLIT_SEED = 1797  # of the split alone: every run, whatever its seed, is tested on the same digits


def load() -> Splits:
    """1,437 train and 360 test digits: inputs (N, 1, 8, 8) uint8, labels (N,) int64.

    Raises DatasetMissing where scikit-learn cannot be imported.
    """
    try:
        # Imported here, not above: only the harness prepares data, and only it has scikit-learn;
        # a worker imports this module with nothing but numpy there.
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DatasetMissing(
            f"digits: they are read from scikit-learn, which cannot be imported ({error}); "
            "run `pip install scikit-learn`"
        ) from error
    bunch = load_digits()
    images = bunch.images.astype(np.uint8)[:, np.newaxis]  # integers kept as float64: exact
    labels = bunch.target.astype(np.int64)
    train, test = stratified(labels, 0.2, SPLIT_SEED)
    return Splits(images[train], labels[train], images[test], labels[test])


DATASET = Dataset(
    name="digits",
    title="handwritten digits, 8x8, grey (UCI, as scikit-learn carries them)",
    shape=(1, 8, 8),
    classes=tuple("0123456789"),
    train=1437,
    test=360,
    dtype="uint8",
    top=16,
    licence="CC BY 4.0; Alpaydin and Kaynak, UCI 1998, doi:10.24432/C50P49",
    origin=Embedded(load),
)
