"""The vocabulary of layers. `KINDS` has every layer by its word in a spec."""

from workloads.layers.activations import Relu, Sigmoid, Tanh
from workloads.layers.base import AT_EQUALS, AT_ZERO, Layer, Shape
from workloads.layers.blocks import Block, Branches, Residual
from workloads.layers.convolutions import Conv1d, Conv2d, Convolution
from workloads.layers.images import AvgPool, GlobalAvgPool, MaxPool, PadChannels, Pool
from workloads.layers.norms import BatchNorm, GroupNorm, LayerNorm
from workloads.layers.plain import Dense, Dropout, Flatten
from workloads.reading import by_kind

__all__ = [
    "AT_EQUALS",
    "AT_ZERO",
    "KINDS",
    "AvgPool",
    "BatchNorm",
    "Block",
    "Branches",
    "Conv1d",
    "Conv2d",
    "Convolution",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAvgPool",
    "GroupNorm",
    "Layer",
    "LayerNorm",
    "MaxPool",
    "PadChannels",
    "Pool",
    "Relu",
    "Residual",
    "Shape",
    "Sigmoid",
    "Tanh",
]

KINDS = by_kind(Layer)
