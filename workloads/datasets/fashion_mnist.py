"""Fashion-MNIST: 70,000 grey images, 28x28, of clothes, in MNIST's format, sizes and file names.

The address is the authors' repository (zalandoresearch/fashion-mnist), whose README gives the
classes and the MD5; sizes and sha256 are those of tfds (url_checksums/fashion_mnist.txt).
"""

from __future__ import annotations

from workloads.datasets.contract import Dataset
from workloads.datasets.idx import SHAPE, TEST, TRAIN, origin

DATASET = Dataset(
    name="fashion-mnist",
    title="Fashion-MNIST: clothes, 28x28, grey",
    shape=SHAPE,
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    train=TRAIN,
    test=TEST,
    dtype="uint8",
    top=255,
    licence=(
        "MIT; cite H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST: a Novel Image Dataset for "
        "Benchmarking Machine Learning Algorithms, 2017, arXiv:1708.07747"
    ),
    origin=origin(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
        "FashionMNIST/raw",
        sizes=(26_421_880, 29_515, 4_422_102, 5_148),
        md5=(
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
        sha256=(
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
)
