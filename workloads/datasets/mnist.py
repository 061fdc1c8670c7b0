"""MNIST: 70,000 grey images, 28x28, of handwritten digits, from its four gzipped IDX files.

The files' first address (yann.lecun.com/exdb/mnist) answers no longer; others serve the same files.
Address, sizes and sha256 are those of tfds (url_checksums/mnist.txt), the MD5 those of torchvision
(datasets/mnist.py).
"""

from __future__ import annotations

from workloads.datasets.contract import Dataset
from workloads.datasets.idx import SHAPE, TEST, TRAIN, origin

DATASET = Dataset(
    name="mnist",
    title="MNIST: handwritten digits, 28x28, grey",
    shape=SHAPE,
    classes=tuple("0123456789"),
    train=TRAIN,
    test=TEST,
    dtype="uint8",
    top=255,
    licence=(
        "CC BY-SA 3.0; cite Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "
        "Gradient-Based Learning Applied to Document Recognition, 1998"
    ),
    origin=origin(
        "https://storage.googleapis.com/cvdf-datasets/mnist",
        "MNIST/raw",
        sizes=(9_912_422, 28_881, 1_648_877, 4_542),
        md5=(
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
        sha256=(
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
)
