"""CIFAR-100: 60,000 colour images of 32x32 in a hundred classes, from the official *binary* archive.

Never from the pickled one. The layout, from https://www.cs.toronto.edu/~kriz/cifar.html: train.bin
of 50,000 and test.bin of 10,000 records, a record two label bytes, coarse (0 to 19) and fine (0 to
99), and 3,072 pixel bytes as in CIFAR-10. The fine labels are taken, the coarse ones left out.

That page gives the archive's MD5; its size and sha256 are those of tfds
(url_checksums/cifar100.txt). The classes are in the order of the archive's fine_label_names.txt.
"""

from __future__ import annotations

from pathlib import Path

from workloads.datasets import cifar10
from workloads.datasets.contract import Archive, Dataset, Filed, Splits

TRAIN, TEST = 50_000, 10_000
LABEL_BYTES = 2
RECORD = cifar10.RECORD + 1  # bytes

_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel
can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur
dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion
lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree
pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea
seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table
tank telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman
worm
"""
CLASSES = tuple(_NAMES.split())


def read(folder: Path, train: int = TRAIN, test: int = TEST) -> Splits:
    """The folder's two files: `train` and `test` images, in the files' own order.

    inputs (N, 3, 32, 32) uint8, labels (N,) int64. Raises DatasetCorrupt.
    """
    return Splits(
        *cifar10.decode(folder / "train.bin", train, LABEL_BYTES, len(CLASSES)),
        *cifar10.decode(folder / "test.bin", test, LABEL_BYTES, len(CLASSES)),
    )


DATASET = Dataset(
    name="cifar100",
    title="CIFAR-100: colour images, 32x32, a hundred classes",
    shape=cifar10.SHAPE,
    classes=CLASSES,
    train=TRAIN,
    test=TEST,
    dtype="uint8",
    top=255,
    licence=cifar10.DATASET.licence,
    origin=Filed(
        published=(
            Archive(
                url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
                size=168_513_733,
                sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
                md5="03b5dce01913d631647c71ecec9e9cb8",
                folder="cifar-100-binary",
                files={"train.bin": TRAIN * RECORD, "test.bin": TEST * RECORD},
            ),
        ),
        read=read,
        folder="cifar-100-binary",
    ),
)
