"""The vocabulary of layers. `KINDS` has every layer by its word in a spec."""

from workloads.layers.activations import (
    Activation,
    Elu,
    Gelu,
    LeakyRelu,
    Relu,
    Sigmoid,
    Silu,
    Softplus,
    Tanh,
)
from workloads.layers.attention import Attention, Patches
from workloads.layers.base import AT_EQUALS, AT_ZERO, Layer, Shape
from workloads.layers.blocks import Residual
from workloads.layers.images import AvgPool, Conv2d, GlobalAvgPool, MaxPool, PadChannels, Pool
from workloads.layers.norms import BatchNorm, LayerNorm, RmsNorm
from workloads.layers.plain import Dense, Dropout, Flatten
from workloads.layers.sequences import LastStep, MeanSteps, Rows
from workloads.layers.tokens import Embedding, Positions
from workloads.reading import by_kind

__all__ = [
    "AT_EQUALS",
    "AT_ZERO",
    "KINDS",
    "Activation",
    "Attention",
    "AvgPool",
    "BatchNorm",
    "Conv2d",
    "Dense",
    "Dropout",
    "Elu",
    "Embedding",
    "Flatten",
    "Gelu",
    "GlobalAvgPool",
    "LastStep",
    "Layer",
    "LayerNorm",
    "LeakyRelu",
    "MaxPool",
    "MeanSteps",
    "PadChannels",
    "Patches",
    "Pool",
    "Positions",
    "Relu",
    "Residual",
    "RmsNorm",
    "Rows",
    "Shape",
    "Sigmoid",
    "Silu",
    "Softplus",
    "Tanh",
]

KINDS = by_kind(Layer)
