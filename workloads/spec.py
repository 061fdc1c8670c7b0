"""A workload: one TOML file that says what is computed, without any framework.

The definitions hold for every framework:

- inputs: ``(raw / scale - mean) / std`` in float32, images as (batch, channels, height, width);
- tokens: whole numbers in float32, neither scaled nor shifted;
- cross-entropy: the mean over the batch of ``logsumexp(z) - sum_k t_k z_k`` with the target
  ``t = (1 - label_smoothing) one_hot(label) + label_smoothing / classes``; with a label a step, the
  mean over all steps of the batch whose label is not -1;
- mean squared error: the mean over the batch of ``1/2 sum_k (z_k - t_k)^2``, t the one-hot label;
- layers, optimisers and schedules: as `workloads.layers` and `workloads.optimisers` say.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from workloads import datasets
from workloads.data import Data, read_data
from workloads.datasets import Dataset, user_data
from workloads.initialisers import Init
from workloads.layers import KINDS, Block, Branches, Embedding, Layer, Residual, Shape
from workloads.optimisers import OPTIMISERS, SCHEDULES, Optimiser, Schedule
from workloads.reading import (
    SpecError,
    at,
    nearest,
    number,
    one_of,
    read,
    read_kind,
    table_of,
    text_of,
)

CATALOGUE = Path(__file__).parent / "catalogue"

LARGEST_FILE = 2**20
"""Bytes. A file that is larger is none of ours, and is not read."""
NAME_BYTES = 120
"""The most of a workload's name: with the parts of a cell it has to be a file's name, of 255."""

LOSSES = ("cross-entropy", "mean-squared-error")


@dataclass(frozen=True)
class Placed:
    """A layer at its place in the model: its name (``conv1``) and the shapes around it.

    A block has the places of its `Block.chains` in `chains`, named ``residual1.conv1``.
    """

    name: str
    layer: Layer
    input: Shape
    output: Shape
    chains: tuple[tuple[Placed, ...], ...] = ()

    def leaves(self) -> Iterator[Placed]:
        """Yield this place, or those in a block's chains, in order."""
        if not self.chains:
            yield self
        for chain in self.chains:
            for inner in chain:
                yield from inner.leaves()


@dataclass(frozen=True)
class Workload:
    """What every framework computes, checked. Made by `load` or `from_dict`."""

    name: str
    title: str
    data: Data
    layers: tuple[Layer, ...]
    init: Init
    loss: str
    label_smoothing: float
    optimiser: Optimiser
    schedule: Schedule
    target_accuracy: float
    input_shape: Shape
    classes: int
    tokens: int = 0
    label_shape: Shape = ()
    files: user_data.Source | None = field(default=None, compare=False)
    """Where data of the user's own is, on the machine that has its files."""

    @cached_property
    def dataset(self) -> Dataset:
        """The description of its data."""
        if self.data.user_data is not None:
            return self.data.user_data.dataset(self.data.dataset, self.files)
        return datasets.describe(self.data.dataset)

    @cached_property
    def model(self) -> tuple[Placed, ...]:
        """The layers in order, named by their group and count: conv1, relu1, pool1, conv2, ..."""
        return _place(self.layers, self.input_shape, "", {})

    @cached_property
    def leaves(self) -> tuple[Placed, ...]:
        """The layers in order, a block's chains in its stead, one after the other."""
        return tuple(leaf for place in self.model for leaf in place.leaves())

    @cached_property
    def masked(self) -> tuple[Placed, ...]:
        """The layers that take a dropout mask each step, in order."""
        return tuple(place for place in self.leaves if place.layer.mask(place.input))

    @cached_property
    def parameters(self) -> dict[str, Shape]:
        """The canonical shape of every parameter, by name (``conv1.weight``), in model order."""
        return {
            f"{place.name}.{short}": shape
            for place in self.leaves
            for short, shape in place.layer.parameters(place.input).items()
        }

    @cached_property
    def state(self) -> dict[str, Shape]:
        """The shape of what is kept without a gradient, by name (``norm1.mean``), in model order."""
        return {
            f"{place.name}.{short}": shape
            for place in self.leaves
            for short, shape in place.layer.state(place.input).items()
        }

    def rates(self, start: int, count: int) -> list[float]:
        """Return the learning rates of updates start, ..., start + count - 1, counted from 0."""
        factor = self.schedule.factor
        return [self.optimiser.lr * factor(update) for update in range(start, start + count)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain tables as in the TOML file, plus the name."""
        table = table_of(self)
        for of_the_data in ("input_shape", "classes", "tokens", "label_shape", "files"):
            del table[of_the_data]
        return table

    def with_data(self, **changes: Any) -> Workload:
        """Return the workload with some keys of its data changed (epochs, seed, batch)."""
        return dataclasses.replace(self, data=dataclasses.replace(self.data, **changes))


def names() -> list[str]:
    """Return the names in the catalogue, sorted. Raises SpecError where it is empty."""
    catalogue = sorted(path.stem for path in CATALOGUE.glob("*.toml"))
    if not catalogue:
        raise SpecError(
            f"{CATALOGUE}: holds no *.toml: samestep is installed in part; install it anew"
        )
    return catalogue


def load(name_or_path: str) -> Workload:
    """Read a workload of the catalogue by name, or any TOML file by its path.

    Raises:
        SpecError: no such workload, or the file does not hold a valid one.
    """
    path = CATALOGUE / f"{name_or_path}.toml"
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path)
    if not path.is_file():
        known_names = ", ".join(names())
        guess = nearest(name_or_path, names())
        raise SpecError(
            f'no workload "{name_or_path}"{guess}; known: {known_names}, or a path to a .toml'
        )
    if (size := path.stat().st_size) > LARGEST_FILE:
        raise SpecError(f"{path}: {size:,} bytes; a workload has at most {LARGEST_FILE:,}")
    try:
        table = tomllib.loads(text_of(path))
    except SpecError:
        raise
    except (ValueError, RecursionError) as error:  # of the parser's own limits too
        raise SpecError(f"{path}: not valid TOML: {error}") from error
    return from_dict({"name": path.stem, **table}, str(path), path.parent)


@dataclass(frozen=True)
class _File:
    name: str
    title: str
    data: dict
    layers: list
    init: dict
    optimiser: dict
    loss: str = field(metadata=one_of(*LOSSES))
    schedule: dict = field(default_factory=lambda: {"kind": "constant"})
    label_smoothing: float = field(default=0.0, metadata=number(low=0, below=1))
    target_accuracy: float = field(default=0.0, metadata=number(low=0, below=1))


def from_dict(table: dict[str, Any], where: str, folder: Path | None = None) -> Workload:
    """Check plain tables (a TOML file's, or `Workload.to_dict`) and return the workload.

    A file of the user's data is looked for from `folder` on.

    Raises:
        SpecError: with `where`, the key, the value and what is allowed.
    """
    file = read(_File, table, where)
    _check_name(file.name, where)
    data, files = read_data(file.data, f"{where}: [data]", folder or Path())
    described = (
        data.user_data.dataset(data.dataset, files)
        if data.user_data
        else datasets.describe(data.dataset)
    )
    workload = Workload(
        name=file.name,
        title=file.title,
        data=data,
        layers=tuple(
            _layer(layer_table, f"{where}: layers[{i}]")
            for i, layer_table in enumerate(file.layers)
        ),
        init=read(Init, file.init, f"{where}: [init]"),
        loss=file.loss,
        label_smoothing=file.label_smoothing,
        optimiser=read_kind(OPTIMISERS, file.optimiser, f"{where}: [optimiser]"),
        schedule=read_kind(SCHEDULES, file.schedule, f"{where}: [schedule]"),
        target_accuracy=file.target_accuracy,
        input_shape=tuple(described.shape),
        classes=len(described.classes),
        tokens=described.tokens,
        label_shape=tuple(described.label_shape),
        files=files,
    )
    _check(workload, where)
    return workload


def _check_name(name: str, where: str) -> None:
    """A name becomes part of file names, of a terminal's lines and of reports."""
    if not name.isprintable() or not name.strip() or set(name) & set("/\\") or name in (".", ".."):
        raise SpecError(
            f"{where}: name = {name!a}: has to be printable, without slashes: rename the file, or"
            " set `name` in it"
        )
    if (size := len(name.encode())) > NAME_BYTES:
        raise SpecError(
            f"{where}: name = {name[:20]!r}...: has {size} bytes, {NAME_BYTES} at most: rename the file,"
            " or set `name` in it"
        )


def _layer(table: Any, where: str) -> Layer:
    """Read one layer; a block's chains are lists of layers."""
    if isinstance(table, Mapping) and table.get("kind") == "softmax":
        raise SpecError(f"{where}: softmax is part of the cross-entropy loss: leave the layer out")
    if isinstance(table, Mapping) and table.get("kind") == Residual.kind:
        read_body = {k: _chain(table[k], where, k) for k in ("body", "shortcut") if k in table}
        if read_body.get("body") == ():
            raise SpecError(f"{where} (residual): body is empty: give it at least one layer")
        table = {**table, **read_body}
    if isinstance(table, Mapping) and table.get("kind") == Branches.kind and "branches" in table:
        branches = _entries(table["branches"], f"{where} (branches): branches", "lists of layers")
        chains = (_chain(branch, where, f"branches[{i}]") for i, branch in enumerate(branches))
        table = {**table, "branches": tuple(chains)}
    return read_kind(KINDS, table, where)


def _chain(tables: Any, where: str, key: str) -> tuple[Layer, ...]:
    """Read a block's chain of layers; `key` is the block's."""
    layers = _entries(tables, f"{where}: {key}", "layers")
    return tuple(_layer(table, f"{where}.{key}[{i}]") for i, table in enumerate(layers))


def _entries(value: Any, where: str, meant: str) -> Iterable[Any]:
    if not isinstance(value, list | tuple):
        raise SpecError(f"{where}: expected a list of {meant}")
    return value


def _place(
    layers: Iterable[Layer], shape: Shape, prefix: str, counts: dict[str, int]
) -> tuple[Placed, ...]:
    """Place layers one after the other; `counts` goes on through a block's chains."""
    placed = []
    for layer in layers:
        counts[layer.group] = counts.get(layer.group, 0) + 1
        name = f"{prefix}{layer.group}{counts[layer.group]}"
        inner: dict[str, int] = {}
        chains = layer.chains if isinstance(layer, Block) else ()
        places = tuple(_place(chain, shape, f"{name}.", inner) for chain in chains)
        placed.append(Placed(name, layer, shape, layer.output(shape), places))
        shape = placed[-1].output
    return tuple(placed)


def _check(workload: Workload, where: str) -> None:
    """Check what only the whole shows; an error says where in the file it is."""
    with at(where):
        _check_shapes(workload)
        _check_tokens(workload)
        _check_output(workload)
        _check_batches(workload)
        with at("[init]"):
            workload.init.check({p.name: (p.layer, p.input) for p in workload.leaves})
        with at(f"[optimiser] ({workload.optimiser.kind})"):
            workload.optimiser.check()
        with at("[data]"):
            _check_data(workload)
        _check_loss(workload)
        if not workload.parameters:
            raise SpecError("layers: nothing to train: add a dense or conv2d layer")


def _check_shapes(workload: Workload) -> None:
    """Check that each layer takes what the one before gives."""
    shape = workload.input_shape
    for i, layer in enumerate(workload.layers):
        with at(f"layers[{i}]"):
            shape = layer.output(shape)


def _check_output(workload: Workload) -> None:
    """Check that the last layer gives a logit a class."""
    shape = workload.model[-1].output if workload.model else workload.input_shape
    if shape != (*workload.label_shape, workload.classes):
        steps = f" at each of {workload.label_shape[0]} steps" if workload.label_shape else ""
        raise SpecError(
            f"the last layer gives shape {shape}, but {workload.data.dataset} has"
            f" {workload.classes} classes{steps}: end with dense, units = {workload.classes}"
        )


def _check_batches(workload: Workload) -> None:
    """Check that every layer can be trained on a whole batch, and on a short one that is kept."""
    data = workload.data
    short = data.rest(workload.dataset.train) if data.last == "keep" else 0
    for batch, which in ((data.batch, ""), (short, ' (the last batch of an epoch, last = "keep")')):
        for place in workload.leaves if batch else ():
            with at(f"{place.name}{which}"):
                place.layer.check_batch(place.input, batch)


def _check_data(workload: Workload) -> None:
    """Check that batches, augmentation and normalisation fit the data set."""
    data = workload.data
    if data.user_data and data.batch > workload.dataset.train:
        raise SpecError(
            f"batch = {data.batch}: {data.dataset} has"
            f" {workload.dataset.train:,} examples to train with"
        )
    for i, augmentation in enumerate(data.augment):
        with at(f"augment[{i}] ({augmentation.kind})"):
            augmentation.check(workload.input_shape)
    for key in ("mean", "std"):
        count, channels = len(getattr(data, key)), workload.input_shape[0]
        if count not in (1, channels):
            raise SpecError(
                f"{key} holds {count} numbers: allowed: 1"
                + (f", or {channels} (one a channel)" if channels > 1 else "")
            )


def _check_loss(workload: Workload) -> None:
    """Check that the loss goes with the labels, and smoothing with the loss."""
    if workload.label_smoothing and workload.loss != "cross-entropy":
        raise SpecError(f"label_smoothing goes with the cross-entropy only, not {workload.loss}")
    if workload.label_shape and workload.loss != "cross-entropy":
        raise SpecError(
            f'loss = "{workload.loss}": {workload.data.dataset} has a label a step: allowed:'
            " cross-entropy"
        )


def _check_tokens(workload: Workload) -> None:
    """Tokens go into an embedding of as many, as they are; and nothing else goes into one."""
    data, first = workload.data, workload.layers[0] if workload.layers else None
    for place in workload.leaves[1:] if workload.tokens else workload.leaves:
        if isinstance(place.layer, Embedding):
            raise SpecError(
                f"{place.name}: an embedding takes tokens: it comes first, on a dataset that"
                " has them"
            )
    if not workload.tokens:
        return
    if not isinstance(first, Embedding) or first.tokens != workload.tokens:
        raise SpecError(
            f"layers[0]: {data.dataset} has tokens: begin with embedding,"
            f" tokens = {workload.tokens}"
        )
    if (data.scale, data.mean, data.std) != (1.0, (0.0,), (1.0,)):
        raise SpecError(
            f"[data]: {data.dataset} has tokens, which are not normalised: leave scale, mean"
            " and std out"
        )
