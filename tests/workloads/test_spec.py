"""A spec says what is wrong with it, where, and what would be right."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads import spec
from workloads.layers import KINDS, Conv2d, MaxPool
from workloads.reading import SpecError

GOOD = """
title = "A net"
loss = "cross-entropy"
layers = [
  { kind = "conv2d", filters = 4, kernel = 3 },
  { kind = "relu" },
  { kind = "flatten" },
  { kind = "dense", units = 10 },
]
data = { dataset = "digits", batch = 8, epochs = 1, scale = 16, mean = 0.5, std = [0.5] }
init = { kind = "he-normal" }
optimiser = { kind = "sgd", lr = 0.1 }
"""


def write(folder: Path, text: str) -> str:
    path = folder / "net.toml"
    path.write_text(text)
    return str(path)


def test_a_file_is_named_by_its_stem(tmp_path: Path) -> None:
    assert spec.load(write(tmp_path, GOOD)).name == "net"


@pytest.mark.parametrize("name", spec.names())
def test_every_workload_of_the_catalogue_is_valid_and_survives_the_way_to_a_worker(
    name: str,
) -> None:
    workload = spec.load(name)
    assert spec.from_dict(json.loads(json.dumps(workload.to_dict())), "test") == workload


def test_the_catalogue_has_the_six_it_starts_with() -> None:
    first = {"mlp-2-3-2", "mlp-digits", "cnn-digits", "mlp-cifar", "cifar-cnn", "cifar-cnn-128"}
    assert first <= set(spec.names())


def test_the_tutorial_net_is_the_one_everybody_knows() -> None:
    shapes = spec.load("cifar-cnn").parameters
    assert shapes["conv1.weight"] == (6, 3, 5, 5)
    assert shapes["conv2.weight"] == (16, 6, 5, 5)
    assert [shapes[f"dense{i}.weight"] for i in (1, 2, 3)] == [(120, 400), (84, 120), (10, 84)]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("kernel = 3", "kernal = 3"), ["layers[0] (conv2d)", '"kernal"', 'did you mean "kernel"']),
        (("kernel = 3", "kernel = 0"), ["layers[0] (conv2d)", "kernel = 0", "at least 1"]),
        (("kernel = 3", 'kernel = "3"'), ["kernel = '3'", "a whole number"]),
        (("kernel = 3", "kernel = true"), ["kernel = True", "a whole number"]),
        ((", kernel = 3", ""), ["layers[0] (conv2d)", '"kernel" is missing']),
        (("kernel = 3", "kernel = 9"), ["layers[0]", "does not fit an image of 8x8"]),
        (
            ('"relu"', '"rellu"'),
            ["layers[1]", "'rellu'", 'did you mean "relu"', "avgpool, batchnorm, "],
        ),
        (('"relu"', '"softmax"'), ["layers[1]", "part of the cross-entropy loss"]),
        (('{ kind = "flatten" },', ""), ["layers[2]", "put a flatten before it"]),
        (("units = 10", "units = 9"), ["gives shape (9,)", "10 classes", "units = 10"]),
        (('"cross-entropy"', '"crossentropy"'), ["loss", 'did you mean "cross-entropy"']),
        (('"he-normal"', '"he"'), ["[init]: kind = 'he'", "allowed: uniform-fan-in"]),
        (('"sgd"', '"sdg"'), ["[optimiser]: kind", 'did you mean "sgd"']),
        (("lr = 0.1", "lr = 0"), ["[optimiser] (sgd): lr = 0.0", "more than 0"]),
        (("lr = 0.1", "lr = inf"), ["lr = inf", "finite"]),
        (("lr = 0.1", "lr = nan"), ["lr = nan", "finite"]),
        (("data = {", "data = 3 #"), ["data = 3", "expected a table"]),
        (("lr = 0.1", "lr = 0.1, momentum = 1"), ["momentum = 1.0", "less than 1"]),
        (("batch = 8", "batch = 0"), ["[data]: batch = 0", "at least 1"]),
        (('"digits"', '"digit"'), ['dataset = "digit"', 'did you mean "digits"', "cifar10"]),
        (("std = [0.5]", "std = [0.5, 0.5]"), ["std holds 2 numbers", "allowed: 1"]),
        (("std = [0.5]", "std = 0"), ["std = 0.0", "more than 0"]),
        (("title =", "titel ="), ['unknown key "titel"', 'did you mean "title"']),
        (("title =", "title"), ["not valid TOML"]),
    ],
)
def test_an_error_names_file_place_value_and_what_is_right(
    tmp_path: Path, change: tuple[str, str], says: list[str]
) -> None:
    path = write(tmp_path, GOOD.replace(*change))
    with pytest.raises(SpecError) as error:
        spec.load(path)
    for part in [path, *says]:
        assert part in str(error.value)


NORM = '{ kind = "dense", units = 10 }, { kind = "batchnorm" }'


@pytest.mark.parametrize(("batch", "refused"), [(1, True), (2, False)])
def test_batch_norm_over_a_single_value_is_refused(
    tmp_path: Path, batch: int, refused: bool
) -> None:
    text = GOOD.replace("batch = 8", f"batch = {batch}")
    text = text.replace('{ kind = "dense", units = 10 }', NORM)
    path = write(tmp_path, text)
    if not refused:
        assert spec.load(path).data.batch == batch
        return
    with pytest.raises(SpecError, match=r"norm1: batchnorm over a single value .* take a larger"):
        spec.load(path)


def test_batch_norm_over_the_pixels_of_one_image_is_not_refused(tmp_path: Path) -> None:
    text = GOOD.replace("batch = 8", "batch = 1").replace('"relu"', '"batchnorm"')
    assert spec.load(write(tmp_path, text)).data.batch == 1


def test_an_unknown_workload_gets_the_nearest_name() -> None:
    with pytest.raises(SpecError, match='did you mean "mlp-digits"'):
        spec.load("mlp-digit")


def test_pools_and_convolutions_leave_out_incomplete_windows() -> None:
    assert MaxPool(size=2).output((1, 5, 5)) == (1, 2, 2)
    assert MaxPool(size=3, stride=2).output((1, 5, 5)) == (1, 2, 2)
    assert Conv2d(filters=7, kernel=3, stride=2, padding=1).output((3, 8, 8)) == (7, 4, 4)


@given(st.sampled_from(sorted(KINDS)), st.integers(-2, 5), st.integers(-2, 5))
def test_whatever_a_layer_says_it_is_read_or_refused(kind: str, one: int, two: int) -> None:
    table = tomllib.loads(GOOD)
    fields = list(KINDS[kind].__dataclass_fields__)
    table["layers"][0] = {"kind": kind, **dict(zip(fields, (one, two), strict=False))}
    try:
        workload = spec.from_dict({"name": "x", **table}, "x")
    except SpecError:
        return
    assert workload.model[-1].output == (10,)


@pytest.mark.parametrize("path", sorted((spec.CATALOGUE.parent / "large").glob("*.toml")))
def test_a_large_batch_is_a_net_of_the_catalogue(path: Path) -> None:
    large = spec.load(str(path))
    like = spec.load(
        {"cifar-cnn-4096": "cifar-cnn", "cifar-resnet20-1024": "cifar-resnet20"}[path.stem]
    )
    assert large.model == like.model and large.data.batch > 1000
